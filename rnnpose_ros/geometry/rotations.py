"""Rotations in their other forms: quaternions (xyzw), Euler angles, angles between them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def matrix_from_quaternion_xyzw(q: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3 3"]:
    """Rotation matrix of a quaternion of any non-zero norm."""
    x, y, z, w = torch.nn.functional.normalize(q, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def quaternion_xyzw_from_matrix(R: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 4"]:
    """Unit quaternion with w >= 0 of a rotation matrix (Shepperd: the largest of four pivots)."""
    m = R.flatten(-2)
    xx, xy, xz, yx, yy, yz, zx, zy, zz = m.unbind(-1)
    candidates = torch.stack(
        [
            torch.stack([1 + xx - yy - zz, xy + yx, xz + zx, zy - yz], -1),
            torch.stack([xy + yx, 1 - xx + yy - zz, yz + zy, xz - zx], -1),
            torch.stack([xz + zx, yz + zy, 1 - xx - yy + zz, yx - xy], -1),
            torch.stack([zy - yz, xz - zx, yx - xy, 1 + xx + yy + zz], -1),
        ],
        -2,
    )
    best = torch.diagonal(candidates, dim1=-2, dim2=-1).argmax(-1)
    q = torch.take_along_dim(candidates, best[..., None, None].expand(*best.shape, 1, 4), -2)[..., 0, :]
    q = torch.nn.functional.normalize(q, dim=-1)
    return torch.where(q[..., 3:] < 0, -q, q)


def matrix_from_euler_xyz(angles: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """``Rz(c) Ry(b) Rx(a)`` of fixed-axis angles (a, b, c) in radians."""
    from rnnpose_ros.geometry.se3 import exp_so3

    axes = torch.eye(3, dtype=angles.dtype, device=angles.device)
    Rx, Ry, Rz = (exp_so3(angles[..., i : i + 1] * axes[i]) for i in range(3))
    return Rz @ Ry @ Rx


def rotation_angle(R: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B"]:
    """Angle of a rotation in radians, 0..pi; exact for small angles (no acos)."""
    sine = torch.stack(
        [R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1
    ).norm(dim=-1)
    cosine = R.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0
    return torch.atan2(sine, cosine)


def nearest_rotation(M: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    """The rotation nearest to a matrix (polar decomposition by SVD, determinant +1)."""
    U, _, Vh = torch.linalg.svd(M)
    sign = torch.linalg.det(U @ Vh).sign()
    flip = torch.diag_embed(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1))
    return U @ flip @ Vh


def slerp(
    q_a: Float[Tensor, "*B 4"], q_b: Float[Tensor, "*B 4"], fraction: Float[Tensor, "*B"]
) -> Float[Tensor, "*B 4"]:
    """Unit quaternions between two, along the shorter arc at constant speed (Shoemake 1985).

    Args:
        q_a: At fraction 0, unit length, xyzw.
        q_b: At fraction 1; its negative means the same rotation and gives the same answer.
        fraction: 0..1.
    """
    cosine = (q_a * q_b).sum(-1)
    q_b = torch.where(cosine[..., None] < 0, -q_b, q_b)
    # The sine of the half angle from the chord: an arc cosine loses half its digits near 0.
    half_angle = torch.atan2((q_b - q_a).norm(dim=-1), (q_b + q_a).norm(dim=-1)) * 2.0
    near = half_angle < 1e-6
    sine = torch.where(near, torch.ones_like(half_angle), torch.sin(half_angle))
    weight_a = torch.where(near, 1.0 - fraction, torch.sin((1.0 - fraction) * half_angle) / sine)
    weight_b = torch.where(near, fraction, torch.sin(fraction * half_angle) / sine)
    return torch.nn.functional.normalize(weight_a[..., None] * q_a + weight_b[..., None] * q_b, dim=-1)
