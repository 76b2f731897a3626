"""The field that a change of pose induces on a rendered view (the rectified correspondence field)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import inverse, transform


def induced_uv(
    points_render: Float[Tensor, "B N 3"],
    T_camera_object: Float[Tensor, "B 4 4"],
    T_render_object: Float[Tensor, "B 4 4"],
    K: Float[Tensor, "B 3 3"],
) -> Float[Tensor, "B N 2"]:
    """Pixels at which the pose ``T_camera_object`` puts surface points of a render.

    Args:
        points_render: Surface points in the camera frame of the render at ``T_render_object``, metres.
        T_camera_object: The pose now.
        T_render_object: The pose at which the points were rendered.
        K: Camera of both (the crop's).
    """
    return project(transform(T_camera_object @ inverse(T_render_object), points_render), K)
