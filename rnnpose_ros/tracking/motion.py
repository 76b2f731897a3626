"""How an object moved, and where it will be a picture later if it goes on so.

It is carried on by half. What the pictures do not settle, such as the tilt of a face seen from the front, stays where a
start puts it: carried on in full, an error in how it moved would go on for ever, and so it dies out in a few pictures.
Positions are those of the object's centre: about a mesh's own origin, which may lie anywhere, turning would look like
moving. All in the camera's axes, so what is carried on is the motion seen by the camera, whichever of the two moves.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.refinement.pose_step import moved_by, step_between

_SHARE = 0.5
_METRE = 1.0
"""What shifts are counted in here."""


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
    before, now = T_camera_before.double(), T_camera_now.double()
    return step_between(before, now, centre_object=centre_object, diameter=_METRE) / seconds


def carried_on(
    T_camera_object: Float[Tensor, "4 4"],
    velocity_camera: Float[Tensor, "6"],
    *,
    seconds: float,
    centre_object: Float[Tensor, "3"],
) -> Float[Tensor, "4 4"]:
    """The pose after that time at half a :func:`velocity`, float64."""
    step = _SHARE * seconds * velocity_camera
    moved = moved_by(T_camera_object.double(), step, centre_object=centre_object.double(), diameter=_METRE)
    moved[:3, :3] = nearest_rotation(moved[:3, :3])
    return moved
