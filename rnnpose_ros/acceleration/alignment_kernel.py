"""Direct alignment as one kernel: ``refinement.alignment.descend`` without a hundred small operations a step.

One thread an object goes through the pictures row by row: what a window needs stays in the processor's cache. On a GPU
one thread an object would be slow; there the tensors' own steps are taken.
"""

# mypy: disable-error-code="valid-type"
# Types of Warp's arrays are made by calls, as Warp wants them.

from __future__ import annotations

from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.acceleration.solver_kernel import mat66, rotation, solved, vec6
from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.refinement.alignment import LEAST_SCALE, LEAST_VARIANCE, OUTLIER_SCALE, SETTLED, Descent
from rnnpose_ros.refinement.comparison import Comparison
from rnnpose_ros.rendering.warp_launch import launch, shared_memory, start_warp

wp.set_module_options({"enable_backward": False})

_NEAR = wp.constant(NEAR_M)
_SETTLED = wp.constant(wp.float64(SETTLED))
_OUTLIER_SCALE, _LEAST_SCALE = wp.constant(OUTLIER_SCALE), wp.constant(LEAST_SCALE)
_LEAST_VARIANCE = wp.constant(wp.float64(LEAST_VARIANCE))
_BINS = wp.constant(4096)
"""Of the median: it is found to a hundredth of a percent of the largest residual."""


class _PicturesLayout:
    """A :class:`~rnnpose_ros.refinement.comparison.Comparison` in the kernel."""

    photo: wp.array2d(dtype=wp.float32)
    points: wp.array3d(dtype=wp.float32)
    inner: wp.array2d(dtype=wp.float32)
    share: wp.array2d(dtype=wp.float32)
    render: wp.array2d(dtype=wp.float32)
    used: wp.array2d(dtype=wp.int64)
    weights: wp.array(dtype=wp.float32)
    gradient: wp.array2d(dtype=wp.float32)
    left: wp.float32
    top: wp.float32
    first_row: wp.int32
    last_row: wp.int32
    first_column: wp.int32
    last_column: wp.int32
    reach: wp.int32
    contrast: wp.float32
    pixels_each: wp.float64
    correlated_px: wp.float64
    K: wp.mat33f
    centre: wp.vec3d
    diameter: wp.float64


class _ScratchLayout:
    """Memory of the kernel: pictures, of which rows pass through, and values of the used pixels."""

    fetched: wp.array2d(dtype=wp.float32)
    sums: wp.array3d(dtype=wp.float32)
    columns: wp.array2d(dtype=wp.float32)
    normalised: wp.array2d(dtype=wp.float32)
    residuals: wp.array(dtype=wp.float32)
    bins: wp.array(dtype=wp.int32)


# Not by decorator: a checker of types that decorates classes in turn would find no class.
_Pictures: Any = wp.struct(_PicturesLayout)
_Scratch: Any = wp.struct(_ScratchLayout)


@wp.func
@no_type_check
def _point(s: _Pictures, r: int, c: int):
    return wp.vec3f(s.points[0, r, c], s.points[1, r, c], s.points[2, r, c])


@wp.func
@no_type_check
def _fetch_row(s: _Pictures, m: _Scratch, KR: wp.mat33f, Kt: wp.vec3f, r: int):
    """The photograph at the places of a row's points; 0 off the object."""
    height, width = s.photo.shape[0], s.photo.shape[1]
    for c in range(s.first_column, s.last_column + 1):
        value = wp.float32(0.0)
        if s.inner[r, c] > 0.0:
            p = KR * _point(s, r, c) + Kt
            z = wp.max(p[2], _NEAR)
            u = wp.clamp(p[0] / z - s.left, 0.0, float(width - 1))
            v = wp.clamp(p[1] / z - s.top, 0.0, float(height - 1))
            i, j = wp.min(int(u), width - 2), wp.min(int(v), height - 2)
            right, below = u - float(i), v - float(j)
            upper = s.photo[j, i] + right * (s.photo[j, i + 1] - s.photo[j, i])
            lower = s.photo[j + 1, i] + right * (s.photo[j + 1, i + 1] - s.photo[j + 1, i])
            value = upper + below * (lower - upper)
        m.fetched[r, c] = value


@wp.func
@no_type_check
def _add_row(s: _Pictures, m: _Scratch, r: int):
    """Sums over the part of each window that lies in this row, added to those of the columns."""
    total, squares = wp.float32(0.0), wp.float32(0.0)
    for c in range(s.first_column, s.last_column + s.reach + 1):
        if c <= s.last_column:
            entering = m.fetched[r, c]
            total = total + entering
            squares = squares + entering * entering
        gone = c - 2 * s.reach - 1
        if gone >= s.first_column:
            leaving = m.fetched[r, gone]
            total = total - leaving
            squares = squares - leaving * leaving
        at = c - s.reach
        if at >= s.first_column:
            m.sums[0, r, at] = total
            m.sums[1, r, at] = squares
            m.columns[0, at] = m.columns[0, at] + total
            m.columns[1, at] = m.columns[1, at] + squares


@wp.func
@no_type_check
def _normalise_row(s: _Pictures, m: _Scratch, r: int):
    """Zero mean and unit contrast; gives photo x render and photo x photo summed over the row."""
    product, square = wp.float32(0.0), wp.float32(0.0)
    for c in range(s.first_column, s.last_column + 1):
        if s.inner[r, c] > 0.0:
            mean = m.columns[0, c] / s.share[r, c]
            variance = wp.max(m.columns[1, c] / s.share[r, c] - mean * mean, 0.0)
            value = (m.fetched[r, c] - mean) / wp.sqrt(variance + s.contrast * s.contrast)
            m.normalised[r, c] = value
            product = product + value * s.render[r, c]
            square = square + value * value
    return product, square


@wp.func
@no_type_check
def _compare(s: _Pictures, m: _Scratch, KR: wp.mat33f, Kt: wp.vec3f):
    """Normalises the photograph as this motion fetches it; gives photo x render and photo x photo."""
    product, square = wp.float64(0.0), wp.float64(0.0)
    for c in range(s.first_column, s.last_column + 1):
        m.columns[0, c] = 0.0
        m.columns[1, c] = 0.0
    for r in range(s.first_row, s.last_row + s.reach + 1):
        if r <= s.last_row:
            _fetch_row(s, m, KR, Kt, r)
            _add_row(s, m, r)
        gone = r - 2 * s.reach - 1
        if gone >= s.first_row:
            for c in range(s.first_column, s.last_column + 1):
                m.columns[0, c] = m.columns[0, c] - m.sums[0, gone, c]
                m.columns[1, c] = m.columns[1, c] - m.sums[1, gone, c]
        if r - s.reach >= s.first_row:
            in_row, squares = _normalise_row(s, m, r - s.reach)
            product = product + wp.float64(in_row)
            square = square + wp.float64(squares)
    return product, square


@wp.func
@no_type_check
def _median_residual(s: _Pictures, m: _Scratch):
    """Residuals of the used pixels, and the median of their sizes."""
    count = s.weights.shape[0]
    highest = wp.float32(1.0e-12)
    for n in range(count):
        r, c = int(s.used[0, n]), int(s.used[1, n])
        m.residuals[n] = m.normalised[r, c] - s.render[r, c]
        highest = wp.max(highest, wp.abs(m.residuals[n]))
    for b in range(_BINS):
        m.bins[b] = 0
    per_bin = float(_BINS) / highest
    for n in range(count):
        b = wp.min(int(wp.abs(m.residuals[n]) * per_bin), _BINS - 1)
        m.bins[b] = m.bins[b] + 1
    before, bin = wp.int32(0), wp.int32(0)
    half = (count + 1) / 2
    while bin < _BINS - 1 and before + m.bins[bin] < half:
        before = before + m.bins[bin]
        bin = bin + 1
    inside = (float(half - before) - 0.5) / float(wp.max(m.bins[bin], 1))
    return (float(bin) + wp.clamp(inside, 0.0, 1.0)) / per_bin


@wp.func
@no_type_check
def _row_of(s: _Pictures, m: _Scratch, R: wp.mat33f, t: wp.vec3f, centre: wp.vec3f, n: int):
    """Derivative of a used pixel's residual in (v / D, omega)."""
    r, c = int(s.used[0, n]), int(s.used[1, n])
    gu = 0.5 * (s.gradient[0, n] + 0.5 * (m.normalised[r, c + 1] - m.normalised[r, c - 1]))
    gv = 0.5 * (s.gradient[1, n] + 0.5 * (m.normalised[r + 1, c] - m.normalised[r - 1, c]))
    p = R * _point(s, r, c) + t
    z = wp.max(p[2], _NEAR)
    x, y = gu * s.K[0, 0] / z, gv * s.K[1, 1] / z
    along = wp.vec3f(x, y, -(x * p[0] + y * p[1]) / z)
    turn = wp.cross(p - centre, along)
    D = float(s.diameter)
    return vec6(
        wp.float64(D * along[0]), wp.float64(D * along[1]), wp.float64(D * along[2]),
        wp.float64(turn[0]), wp.float64(turn[1]), wp.float64(turn[2]),
    )  # fmt: skip


@wp.func
@no_type_check
def _equations(s: _Pictures, m: _Scratch, T: wp.mat44d, T_object_render: wp.mat44d, square_render: wp.float64):
    """Normal matrix, right side and agreement of one pose."""
    move = T * T_object_render
    R = wp.mat33f(
        float(move[0, 0]), float(move[0, 1]), float(move[0, 2]),
        float(move[1, 0]), float(move[1, 1]), float(move[1, 2]),
        float(move[2, 0]), float(move[2, 1]), float(move[2, 2]),
    )  # fmt: skip
    t = wp.vec3f(float(move[0, 3]), float(move[1, 3]), float(move[2, 3]))
    product, square = _compare(s, m, s.K * R, s.K * t)
    agreement = product / wp.max(wp.sqrt(square * square_render), wp.float64(1.0e-6))
    scale = wp.max(_OUTLIER_SCALE * _median_residual(s, m), _LEAST_SCALE)
    moved = wp.transform_point(T, s.centre)
    centre = wp.vec3f(float(moved[0]), float(moved[1]), float(moved[2]))
    H, b = mat66(), vec6()
    cost, total = wp.float64(0.0), wp.float64(0.0)
    for n in range(s.weights.shape[0]):
        residual = m.residuals[n]
        away = residual / scale
        w = wp.float64(s.weights[n] / (1.0 + away * away))
        row = _row_of(s, m, R, t, centre, n)
        weighted = w * row
        H = H + wp.outer(weighted, row)
        b = b - wp.float64(residual) * weighted
        cost = cost + w * wp.float64(residual) * wp.float64(residual)
        total = total + w
    factor = s.pixels_each / (wp.max(cost / total, _LEAST_VARIANCE) * s.correlated_px)
    return factor * H, factor * b, agreement


@wp.func
@no_type_check
def _moved(T: wp.mat44d, step: vec6, centre_object: wp.vec3d, diameter: wp.float64):
    """The pose after an increment about the object's centre."""
    E = rotation(wp.vec3d(step[3], step[4], step[5]))
    centre = wp.transform_point(T, centre_object)
    R = E * wp.mat33d(T[0, 0], T[0, 1], T[0, 2], T[1, 0], T[1, 1], T[1, 2], T[2, 0], T[2, 1], T[2, 2])
    t = E * (wp.vec3d(T[0, 3], T[1, 3], T[2, 3]) - centre) + centre + diameter * wp.vec3d(step[0], step[1], step[2])
    zero, one = wp.float64(0.0), wp.float64(1.0)
    return wp.mat44d(
        R[0, 0], R[0, 1], R[0, 2], t[0],
        R[1, 0], R[1, 1], R[1, 2], t[1],
        R[2, 0], R[2, 1], R[2, 2], t[2],
        zero, zero, zero, one,
    )  # fmt: skip


@wp.kernel
@no_type_check
def _descend(
    s: _Pictures,
    m: _Scratch,
    steps: int,
    square_render: wp.float64,
    T_start: wp.array(dtype=wp.mat44d),
    T_object_render: wp.array(dtype=wp.mat44d),
    prior: wp.array(dtype=mat66),
    T_out: wp.array(dtype=wp.mat44d),
    moved_out: wp.array(dtype=vec6),
    information_out: wp.array(dtype=mat66),
    outcome: wp.array(dtype=wp.float64),
):
    T = T_start[0] + wp.mat44d()
    moved = vec6()
    information = prior[0] + mat66()
    H, b, agreement = _equations(s, m, T, T_object_render[0], square_render)
    outcome[0] = agreement
    ok, turn = wp.float64(1.0), wp.int32(0)
    while turn < steps:
        information = prior[0] + H
        step, fine = solved(information, b - prior[0] * moved)
        ok = ok * fine
        moved = moved + step
        T = _moved(T, step, s.centre, s.diameter)
        H, b, agreement = _equations(s, m, T, T_object_render[0], square_render)
        turn = turn + 1
        if wp.length(step) < _SETTLED or ok == wp.float64(0.0):
            turn = steps
    outcome[1] = agreement
    outcome[2] = ok
    T_out[0] = T
    moved_out[0] = moved
    information_out[0] = information


def fused_descend(
    comparison: Comparison, T_camera_object: Float[Tensor, "4 4"], prior_information: Float[Tensor, "6 6"]
) -> Descent | None:
    """See :func:`~rnnpose_ros.refinement.alignment.descend`; tensors on the CPU."""
    start_warp()
    f64 = torch.float64
    pictures, scratch = _pictures(comparison), _scratch(comparison)
    given = [
        (T_camera_object.to(f64), wp.mat44d),
        (comparison.T_object_render.to(f64), wp.mat44d),
        (prior_information.to(f64), mat66),
    ]
    T, moved, information = torch.empty(4, 4, dtype=f64), torch.empty(6, dtype=f64), torch.empty(6, 6, dtype=f64)
    outcome = torch.empty(3, dtype=f64)
    made = [(T, wp.mat44d), (moved, vec6), (information, mat66)]
    # Held until the launch is over: the kernel's arguments are their addresses alone.
    held = [(tensor.contiguous()[None], kind) for tensor, kind in (*given, *made)]
    arrays = [shared_memory(tensor, kind) for tensor, kind in held]
    numbers = [comparison.config.steps, float((comparison.render.double() ** 2).sum())]
    launch(_descend, 1, [pictures, scratch, *numbers, *arrays, shared_memory(outcome)])
    before, after, ok = outcome.tolist()
    return Descent(T, moved, information, before=before, after=after) if ok > 0.5 else None


def _pictures(comparison: Comparison) -> Any:
    """The kernel's view of a comparison, which keeps its memory."""
    c, s = comparison, _Pictures()
    s.photo, s.points, s.inner, s.share, s.render, s.used, s.weights, s.gradient = (
        wp.from_torch(tensor.contiguous())
        for tensor in (c.photo, c.points_render, c.inner, c.share, c.render, c.used, c.weights, c.render_gradient)
    )
    s.left, s.top = (float(n) for n in c.corner_uv)
    rows, columns = (c.inner.amax(dim).nonzero()[:, 0] for dim in (1, 0))
    s.first_row, s.last_row = int(rows[0]), int(rows[-1])
    s.first_column, s.last_column = int(columns[0]), int(columns[-1])
    s.reach, s.contrast, s.correlated_px = c.config.window_px, c.config.contrast, c.config.correlated_px
    s.pixels_each, s.diameter = float(c.pixels_each), float(c.diameter)
    s.K, s.centre = wp.mat33f(*c.K.flatten().tolist()), wp.vec3d(*c.centre_object.tolist())
    return s


def _scratch(comparison: Comparison) -> Any:
    h, w = comparison.inner.shape
    m = _Scratch()
    m.fetched, m.normalised = (wp.from_torch(torch.zeros(h, w)) for _ in range(2))
    m.sums, m.columns = wp.from_torch(torch.empty(2, h, w)), wp.from_torch(torch.empty(2, w))
    m.residuals = wp.from_torch(torch.empty(len(comparison.weights)))
    m.bins = wp.from_torch(torch.empty(_BINS, dtype=torch.int32))
    return m
