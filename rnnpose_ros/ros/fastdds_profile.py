"""The Fast DDS profile for large pictures, and how a process is told to use one. Nothing of ROS is imported here."""

from __future__ import annotations

from collections.abc import Mapping

PACKAGED_PROFILE = "package://rnnpose_ros/config/fastdds_large_images.xml"

_OLD_NAME, _NEW_NAME = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_FAST_DDS_2 = ("foxy", "galactic", "humble", "iron", "jazzy")
"""Distributions that read the old name alone; the later ones read both, and complain about the old."""


def profile_variable(environment: Mapping[str, str]) -> str:
    """The variable that names a profile's file to the ROS of this environment."""
    return _OLD_NAME if environment.get("ROS_DISTRO") in _FAST_DDS_2 else _NEW_NAME


def profile_in_use(environment: Mapping[str, str]) -> str:
    """The file that a process of this environment takes its profile from; empty when none is named."""
    own = environment.get(profile_variable(environment), "")
    # Later distributions still read the old name, where it is the only one.
    return own or ("" if environment.get("ROS_DISTRO") in _FAST_DDS_2 else environment.get(_OLD_NAME, ""))


def unread_variable(environment: Mapping[str, str]) -> str:
    """The variable that is set although the ROS of this environment does not read it; empty when there is none."""
    if profile_variable(environment) == _OLD_NAME and environment.get(_NEW_NAME) and not environment.get(_OLD_NAME):
        return _NEW_NAME
    return ""
