"""Grid subsampling of point clouds, in the order in which the published code emits the points."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_BUCKETS = (
    13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933, 351061, 712697, 1447153,
    2938679, 5967347, 12117689, 24607243, 49969847,
)  # fmt: skip
"""Sizes of a growing hash table of the C++ library that the published extension was built with (libstdc++)."""


def subsample(points: Float[np.ndarray, "N 3"], *, size: float) -> Float[np.ndarray, "M 3"]:
    """The mean of the points in each occupied cell of a grid (KPConv's ``grid_subsampling``).

    All arithmetic is float32, cells lie at whole multiples of ``size``, and the cells come in the order of
    the published code's hash table, so that index tables can be compared with it. No result depends on it
    but for rounding.

    Args:
        points: float32.
        size: Side of a cell, in the unit of the points.
    """
    points = np.ascontiguousarray(points, np.float32)
    step = np.float32(size)
    origin = np.floor(points.min(0) * (np.float32(1.0) / step)) * step
    cell = np.floor((points - origin) / step).astype(np.int64)
    count_x, count_y = (np.floor((points.max(0) - origin) / step).astype(np.int64) + 1)[:2]
    keys = cell[:, 0] + count_x * (cell[:, 1] + count_y * cell[:, 2])
    occupied, first, cell_of_point = np.unique(keys, return_index=True, return_inverse=True)
    sums = np.zeros((len(occupied), 3), np.float32)
    np.add.at(sums, cell_of_point.reshape(-1), points)
    scale = (1.0 / np.bincount(cell_of_point.reshape(-1))).astype(np.float32)
    by_arrival = np.argsort(first)
    order = by_arrival[_hash_order(occupied[by_arrival])]
    return sums[order] * scale[order, None]


def _hash_order(keys: Int[np.ndarray, "M"]) -> Int[np.ndarray, "M"]:
    """Positions of distinct keys, given by arrival, in the iteration order of a libstdc++ ``unordered_map``.

    A key that meets an empty bucket goes to the very front, another one to the front of its bucket; when
    the table grows, everything is inserted again in the order of iteration.
    """
    order = np.arange(0)
    for buckets in _BUCKETS:
        start, stop = len(order), min(buckets, len(keys))
        kept = _inserted(order, keys, buckets)
        order = _inserted(np.concatenate([kept[::-1], np.arange(start, stop)]), keys, buckets)
        if stop == len(keys):
            return order
    raise ValueError(f"{len(keys)} grid cells are more than any object needs")


def _inserted(positions: np.ndarray, keys: np.ndarray, buckets: int) -> np.ndarray:
    """The iteration order after inserting ``keys[positions]`` one after the other into an empty table."""
    _, first, bucket = np.unique(keys[positions] % buckets, return_index=True, return_inverse=True)
    return positions[np.lexsort((-np.arange(len(positions)), -first[bucket.reshape(-1)]))]
