"""The robust Levenberg-Marquardt step as one kernel: ``refinement.solver.robust_step`` without fifty small launches.

One thread an object goes over its correspondences in float64, so a step costs a fraction of a millisecond on a
processor. On a GPU one thread an object would be slow; there the tensors' own step is taken.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.refinement.solver import SolverConfig, SolverStep
from rnnpose_ros.rendering.warp_launch import launch, shared_memory, start_warp

wp.set_module_options({"enable_backward": False})

_NEAR = wp.constant(wp.float64(NEAR_M))
vec6 = wp.types.vector(length=6, dtype=wp.float64)
mat66 = wp.types.matrix(shape=(6, 6), dtype=wp.float64)
_BISECTIONS = wp.constant(30)
"""Of the weighted median: the interval is then a thousand-millionth of the largest residual."""


@wp.func
@no_type_check
def _residual(p: wp.vec3d, target: wp.vec2f, K: wp.mat33d):
    z = wp.max(p[2], _NEAR)
    return wp.vec2d(
        wp.float64(target[0]) - (K[0, 0] * p[0] / z + K[0, 2]), wp.float64(target[1]) - (K[1, 1] * p[1] / z + K[1, 2])
    )


@wp.func
@no_type_check
def _rows(p: wp.vec3d, centre: wp.vec3d, diameter: wp.float64, K: wp.mat33d):
    """Derivatives of u and of v in (v / D, omega)."""
    z = wp.max(p[2], _NEAR)
    du = wp.vec3d(K[0, 0] / z, wp.float64(0.0), -K[0, 0] * p[0] / (z * z))
    dv = wp.vec3d(wp.float64(0.0), K[1, 1] / z, -K[1, 1] * p[1] / (z * z))
    lever = p - centre
    tu, tv = wp.cross(lever, du), wp.cross(lever, dv)
    row_u = vec6(du[0] * diameter, du[1] * diameter, du[2] * diameter, tu[0], tu[1], tu[2])
    row_v = vec6(dv[0] * diameter, dv[1] * diameter, dv[2] * diameter, tv[0], tv[1], tv[2])
    return row_u, row_v


@wp.func
@no_type_check
def solved(A: mat66, b: vec6):
    """The solution by Cholesky, and 1 where the matrix is positive definite and finite."""
    L = mat66()
    ok = wp.float64(1.0)
    for i in range(6):
        for j in range(i + 1):
            s = A[i, j]
            for k in range(j):
                s = s - L[i, k] * L[j, k]
            if i == j:
                if not (s > wp.float64(0.0)) or not wp.isfinite(s):
                    ok = wp.float64(0.0)
                    s = wp.float64(1.0)
                L[i, j] = wp.sqrt(s)
            else:
                L[i, j] = s / L[j, j]
    x = vec6()
    for i in range(6):
        s = b[i]
        for k in range(i):
            s = s - L[i, k] * x[k]
        x[i] = s / L[i, i]
    for n in range(6):
        i = 5 - n
        s = x[i]
        for k in range(i + 1, 6):
            s = s - L[k, i] * x[k]
        x[i] = s / L[i, i]
    return x, ok


@wp.func
@no_type_check
def rotation(omega: wp.vec3d):
    """exp of a rotation vector."""
    angle = wp.length(omega)
    a, b = wp.float64(1.0), wp.float64(0.5)
    if angle > wp.float64(1e-8):
        a = wp.sin(angle) / angle
        b = (wp.float64(1.0) - wp.cos(angle)) / (angle * angle)
    W = wp.skew(omega)
    return wp.identity(n=3, dtype=wp.float64) + a * W + b * (W * W)


@wp.kernel
@no_type_check
def _robust_steps(
    points: wp.array2d(dtype=wp.vec3f),
    targets: wp.array2d(dtype=wp.vec2f),
    weights: wp.array2d(dtype=wp.float32),
    K: wp.array(dtype=wp.mat33d),
    centres: wp.array(dtype=wp.vec3d),
    diameters: wp.array(dtype=wp.float64),
    damping: wp.float64,
    prior: wp.float64,
    max_step: wp.float64,
    robust_steps: int,
    robust_factor: wp.float64,
    robust_floor: wp.float64,
    lengths: wp.array2d(dtype=wp.float64),
    used: wp.array2d(dtype=wp.int32),
    R_out: wp.array(dtype=wp.mat33d),
    t_out: wp.array(dtype=wp.vec3d),
    step_out: wp.array(dtype=vec6),
    normal_out: wp.array(dtype=mat66),
    sums_out: wp.array(dtype=wp.vec3d),
):
    item = wp.tid()
    count = wp.int32(0)
    for n in range(points.shape[1]):
        if weights[item, n] != 0.0:
            used[item, count] = n
            count = count + 1
    camera, diameter = K[item], diameters[item]
    centre = centres[item] + wp.vec3d()
    R = wp.identity(n=3, dtype=wp.float64)
    t = wp.vec3d()
    whole = vec6()
    scale = wp.float64(0.0)
    ok = wp.float64(1.0)
    for turn in range(robust_steps + 1):
        if turn > 0:
            highest, total = wp.float64(0.0), wp.float64(0.0)
            for m in range(count):
                n = used[item, m]
                p = R * wp.vec3d(points[item, n]) + t
                lengths[item, m] = wp.length(_residual(p, targets[item, n], camera))
                highest = wp.max(highest, lengths[item, m])
                total = total + wp.float64(weights[item, n])
            low = wp.float64(0.0)
            for _ in range(_BISECTIONS):
                middle = wp.float64(0.5) * (low + highest)
                below = wp.float64(0.0)
                for m in range(count):
                    if lengths[item, m] <= middle:
                        below = below + wp.float64(weights[item, used[item, m]])
                if below < wp.float64(0.5) * total:
                    low = middle
                else:
                    highest = middle
            scale = wp.max(robust_factor * highest, robust_floor)
        H = mat66()
        b = vec6()
        cost, sum_w = wp.float64(0.0), wp.float64(0.0)
        for m in range(count):
            n = used[item, m]
            w = wp.float64(weights[item, n])
            if turn > 0:
                away = lengths[item, m] / scale
                w = w / (wp.float64(1.0) + away * away)
            p = R * wp.vec3d(points[item, n]) + t
            r = _residual(p, targets[item, n], camera)
            row_u, row_v = _rows(p, centre, diameter, camera)
            H = H + w * (wp.outer(row_u, row_u) + wp.outer(row_v, row_v))
            b = b + w * (r[0] * row_u + r[1] * row_v)
            cost = cost + w * wp.dot(r, r)
            sum_w = sum_w + w
        damped = H
        for i in range(6):
            damped[i, i] = H[i, i] * (wp.float64(1.0) + damping) + prior
        xi, solved = solved(damped, b)
        finite = wp.float64(1.0)
        for i in range(6):
            if not wp.isfinite(xi[i]):
                finite = wp.float64(0.0)
        solved = solved * finite
        if solved == wp.float64(0.0):
            xi = vec6()
        ok = ok * solved
        xi = xi * (max_step / wp.max(wp.length(xi), max_step))
        shift = diameter * wp.vec3d(xi[0], xi[1], xi[2])
        E = rotation(wp.vec3d(xi[3], xi[4], xi[5]))
        R = E * R
        t = E * (t - centre) + centre + shift
        centre = centre + shift
        whole = whole + xi
        normal_out[item] = H
        sums_out[item] = wp.vec3d(wp.sqrt(cost / wp.max(sum_w, wp.float64(1e-9))), sum_w, ok)
    R_out[item] = R
    t_out[item] = t
    step_out[item] = whole


def fused_robust_step(
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
    """See :func:`~rnnpose_ros.refinement.solver.robust_step`; tensors on the CPU, no gradients."""
    start_warp()
    batch, count = weights.shape
    f64 = torch.float64
    move, shift = torch.empty(batch, 3, 3, dtype=f64), torch.empty(batch, 3, dtype=f64)
    step, normal = torch.empty(batch, 6, dtype=f64), torch.empty(batch, 6, 6, dtype=f64)
    sums = torch.empty(batch, 3, dtype=f64)
    # Held until the launch is over: the kernel's arguments are their addresses alone.
    given = [
        (points_camera.float().contiguous(), wp.vec3f),
        (target_uv.float().contiguous(), wp.vec2f),
        (weights.float().contiguous(), None),
        (K.expand(batch, 3, 3).to(f64).contiguous(), wp.mat33d),
        (centre_camera.to(f64).contiguous(), wp.vec3d),
        (diameter.to(f64).contiguous(), None),
    ]
    numbers = [
        *(float(v) for v in (config.damping, config.prior, config.max_step)),
        config.robust_steps,
        *(float(v) for v in (config.robust_factor, config.robust_floor_px)),
    ]
    made = [
        (torch.empty(batch, count, dtype=f64), None),
        (torch.empty(batch, count, dtype=torch.int32), None),
        (move, wp.mat33d),
        (shift, wp.vec3d),
        (step, vec6),
        (normal, mat66),
        (sums, wp.vec3d),
    ]
    arrays, results = ([shared_memory(tensor, kind) for tensor, kind in part] for part in (given, made))
    launch(_robust_steps, batch, [*arrays, *numbers, *results])
    T = T_camera_object.to(f64)
    moved = T.clone()
    moved[:, :3, :3] = move @ T[:, :3, :3]
    moved[:, :3, 3] = (move @ T[:, :3, 3:])[..., 0] + shift
    return SolverStep(
        T_camera_object=moved.to(T_camera_object.dtype),
        step=step,
        normal_matrix=normal,
        residual_px=sums[:, 0],
        weight_sum=sums[:, 1],
        ok=sums[:, 2] > 0.5,
    )
