"""Finds out whether the shell has sourced a ROS 2 of the machine's own, and what that brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rnnpose_ros.bootstrap.machine import ask
from rnnpose_ros.bootstrap.problems import MachineError

# What the package imports of ROS. On a machine with ROS 2 all of it comes from there, and none of it from us.
MESSAGE_PACKAGES = (
    "diagnostic_msgs",
    "geometry_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "vision_msgs",
    "visualization_msgs",
)


@dataclass(frozen=True)
class SourcedRos:
    """A ROS 2 that the shell has sourced.

    Attributes:
        distro: its name, such as ``humble``; ``unknown`` where ROS_DISTRO is not set.
        python: the interpreter that imports its rclpy.
        numpy_major: the NumPy its extension modules were compiled for, by the one that its Python has.
    """

    distro: str
    python: str
    numpy_major: int


def find_sourced_ros(environ: dict[str, str], own_prefix: Path) -> SourcedRos | None:
    """Returns the sourced ROS 2, or None where there is none and the wheels are wanted.

    ``own_prefix`` is our virtual environment: a shell that points at the wheels in it has sourced nothing.

    Raises:
        MachineError: a ROS 2 is sourced but no Python imports its rclpy, or a message package is not installed.
    """
    prefixes = [Path(part) for part in environ.get("AMENT_PREFIX_PATH", "").split(":") if part]
    if not [prefix for prefix in prefixes if prefix.resolve() != own_prefix.resolve()]:
        return None
    distro = environ.get("ROS_DISTRO", "unknown")
    candidates = (environ.get("RNNPOSE_PYTHON"), "/usr/bin/python3", "python3")
    for python in filter(None, candidates):
        if _imports(python, "rclpy", environ):
            _check_messages(python, distro, environ)
            numpy_major = ask(python, "import numpy; print(numpy.__version__.split('.')[0])", environ)
            return SourcedRos(distro=distro, python=python, numpy_major=int(numpy_major or 2))
    raise MachineError(
        f"ROS 2 {distro} is sourced but python3 cannot import its rclpy: `sudo apt install ros-{distro}-rclpy`, or "
        "use a shell in which no ROS 2 is sourced"
    )


def _imports(python: str, module: str, environ: dict[str, str]) -> bool:
    try:
        return ask(python, f"import {module}", environ) is not None
    except OSError:
        return False


def _check_messages(python: str, distro: str, environ: dict[str, str]) -> None:
    missing = [name for name in MESSAGE_PACKAGES if not _imports(python, name, environ)]
    if missing:
        packages = " ".join(f"ros-{distro}-{name.replace('_', '-')}" for name in missing)
        raise MachineError(f"ROS 2 {distro} is sourced without {', '.join(missing)}: `sudo apt install {packages}`")
