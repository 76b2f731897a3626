"""What is read of messages, and how new ones are made: the same conversions serve ROS and recordings.

Reading goes by field names, so a message may come from rclpy or from a recording's reader. New messages come from a
:class:`MessageMaker`: :func:`ros_message` makes those of the ROS that is installed, a recording's writer its own.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class MessageMaker(Protocol):
    """Makes messages by type."""

    def __call__(self, kind: str, /, **fields: Any) -> Any:
        """A message of ``package/Type`` with these fields; the others are zero, empty, or their defaults."""
        ...


@runtime_checkable
class StampFields(Protocol):
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int


@runtime_checkable
class HeaderFields(Protocol):
    """std_msgs/Header."""

    stamp: Any
    frame_id: str


@runtime_checkable
class PoseFields(Protocol):
    """geometry_msgs/Pose."""

    position: Any
    orientation: Any


@runtime_checkable
class TransformFields(Protocol):
    """geometry_msgs/TransformStamped."""

    header: Any
    child_frame_id: str
    transform: Any


@runtime_checkable
class DetectionFields(Protocol):
    """vision_msgs/Detection3D."""

    header: Any
    results: Any
    bbox: Any
    id: str


@runtime_checkable
class DetectionsFields(Protocol):
    """vision_msgs/Detection3DArray."""

    header: Any
    detections: Any


def ros_message(kind: str, /, **fields: Any) -> Any:
    """A message of the installed ROS.

    Raises:
        ImportError: Its package is not here.
    """
    return message_class(kind)(**fields)


@cache
def message_class(kind: str) -> type:
    """The class of ``package/Type`` in the installed ROS.

    Raises:
        ImportError: Its package is not here.
    """
    package, _, name = kind.partition("/")
    found: type = getattr(importlib.import_module(f"{package}.msg"), name)
    return found
