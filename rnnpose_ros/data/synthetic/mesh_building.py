"""From a loose shape to a clean mesh: welded vertices, corner normals, the diameter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weld(vertices: Array, faces: NDArray[np.int64], *per_face: NDArray) -> tuple:
    """Merge coincident vertices and drop faces without area, with everything that belongs to faces."""
    scale = np.ptp(vertices, axis=0).max() + 1e-12
    keys = np.round((vertices - vertices.min(0)) * (1e6 / scale)).astype(np.int64)
    key = (keys[:, 0] << 42) | (keys[:, 1] << 21) | keys[:, 2]
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    welded = index[faces]
    p = vertices[first][welded]
    area = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1)
    keep = area > 1e-9 * scale**2
    return (vertices[first], welded[keep], *(values[keep] for values in per_face))


def corner_normals(vertices: Array, faces: NDArray[np.int64], *, crease_deg: float) -> Array:
    """Unit normals (F 3 3): each corner averages the faces at its vertex that bend less than the crease.

    A crease of 0 gives flat faces, 180 a surface that is smooth everywhere.
    """
    p = vertices[faces]
    weighted = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    unit = weighted / (np.linalg.norm(weighted, axis=1, keepdims=True) + 1e-30)
    if crease_deg <= 0:
        return np.repeat(unit[:, None], 3, axis=1)
    corner_vertex = faces.ravel()
    order = np.argsort(corner_vertex, kind="stable")
    face_of = order // 3
    counts = np.bincount(corner_vertex, minlength=len(vertices))
    start = np.concatenate([[0], np.cumsum(counts)[:-1]])[corner_vertex]
    own = np.repeat(np.arange(len(faces)), 3)
    total = np.zeros((len(own), 3))
    limit = np.cos(np.radians(crease_deg)) - 1e-9
    for k in range(int(counts.max())):
        active = np.flatnonzero(counts[corner_vertex] > k)
        other = face_of[start[active] + k]
        close = (unit[own[active]] * unit[other]).sum(1) >= limit
        total[active[close]] += weighted[other[close]]
    norm = np.linalg.norm(total, axis=1, keepdims=True)
    normals = np.where(norm > 1e-30, total / np.maximum(norm, 1e-30), unit[own])
    return normals.reshape(-1, 3, 3)


def diameter(vertices: Array) -> float:
    """Largest distance between two vertices, among those that are extreme along many directions."""
    golden = np.arange(400) + 0.5
    z = 1 - golden / 400
    angle = np.pi * (1 + 5**0.5) * golden
    radius = np.sqrt(1 - z * z)
    heights = vertices @ np.stack([radius * np.cos(angle), radius * np.sin(angle), z])
    extreme = vertices[np.unique(np.concatenate([heights.argmax(0), heights.argmin(0)]))]
    squared = (extreme**2).sum(1)
    return float(np.sqrt(max((squared[:, None] + squared[None] - 2 * extreme @ extreme.T).max(), 0.0)))
