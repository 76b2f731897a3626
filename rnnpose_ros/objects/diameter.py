"""The largest distance between two points of a set."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError

_BLOCK = 1024


def diameter(points: Float[np.ndarray, "V 3"]) -> float:
    """The exact largest distance between two points, in their unit; 0 for fewer than two.

    Only corners of the convex hull can be its ends. Flat or straight sets have no hull in space: then all
    points are candidates.
    """
    candidates = np.unique(np.asarray(points, np.float64), axis=0)
    # Qhull refuses fewer than four points, and points all in one plane.
    with suppress(QhullError, ValueError):
        candidates = candidates[ConvexHull(candidates).vertices]
    return _largest_distance(_prune(candidates))


def _prune(points: np.ndarray) -> np.ndarray:
    """Without the points too near the middle to be an end of the longest pair."""
    if len(points) < _BLOCK:
        return points
    middle = 0.5 * (points.min(0) + points.max(0))
    radius = np.linalg.norm(points - middle, axis=1)
    found = np.linalg.norm(points - points[radius.argmax()], axis=1).max()
    return points[radius >= (found - radius.max()) * (1.0 - 1e-9)]


def _largest_distance(points: np.ndarray) -> float:
    best = 0.0
    centred = points - points.mean(0) if len(points) else points
    squared = np.einsum("ij,ij->i", centred, centred)
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = squared[block, None] + squared[None, start:] - 2.0 * centred[block] @ centred[start:].T
        best = max(best, float(distances.max()))
    return float(np.sqrt(best))
