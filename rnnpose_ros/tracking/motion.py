"""How an object moved, and where it will be a picture later if it goes on so.

It is carried on by half. What the pictures do not settle, such as the tilt of a face seen from the front, stays where a
start puts it: carried on in full, an error in how it moved would go on for ever, and so it dies out in a few pictures.
Positions are those of the object's centre: about a mesh's own origin, which may lie anywhere, turning would look like
moving. All in the camera's axes, so what is carried on is the motion seen by the camera, whichever of the two moves.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.geometry.se3 import increment_about, log_so3, transform

_SHARE = 0.5


def velocity(
    T_camera_before: Float[Tensor, "4 4"],
    T_camera_now: Float[Tensor, "4 4"],
    *,
    seconds: float,
    centre_object: Float[Tensor, "3"],
) -> Float[Tensor, "6"]:
    """Of an object between two pictures: of its centre in m/s, and turning in rad/s, axes of the camera.

    Args:
        T_camera_before: Its pose.
        T_camera_now: Its pose after that time, turned by less than half a turn.
        seconds: Between them, above 0.
        centre_object: What it turns about, in its own frame.
    """
    before, now, centre = T_camera_before.double(), T_camera_now.double(), centre_object.double()[None]
    shift = (transform(now, centre) - transform(before, centre))[0]
    return torch.cat([shift, log_so3(now[:3, :3] @ before[:3, :3].mT)]) / seconds


def carried_on(
    T_camera_object: Float[Tensor, "4 4"],
    velocity_camera: Float[Tensor, "6"],
    *,
    seconds: float,
    centre_object: Float[Tensor, "3"],
) -> Float[Tensor, "4 4"]:
    """The pose after that time at half a :func:`velocity`, float64."""
    T = T_camera_object.double()
    moved = increment_about(T, _SHARE * seconds * velocity_camera, transform(T, centre_object.double()[None])[0])
    moved[:3, :3] = nearest_rotation(moved[:3, :3])
    return moved
