"""Corner normals by crease angle: smooth across soft edges, split at sharp ones."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

CREASE_ANGLE = math.radians(40.0)
"""Faces whose normals differ by more than this do not smooth each other."""

_PAIR_BLOCK = 2_000_000
_MAX_CORNERS_OF_POINT = 256


def face_normals(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> tuple[Float[np.ndarray, "F 3"], Float[np.ndarray, "F"]]:
    """Unit normals (counter-clockwise corners seen from outside) and areas; a zero-area face has normal 0."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    return cross / np.where(length > 0, length, 1.0)[:, None], 0.5 * length


def corner_normals(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], *, crease_angle: float = CREASE_ANGLE
) -> Float[np.ndarray, "F 3 3"]:
    """Unit normal of every face corner.

    A corner's normal is the mean of the normals of the faces around its point that bend by less than
    ``crease_angle`` from the corner's own face, each weighted by its angle at the point. Vertices at the
    same position count as one point, so texture seams do not show as creases.

    Args:
        vertices: Any unit.
        faces: Indices into ``vertices``; zero-area faces get the normal (0, 0, 1).
        crease_angle: Radians.
    """
    normals, _ = face_normals(vertices, faces)
    weights = corner_angles(vertices, faces).reshape(-1)
    point_of_vertex = weld(vertices)[1]
    point_of_corner = point_of_vertex[faces].reshape(-1)
    face_of_corner = np.repeat(np.arange(len(faces)), 3)
    summed = np.zeros((len(weights), 3))
    for own, other in _corner_pairs(point_of_corner):
        n_own, n_other = normals[face_of_corner[own]], normals[face_of_corner[other]]
        soft = np.einsum("ij,ij->i", n_own, n_other) >= math.cos(crease_angle)
        weight = np.where(soft, weights[other], 0.0)
        for axis in range(3):
            summed[:, axis] += np.bincount(own, weight * n_other[:, axis], minlength=len(weights))
    summed = _unit(summed, fallback=normals[face_of_corner])
    return _unit(summed, fallback=np.array([0.0, 0.0, 1.0])).reshape(-1, 3, 3)


def corner_angles(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3"]:
    """The inner angle of each face at each of its corners, radians; 0 where an edge has no length."""
    p = vertices[faces]
    angles = np.zeros((len(faces), 3))
    for i in range(3):
        u, v = p[:, (i + 1) % 3] - p[:, i], p[:, (i + 2) % 3] - p[:, i]
        sine = np.linalg.norm(np.cross(u, v), axis=1)
        angles[:, i] = np.arctan2(sine, np.einsum("ij,ij->i", u, v))
    return angles


def weld(points: Float[np.ndarray, "V 3"]) -> tuple[Int[np.ndarray, "P"], Int[np.ndarray, "V"]]:
    """Equal positions made one: index of each one's first occurrence (ascending), and each point's one."""
    _, first, inverse = np.unique(points + 0.0, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.reshape(-1)]


def _corner_pairs(point_of_corner: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of all ordered pairs of corners at one point, each with itself too.

    A point with more corners than ``_MAX_CORNERS_OF_POINT`` (the tip of a fan) pairs each corner with its
    neighbours in file order only, so that the work stays linear.
    """
    order = np.argsort(point_of_corner, kind="stable")
    _, start, count = np.unique(point_of_corner[order], return_index=True, return_counts=True)
    group_start = np.repeat(start, count)
    group_count = np.repeat(count, count)
    step_count = np.minimum(group_count, _MAX_CORNERS_OF_POINT)
    edges = np.concatenate([[0], np.cumsum(step_count)])
    position = 0
    while position < len(order):
        stop = max(position + 1, int(np.searchsorted(edges, edges[position] + _PAIR_BLOCK, side="right")) - 1)
        steps = step_count[position:stop]
        own = np.repeat(np.arange(position, stop), steps)
        step = np.arange(len(own)) - np.repeat(edges[position:stop] - edges[position], steps)
        rank = own - group_start[own] + step - np.where(group_count[own] > step_count[own], step_count[own] // 2, 0)
        yield order[own], order[group_start[own] + rank % group_count[own]]
        position = stop


def _unit(vectors: np.ndarray, *, fallback: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 1e-12, vectors / np.where(length > 1e-12, length, 1.0), fallback)
