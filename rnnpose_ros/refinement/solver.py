"""Weighted Levenberg-Marquardt on SE(3) with object-centred increments.

The residual of a correspondence is ``target_uv - project(X)``. The increment turns about the object's
centre c and shifts in units of the object's diameter D, so rotation and translation are of one scale and
almost independent: ``X -> exp(omega) (X - c) + c + D v``. Analytic Jacobian with the residual as seventh
column, one batched product, Cholesky in float64; differentiable in targets and weights, not in the
linearisation point.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.camera import NEAR_M, project
from rnnpose_ros.geometry.se3 import hat, increment_about, inverse, transform


@dataclass(frozen=True, slots=True)
class SolverConfig:
    """Damping and limits of one step."""

    damping: float = param(
        1e-3, doc="Levenberg-Marquardt damping relative to the normal matrix's diagonal", bounds=(0.0, 1.0)
    )
    prior: float = param(
        0.5,
        doc="Constant added to the diagonal: the weight of staying, in square pixels",
        unit="px^2",
        bounds=(0.0, 1e6),
    )
    max_step: float = param(0.8, doc="Longest step: norm of (translation / diameter, rotation)", bounds=(0.01, 10.0))
    robust_steps: int = param(
        3, doc="Further steps per iteration, each with the weights of outliers lowered; 0 for none", bounds=(0, 20)
    )
    robust_factor: float = param(
        1.5, doc="Residual, in weighted medians of all residuals, at which a weight is halved", bounds=(0.1, 100.0)
    )
    robust_floor_px: float = param(
        1.0, doc="Residual under which nothing counts as an outlier", unit="px", bounds=(0.01, 100.0)
    )


@dataclass(frozen=True, slots=True, eq=False)
class SolverStep:
    """One step for every item of a batch."""

    T_camera_object: Float[Tensor, "B 4 4"]
    step: Float[Tensor, "B 6"]
    """(v / D, omega), after the limit on its length."""
    normal_matrix: Float[Tensor, "B 6 6"]
    """Undamped, float64, in (v / D, omega) and pixels of the crop."""
    residual_px: Float[Tensor, "B"]
    """Weighted RMS before the step, crop pixels (both axes together)."""
    weight_sum: Float[Tensor, "B"]
    ok: Bool[Tensor, "B"]
    """False where the normal matrix is not positive definite or not finite; the pose is then kept."""


def projection_jacobian(
    points_camera: Float[Tensor, "B N 3"],
    centre_camera: Float[Tensor, "B 3"],
    K: Float[Tensor, "B 3 3"],
    diameter: Float[Tensor, "B"],
) -> Float[Tensor, "B N 2 6"]:
    """Derivative of the projected points in the increment (v / D, omega), pixels."""
    x, y, z = points_camera.unbind(-1)
    z = z.clamp_min(NEAR_M)
    lx, ly, lz = (points_camera - centre_camera[:, None]).unbind(-1)
    fx, fy, D = K[:, 0, 0, None], K[:, 1, 1, None], diameter[:, None]
    zero = torch.zeros_like(x)
    # Of u in the point (a, 0, b), of v (0, c, d); in the rotation, the lever's cross product with each.
    a, b = fx / z, -fx * x / (z * z)
    c, d = fy / z, -fy * y / (z * z)
    of_u = (D * a, zero, D * b, ly * b, lz * a - lx * b, -ly * a)
    of_v = (zero, D * c, D * d, ly * d - lz * c, -lx * d, lx * c)
    # All points of one entry in a row: a quarter of the time of points one after the other.
    return torch.stack([*of_u, *of_v], 1).unflatten(1, (2, 6)).permute(0, 3, 1, 2)


def normal_sums(
    J: Float[Tensor, "B N 2 6"], residual: Float[Tensor, "B N 2"], weights: Float[Tensor, "B N"]
) -> Float[Tensor, "B 7 7"]:
    """The sum of ``w A^T A`` over all points, with the residual as the seventh column of A; in float64."""
    A = torch.cat([J.permute(0, 2, 3, 1), residual.transpose(1, 2)[:, :, None]], 2).double()
    return ((A * weights.double()[:, None, None]) @ A.transpose(2, 3)).sum(1)


def lm_step(
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
    """One damped Gauss-Newton step on the weighted reprojection error.

    Args:
        T_camera_object: Linearisation points.
        points_camera: Surface points at these poses, camera frame, metres.
        target_uv: Where each point is seen, crop pixels.
        weights: At least 0; 0 takes a point out.
        K: Crop cameras.
        centre_camera: Object centres at these poses, metres.
        diameter: Metres.
        config: Damping and limits.
    """
    J = projection_jacobian(points_camera, centre_camera, K, diameter).detach()
    residual = target_uv - project(points_camera, K).detach()
    M = normal_sums(J, residual, weights)
    H, b, cost = M[:, :6, :6], M[:, :6, 6], M[:, 6, 6]
    eye = torch.eye(6, dtype=H.dtype, device=H.device)
    damped = H + eye * (config.damping * H.diagonal(dim1=1, dim2=2)[:, None] + config.prior)
    xi, ok = solve_marked(damped, b, usable=torch.isfinite(M).all(-1).all(-1))
    length = xi.detach().norm(dim=-1, keepdim=True)
    xi = xi * (config.max_step / length.clamp_min(config.max_step))
    total = weights.double().sum(1)
    metric = torch.cat([xi[:, :3] * diameter[:, None].double(), xi[:, 3:]], -1).to(T_camera_object.dtype)
    T = increment_about(T_camera_object.detach(), metric, centre_camera.detach().to(T_camera_object.dtype))
    return SolverStep(
        T_camera_object=T,
        step=xi,
        normal_matrix=H.detach(),
        residual_px=(cost.detach() / total.detach().clamp_min(1e-9)).sqrt(),
        weight_sum=total,
        ok=ok,
    )


def solve_marked(
    damped: Float[Tensor, "B 6 6"], b: Float[Tensor, "B 6"], *, usable: Bool[Tensor, "B"]
) -> tuple[Float[Tensor, "B 6"], Bool[Tensor, "B"]]:
    """Solves each system by Cholesky; one not usable or not positive definite gives zeros and is marked False.

    On a GPU by elimination, whose few small operations a CUDA graph can hold whatever the library.
    """
    eye = torch.eye(6, dtype=damped.dtype, device=damped.device)
    A = torch.where(usable[:, None, None], damped, eye)
    if damped.is_cuda:
        x, ok = eliminate(A, torch.where(usable[:, None], b, torch.zeros_like(b)))
        ok = usable & ok
        return torch.where(ok[:, None], x, torch.zeros_like(x)), ok
    L, info = torch.linalg.cholesky_ex(A)
    ok = usable & (info == 0)
    L = torch.where(ok[:, None, None], L, eye)
    return torch.cholesky_solve(torch.where(ok[:, None], b, torch.zeros_like(b))[..., None], L)[..., 0], ok


def eliminate(A: Float[Tensor, "B 6 6"], b: Float[Tensor, "B 6"]) -> tuple[Float[Tensor, "B 6"], Bool[Tensor, "B"]]:
    """Solves symmetric systems by Gauss-Jordan elimination; True where all pivots, and so the matrix, are positive."""
    M = torch.cat([A, b[..., None]], -1)
    others = 1.0 - torch.eye(6, dtype=A.dtype, device=A.device)
    positive, pivots = [], []
    for k in range(6):
        positive.append(M[:, k, k] > 0)
        pivots.append(torch.where(positive[k], M[:, k, k], torch.ones_like(M[:, k, k])))
        M = M - (M[:, :, k] * others[k])[..., None] * (M[:, k] / pivots[k][:, None])[:, None]
    return M[..., 6] / torch.stack(pivots, -1), torch.stack(positive, -1).all(-1)


def robust_step(
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
    """A step on all correspondences, then steps that count outliers less (IRLS with Cauchy weights).

    The scale is the weighted median of the residuals at the pose so far, so it adapts to how well the
    field as a whole fits a rigid motion. Arguments as in :func:`lm_step`.

    Returns:
        The last step's pose, normal matrix, residual and weights; ``step`` is the sum of all.
    """
    done = lm_step(
        T_camera_object, points_camera, target_uv, weights, K,
        centre_camera=centre_camera, diameter=diameter, config=config,
    )  # fmt: skip
    for _ in range(config.robust_steps):
        move = done.T_camera_object @ inverse(T_camera_object)
        points = transform(move, points_camera)
        residual = (target_uv - project(points, K)).norm(dim=-1).detach()
        scale = (config.robust_factor * weighted_median(residual, weights)).clamp_min(config.robust_floor_px)
        trusted = weights / (1.0 + (residual / scale[:, None]) ** 2)
        centre = transform(move, centre_camera[:, None])[:, 0]
        more = lm_step(
            done.T_camera_object, points, target_uv, trusted, K, centre_camera=centre, diameter=diameter, config=config
        )
        done = dataclasses.replace(more, step=done.step + more.step, ok=done.ok & more.ok)
    return done


def weighted_median(values: Float[Tensor, "B N"], weights: Float[Tensor, "B N"]) -> Float[Tensor, "B"]:
    """The smallest value that has half of the weight at or below it."""
    order = values.argsort(dim=1)
    below = torch.gather(weights, 1, order).cumsum(1)
    index = (below < 0.5 * below[:, -1:]).sum(1, keepdim=True).clamp(max=values.shape[1] - 1)
    return torch.gather(values, 1, torch.gather(order, 1, index))[:, 0]


def pose_covariance(
    normal_matrix: Float[Tensor, "6 6"],
    variance_px: float,
    *,
    diameter: float,
    origin_from_centre: Float[Tensor, "3"],
) -> Float[Tensor, "6 6"] | None:
    """Covariance of the object origin's position and of the rotation, in camera axes.

    Args:
        normal_matrix: Of (v / D, omega) about the object's centre, pixels.
        variance_px: Variance of one residual component, square pixels (same pixels as the normal matrix).
        diameter: D, metres.
        origin_from_centre: The object origin minus the centre, camera axes, metres.

    Returns:
        Order x y z rotX rotY rotZ, m and rad; None where the normal matrix is singular.
    """
    L, info = torch.linalg.cholesky_ex(normal_matrix.double())
    if int(info) != 0:
        return None
    scale = torch.diag(torch.tensor([diameter] * 3 + [1.0] * 3, dtype=torch.float64))
    move = torch.eye(6, dtype=torch.float64)
    move[:3, 3:] = -hat(origin_from_centre.double().cpu())
    A = move @ scale
    covariance = A @ torch.cholesky_inverse(L).cpu() @ A.T * variance_px
    return 0.5 * (covariance + covariance.T) if bool(torch.isfinite(covariance).all()) else None
