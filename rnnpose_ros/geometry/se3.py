"""Rigid motions: SE(3) exponential and logarithm, inverse, application to points.

Twists are ``xi = (v, omega)``, translation first; all functions are batched over leading dimensions,
differentiable (also at the identity) and safe in float64.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_SMALL_ANGLE = 1e-4


def hat(omega: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """The skew matrix with ``hat(a) @ b = a x b``."""
    x, y, z = omega.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return torch.stack(rows, -2)


def exp_so3(omega: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Rotation matrix of a rotation vector in radians (Rodrigues)."""
    a, b, _ = _series(omega)
    W = hat(omega)
    return torch.eye(3, dtype=omega.dtype, device=omega.device) + a * W + b * (W @ W)


def exp_se3(xi: Float[Tensor, "*B 6"]) -> Float[Tensor, "*B 4 4"]:
    """Rigid motion of a twist (v in metres, omega in radians)."""
    v, omega = xi[..., :3], xi[..., 3:]
    a, b, c = _series(omega)
    W = hat(omega)
    W2 = W @ W
    eye = torch.eye(3, dtype=xi.dtype, device=xi.device)
    R = eye + a * W + b * W2
    V = eye + b * W + c * W2
    return from_rotation_translation(R, (V @ v[..., None])[..., 0])


def log_so3(R: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3"]:
    """Rotation vector of a rotation matrix, radians, norm at most pi.

    Goes through the quaternion of the largest pivot, so half turns are exact too.
    """
    from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix

    q = quaternion_xyzw_from_matrix(R)
    q = torch.where(q[..., 3:] < 0, -q, q)
    vector, w = q[..., :3], q[..., 3:]
    squared = (vector * vector).sum(-1, keepdim=True)
    small = squared < _SMALL_ANGLE**2
    norm = torch.where(small, torch.ones_like(squared), squared).sqrt()
    scale = torch.where(small, 2.0 / w.clamp_min(0.5), 2.0 * torch.atan2(norm, w) / norm)
    return scale * vector


def log_se3(T: Float[Tensor, "*B 4 4"]) -> Float[Tensor, "*B 6"]:
    """Twist of a rigid motion; ``exp_se3(log_se3(T)) = T`` for rotation angles below pi."""
    omega = log_so3(T[..., :3, :3])
    _, b, c = _series(omega)
    W = hat(omega)
    eye = torch.eye(3, dtype=T.dtype, device=T.device)
    V = eye + b * W + c * (W @ W)
    v = torch.linalg.solve(V, T[..., :3, 3:])[..., 0]
    return torch.cat([v, omega], -1)


def from_rotation_translation(R: Float[Tensor, "*B 3 3"], t: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 4 4"]:
    """The 4 x 4 matrix of a rotation and a translation."""
    top = torch.cat([R, t[..., None]], -1)
    bottom = torch.cat([torch.zeros_like(top[..., :1, :3]), torch.ones_like(top[..., :1, 3:])], -1)
    return torch.cat([top, bottom], -2)


def inverse(T: Float[Tensor, "*B 4 4"]) -> Float[Tensor, "*B 4 4"]:
    """Inverse of a rigid motion (assumes an orthonormal rotation)."""
    Rt = T[..., :3, :3].transpose(-1, -2)
    return from_rotation_translation(Rt, -(Rt @ T[..., :3, 3:])[..., 0])


def transform(T_a_b: Float[Tensor, "*B 4 4"], points_b: Float[Tensor, "*B N 3"]) -> Float[Tensor, "*B N 3"]:
    """Points of frame b in frame a."""
    return points_b @ T_a_b[..., :3, :3].transpose(-1, -2) + T_a_b[..., None, :3, 3]


def increment_about(
    T_camera_object: Float[Tensor, "*B 4 4"], xi: Float[Tensor, "*B 6"], centre_camera: Float[Tensor, "*B 3"]
) -> Float[Tensor, "*B 4 4"]:
    """The pose moved by a twist whose rotation turns about ``centre_camera``, axes of the camera.

    ``X -> exp(omega) (X - c) + c + v``. About the camera origin, translation and rotation are almost
    collinear for a distant object; about the object's own centre they are not.
    """
    R = exp_so3(xi[..., 3:])
    t = centre_camera + xi[..., :3] - (R @ centre_camera[..., None])[..., 0]
    return from_rotation_translation(R, t) @ T_camera_object


def _series(omega: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sin(x)/x, (1-cos(x))/x^2, (x-sin(x))/x^3 of the angle, with finite gradients at zero."""
    squared = (omega * omega).sum(-1)[..., None, None]
    small = squared < _SMALL_ANGLE**2
    safe = torch.where(small, torch.ones_like(squared), squared)
    x = safe.sqrt()
    a = torch.where(small, 1.0 - squared / 6.0, torch.sin(x) / x)
    b = torch.where(small, 0.5 - squared / 24.0, (1.0 - torch.cos(x)) / safe)
    c = torch.where(small, 1.0 / 6.0 - squared / 120.0, (x - torch.sin(x)) / (safe * x))
    return a, b, c


def pose_difference(T: Float[Tensor, "*B 4 4"], T_reference: Float[Tensor, "*B 4 4"]) -> Float[Tensor, "*B 6"]:
    """From reference to pose, as a covariance has it: x y z rotX rotY rotZ, axes of the common frame, m and rad."""
    turn = log_so3(T[..., :3, :3] @ T_reference[..., :3, :3].mT)
    return torch.cat([T[..., :3, 3] - T_reference[..., :3, 3], turn], -1)


def mean_squared_difference(T: Float[Tensor, "K 4 4"], T_reference: Float[Tensor, "4 4"]) -> Float[Tensor, "6 6"]:
    """How far poses lie from one, as a covariance: x y z rotX rotY rotZ, axes of the common frame, m and rad."""
    difference = pose_difference(T, T_reference.expand_as(T))
    return difference.mT @ difference / len(difference)
