"""Which of several poses of one class mean the same object."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.rotations import rotation_angle


def pose_distance(
    T_camera_a: Float[Tensor, "4 4"],
    T_camera_b: Float[Tensor, "4 4"],
    *,
    symmetries: Float[Tensor, "S 4 4"] | None = None,
) -> tuple[float, float]:
    """Distance of the origins in metres and the angle between the axes in radians.

    Args:
        T_camera_a: A pose.
        T_camera_b: Another pose of an object of the same shape.
        symmetries: Motions of the object frame that look the same; the nearest of all is measured.
    """
    T_a, T_b = T_camera_a.double(), T_camera_b.double()
    candidates = T_a[None] if symmetries is None else T_a @ symmetries.to(T_a)
    distances = (candidates[:, :3, 3] - T_b[:3, 3]).norm(dim=-1)
    angles = rotation_angle(candidates[:, :3, :3].transpose(-1, -2) @ T_b[:3, :3])
    best = int(angles.argmin())
    return float(distances[best]), float(angles[best])


def associate(
    poses_a: Sequence[Float[Tensor, "4 4"]],
    poses_b: Sequence[Float[Tensor, "4 4"]],
    *,
    distance: float,
    angle: float,
    symmetries: Float[Tensor, "S 4 4"] | None = None,
) -> dict[int, int]:
    """Pairs of indices (a to b) that lie within both bounds, nearest first, each index once.

    Args:
        poses_a: Poses of one class.
        poses_b: Poses of the same class.
        distance: Largest distance of the origins, metres.
        angle: Largest angle, radians.
        symmetries: See :func:`pose_distance`.
    """
    near: list[tuple[float, int, int]] = []
    for i, T_a in enumerate(poses_a):
        for j, T_b in enumerate(poses_b):
            d, phi = pose_distance(T_a, T_b, symmetries=symmetries)
            if d <= distance and phi <= angle:
                near.append((d / distance + phi / angle, i, j))
    pairs: dict[int, int] = {}
    for _, i, j in sorted(near):
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs
