"""Building blocks beyond the turned and the folded: plates of any outline, things moved and mirrored."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import Delaunay

from rnnpose_ros.data.demo_sequence.solids import Solid
from rnnpose_ros.objects.normals import face_normals

Loop = Float[np.ndarray, "_ 2"]


def plate(outline: Loop, *, thickness: float, holes: Sequence[Loop] = (), spacing: float = 0.002) -> Solid:
    """A flat piece between z = -thickness / 2 and + thickness / 2; its picture spans the outline's box.

    Args:
        outline: Counter-clockwise corners, metres.
        thickness: Metres.
        holes: Loops inside the outline, either way round.
        spacing: Points along the edges at most so far apart; narrower than any neck of the plate.
    """
    loops = [_dense(outline, spacing), *(_dense(hole, spacing) for hole in holes)]
    points = np.concatenate(loops)
    triangles = Delaunay(points).simplices
    middles = points[triangles].mean(1)
    kept = _inside(middles, loops[0])
    for hole in loops[1:]:
        kept &= ~_inside(middles, hole)
    top = _counter_clockwise(points, triangles[kept])
    count = len(points)
    half = np.full((count, 1), thickness / 2)
    vertices = np.concatenate([np.hstack([points, half]), np.hstack([points, -half])])
    walls, start = [], 0
    for k, loop in enumerate(loops):
        i = start + np.arange(len(loop))
        j = start + np.roll(np.arange(len(loop)), -1)
        if (_area(loop) > 0) != (k == 0):
            i, j = j, i
        walls += [np.stack([i, i + count, j + count], -1), np.stack([i, j + count, j], -1)]
        start += len(loop)
    faces = np.concatenate([top, top[:, ::-1] + count, *walls])
    low, high = points.min(0), points.max(0)
    uvs = (vertices[:, :2] - low) / (high - low)
    return solid_of(vertices, faces, uvs[faces])


def solid_of(vertices: np.ndarray, faces: np.ndarray, corner_uvs: np.ndarray) -> Solid:
    """The solid without the faces that have no area."""
    keep = face_normals(vertices, faces)[1] > 1e-12
    return Solid(vertices, faces[keep], corner_uvs[keep])


def moved(
    solid: Solid,
    *,
    by: Sequence[float] = (0.0, 0.0, 0.0),
    turn_deg: Sequence[float] = (0.0, 0.0, 0.0),
    flip_y: bool = False,
) -> Solid:
    """The solid mirrored in the x z plane if asked for, then turned about x, y and z, then moved."""
    vertices, faces, uvs = solid.vertices, solid.faces, solid.corner_uvs
    if flip_y:
        vertices, faces, uvs = vertices * (1, -1, 1), faces[:, ::-1], uvs[:, ::-1]
    for axis, angle in enumerate(turn_deg):
        vertices = vertices @ _about(axis, math.radians(angle)).T
    return Solid(vertices + np.array(by, float), faces, uvs)


def circle(radius: float, centre: Sequence[float] = (0.0, 0.0), *, points: int = 48) -> Loop:
    """A round loop."""
    angle = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return np.asarray(np.stack([np.cos(angle), np.sin(angle)], -1) * radius + np.array(centre, float))


def oval(half_length: float, half_width: float, centre: Sequence[float] = (0.0, 0.0), *, points: int = 48) -> Loop:
    """A stretched circle."""
    angle = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return np.stack([half_length * np.cos(angle), half_width * np.sin(angle)], -1) + np.array(centre, float)


def rounded(corners: Sequence[Sequence[float]], radius: float, *, steps: int = 6) -> Loop:
    """A counter-clockwise polygon with rounded convex and concave corners."""
    points = np.array(corners, float)
    loop = []
    for before, corner, after in zip(np.roll(points, 1, 0), points, np.roll(points, -1, 0), strict=True):
        a, b = before - corner, after - corner
        reach = min(radius, 0.45 * float(np.linalg.norm(a)), 0.45 * float(np.linalg.norm(b)))
        first, last = corner + reach * a / np.linalg.norm(a), corner + reach * b / np.linalg.norm(b)
        t = np.linspace(0, 1, steps)[:, None]
        loop.append((1 - t) ** 2 * first + 2 * t * (1 - t) * corner + t**2 * last)
    return np.concatenate(loop)


def _dense(loop: Loop, spacing: float) -> Loop:
    pieces = []
    for start, end in zip(loop, np.roll(loop, -1, 0), strict=True):
        count = max(1, math.ceil(float(np.linalg.norm(end - start)) / spacing))
        pieces.append(start + (end - start) * (np.arange(count) / count)[:, None])
    return np.concatenate(pieces)


def _inside(points: np.ndarray, loop: Loop) -> np.ndarray:
    """Even-odd rule."""
    x, y = points[:, 0, None], points[:, 1, None]
    (x0, y0), (x1, y1) = loop.T, np.roll(loop, -1, 0).T
    crosses = (y0 > y) != (y1 > y)
    at = x0 + (y - y0) * (x1 - x0) / np.where(y1 == y0, 1.0, y1 - y0)
    return np.asarray((crosses & (x < at)).sum(1) % 2 == 1)


def _counter_clockwise(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, i]] for i in range(3))
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
    return np.where(clockwise[:, None], triangles[:, ::-1], triangles)


def _area(loop: Loop) -> float:
    following = np.roll(loop, -1, 0)
    return 0.5 * float((loop[:, 0] * following[:, 1] - loop[:, 1] * following[:, 0]).sum())


def _about(axis: int, angle: float) -> np.ndarray:
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[i, i] = R[j, j] = math.cos(angle)
    R[j, i], R[i, j] = math.sin(angle), -math.sin(angle)
    return R
