"""What the launch files share. Imported by them alone: ``launch`` is no part of a machine that runs the nodes only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
)
from launch.launch_context import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitutions import LaunchConfiguration

from rnnpose_ros.paths import resolve_path
from rnnpose_ros.ros.fastdds_profile import PACKAGED_PROFILE, profile_in_use, profile_variable

_POLL_S = 0.5


def declare(arguments: Sequence[tuple[Any, ...]]) -> list[DeclareLaunchArgument]:
    """Launch arguments of ``(name, default, description)``, with ``(choices)`` where only these are allowed."""
    return [
        DeclareLaunchArgument(
            name, default_value=value, description=text, choices=list(choices[0]) if choices else None
        )
        for name, value, text, *choices in arguments
    ]


def values(context: LaunchContext, names: Sequence[str]) -> dict[str, str]:
    """What launch arguments are in this launch."""
    return {name: LaunchConfiguration(name).perform(context) for name in names}


def include_refiner(
    beside: str, arguments: Mapping[str, SomeSubstitutionsType] | None = None
) -> IncludeLaunchDescription:
    """The refiner with its own launch arguments, those of ``arguments`` set.

    Args:
        beside: A launch file of this package; the refiner's is in its folder. Named as text, so that
            ``ros2 launch ... --show-args`` looks inside.
        arguments: By name; what is not named stays as the command line has it.
    """
    file = os.path.join(os.path.dirname(os.path.abspath(beside)), "refiner.launch.py")
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(file), launch_arguments=(arguments or {}).items())


def use_large_image_profile() -> list[Action]:
    """Tell Fast DDS, in every process of this launch, to make room for pictures; a profile that is set stays."""
    if profile_in_use(os.environ):
        return []
    return [SetEnvironmentVariable(profile_variable(os.environ), str(resolve_path(PACKAGED_PROFILE)))]


def set_unless_given(context: LaunchContext, arguments: Mapping[str, str]) -> list[Action]:
    """Launch arguments of files included later; those on the command line stay."""
    return [
        SetLaunchConfiguration(name, value)
        for name, value in arguments.items()
        if name not in context.launch_configurations
    ]


def require_package(name: str) -> None:
    """Refuse to go on where a package of ROS is missing.

    Raises:
        RuntimeError: It is; the message says how to install it.
    """
    try:
        get_package_prefix(name)
    except PackageNotFoundError:
        package = f"ros-{os.environ.get('ROS_DISTRO', '$ROS_DISTRO')}-{name.replace('_', '-')}"
        raise RuntimeError(f"{name} is not installed: sudo apt install {package}") from None


def when_subscribed(topic: str, then: Callable[[], list[Action]], *, limit_s: float) -> Action:
    """Actions that begin once somebody listens to a topic; the launch is ended when nobody does in time."""

    def look(context: LaunchContext, waited_s: float) -> list[Action]:
        from launch_ros.ros_adapters import get_ros_node

        if get_ros_node(context).count_subscribers(topic):
            return then()
        if waited_s >= limit_s:
            return [Shutdown(reason=f"nobody has subscribed to {topic} after {limit_s:g} s")]
        again = OpaqueFunction(function=look, args=[waited_s + _POLL_S])
        return [TimerAction(period=_POLL_S, actions=[again])]

    return OpaqueFunction(function=look, args=[0.0])
