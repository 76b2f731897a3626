"""The published Levenberg-Marquardt step: increments about the camera's origin, fixed damping.

Kept for weights that were trained with it. About the camera's origin translation and rotation of a distant
object are almost collinear, so that the damping about halves the step along them; our own weights use
:func:`rnnpose_ros.refinement.solver.lm_step`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import exp_se3, hat
from rnnpose_ros.refinement.solver import SolverConfig, SolverStep, normal_sums, projection_jacobian, solve_marked

_CONSTANT_DAMPING = 100.0
_RELATIVE_DAMPING = 1e-4
_LARGEST_COMPONENT = 1.0
_NEAREST_M = 0.1


def published_step(
    T_camera_object: Float[Tensor, "B 4 4"],
    points_camera: Float[Tensor, "B N 3"],
    target_uv: Float[Tensor, "B N 2"],
    weights: Float[Tensor, "B N"],
    K: Float[Tensor, "B 3 3"],
    *,
    centre_camera: Float[Tensor, "B 3"],
    diameter: Float[Tensor, "B"],
    config: SolverConfig,
) -> SolverStep:
    """One step; see :func:`~rnnpose_ros.refinement.solver.lm_step`, whose arguments and result it shares.

    ``(H + 100 I + 1e-4 diag H) xi = b`` in metres, radians and crop pixels, every component of xi within
    1; points nearer than 0.1 m do not count. Where the matrix is not positive definite the pose is kept
    and marked, while the published code sets what is not a number to 0.

    Args:
        T_camera_object: Linearisation points.
        points_camera: Surface points at these poses, camera frame, metres.
        target_uv: Where each point is seen, crop pixels.
        weights: At least 0.
        K: Crop cameras.
        centre_camera: Object centres at these poses; the report speaks of motions about them.
        diameter: Metres; the report's unit of length.
        config: Ignored: damping and limits are the published ones.
    """
    del config
    X = points_camera.detach().double()
    origin, metre = torch.zeros_like(X[:, 0]), torch.ones_like(X[:, 0, 0])
    J = projection_jacobian(X, origin, K.double(), metre)
    residual = target_uv.double() - project(X, K.double())
    counted = weights.double() * (X[..., 2] > _NEAREST_M)
    M = normal_sums(J, residual, counted)
    H, b, cost = M[:, :6, :6], M[:, :6, 6], M[:, 6, 6]
    eye = torch.eye(6, dtype=H.dtype, device=H.device)
    damped = H + eye * (_CONSTANT_DAMPING + _RELATIVE_DAMPING * H.diagonal(dim1=1, dim2=2)[:, None])
    xi, ok = solve_marked(damped, b, usable=torch.isfinite(M).all(-1).all(-1))
    xi = xi.clamp(-_LARGEST_COMPONENT, _LARGEST_COMPONENT)
    total = counted.sum(1)
    about_centre = _change_of_centre(centre_camera.detach().double(), diameter.double())
    return SolverStep(
        T_camera_object=exp_se3(xi.to(T_camera_object.dtype)) @ T_camera_object.detach(),
        step=torch.linalg.solve(about_centre, xi[..., None])[..., 0],
        normal_matrix=(about_centre.transpose(1, 2) @ H @ about_centre).detach(),
        residual_px=(cost.detach() / total.detach().clamp_min(1e-9)).sqrt(),
        weight_sum=total,
        ok=ok,
    )


def _change_of_centre(centre_camera: Float[Tensor, "B 3"], diameter: Float[Tensor, "B"]) -> Float[Tensor, "B 6 6"]:
    """Takes (v / D, omega) about the object's centre to (v, omega) about the camera's origin."""
    A = torch.eye(6, dtype=centre_camera.dtype, device=centre_camera.device).repeat(len(diameter), 1, 1)
    A[:, :3, :3] *= diameter[:, None, None]
    A[:, :3, 3:] = hat(centre_camera)
    return A
