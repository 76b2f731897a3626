"""Which of several equally distant neighbours comes first: as in the published search.

Symmetric meshes are full of exact ties, neighbour lists are cut, and only the nearest coarse point is read,
so the features of published weights depend on the order of ties. The published extension visits the leaves
of a k-d tree (nanoflann's rules) and then sorts with the C++ library's introsort (libstdc++'s rules), which
keeps ties in the order of the visit only in short lists. Both are followed here, for tied lists alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

_Test = Callable[[np.ndarray], np.ndarray]

_LEAF = 10
_SHORT = 16
_NEARLY = np.float32(1.0) - np.float32(0.00001)


@dataclass(slots=True)
class _Splits:
    """One entry per inner node."""

    axis: list[int] = field(default_factory=list)
    below: list[np.float32] = field(default_factory=list)
    """Highest coordinate on the lower side."""
    above: list[np.float32] = field(default_factory=list)
    """Lowest coordinate on the upper side."""


class VisitTree:
    """The k-d tree of a point cloud, built only to tell in which order a search meets the points.

    Args:
        points: float32.
    """

    def __init__(self, points: Float[np.ndarray, "N 3"]) -> None:
        self._points = points
        self._splits = _Splits()
        self._sequence = np.arange(len(points))
        self._paths: list[tuple[int, int, list[tuple[int, int]]]] = []
        self._divide(0, len(points), points.min(0), points.max(0), [])
        depth = max(len(path) for _, _, path in self._paths)
        self._nodes = np.full((depth, len(points)), -1)
        self._sides = np.zeros((depth, len(points)), bool)
        for start, stop, path in self._paths:
            members = self._sequence[start:stop]
            for level, (node, side) in enumerate(path):
                self._nodes[level, members] = node
                self._sides[level, members] = bool(side)
        self._place = np.empty(len(points), np.int64)
        self._place[self._sequence] = np.arange(len(points))

    def visit_keys(
        self, queries: Float[np.ndarray, "M 3"], supports: Int[np.ndarray, "M"]
    ) -> tuple[Int[np.ndarray, "M"], Int[np.ndarray, "M"]]:
        """For each pair, the rank of the point's leaf in the query's search, and the point's place in the leaf."""
        axis = np.array([*self._splits.axis, 0])
        below = np.array([*self._splits.below, 0], np.float32)
        above = np.array([*self._splits.above, 0], np.float32)
        rank = np.zeros(len(supports), np.int64)
        for nodes, sides in zip(self._nodes, self._sides, strict=True):
            node = nodes[supports]
            value = np.take_along_axis(queries, axis[node][:, None], 1)[:, 0]
            upper_first = (value - below[node]) + (value - above[node]) >= 0
            rank = 2 * rank + ((sides[supports] != upper_first) & (node >= 0))
        return rank, self._place[supports]

    def _divide(
        self, start: int, stop: int, low: np.ndarray, high: np.ndarray, path: list[tuple[int, int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Splits ``sequence[start:stop]`` and returns the box that its points really fill."""
        if stop - start <= _LEAF:
            self._paths.append((start, stop, path))
            members = self._points[self._sequence[start:stop]]
            return members.min(0), members.max(0)
        axis, value, count = self._split(start, stop, low, high)
        node = len(self._splits.axis)
        self._splits.axis.append(axis)
        self._splits.below.append(value)
        self._splits.above.append(value)
        left_high, right_low = high.copy(), low.copy()
        left_high[axis] = right_low[axis] = value
        left = self._divide(start, start + count, low, left_high, [*path, (node, 0)])
        right = self._divide(start + count, stop, right_low, high, [*path, (node, 1)])
        self._splits.below[node], self._splits.above[node] = left[1][axis], right[0][axis]
        return np.minimum(left[0], right[0]), np.maximum(left[1], right[1])

    def _split(self, start: int, stop: int, low: np.ndarray, high: np.ndarray) -> tuple[int, np.float32, int]:
        """Axis, coordinate, and number of points that go to the lower side."""
        members = self._points[self._sequence[start:stop]]
        span = high - low
        smallest, largest = members.min(0), members.max(0)
        wide = span > _NEARLY * span.max()
        axis = int(np.where(wide, largest - smallest, np.float32(-1.0)).argmax())
        middle = (low[axis] + high[axis]) / np.float32(2.0)
        value = min(max(middle, smallest[axis]), largest[axis])
        coordinates = members[:, axis]
        part = np.arange(stop - start)
        lower, part = _partition(part, coordinates, lambda x: x < value, 0)
        not_above, part = _partition(part, coordinates, lambda x: x <= value, lower)
        self._sequence[start:stop] = self._sequence[start:stop][part]
        half = (stop - start) // 2
        return axis, value, lower if lower > half else not_above if not_above < half else half


def _partition(
    order: Int[np.ndarray, "N"], coordinates: Float[np.ndarray, "N"], goes_left: _Test, start: int
) -> tuple[int, Int[np.ndarray, "N"]]:
    """Swaps from both ends inwards until all that go left stand first; the number that do, and the order."""
    left_side = goes_left(coordinates[order]).tolist()
    part = order.tolist()
    left, right = start, len(part) - 1
    while True:
        while left <= right and left_side[left]:
            left += 1
        while right and left <= right and not left_side[right]:
            right -= 1
        if left > right or not right:
            return left, np.array(part)
        for values in (part, left_side):
            values[left], values[right] = values[right], values[left]
        left += 1
        right -= 1


def sort_as_published(distances: list[float]) -> list[int]:
    """The permutation by which libstdc++'s ``std::sort`` puts distances in ascending order."""
    items = list(zip(distances, range(len(distances)), strict=True))
    _introsort(items, 0, len(items), 2 * (len(items).bit_length() - 1))
    _insertion_sort(items)
    return [index for _, index in items]


def _introsort(items: list[tuple[float, int]], first: int, last: int, depth: int) -> None:
    while last - first > _SHORT and depth > 0:
        depth -= 1
        _median_to_front(items, first, first + 1, first + (last - first) // 2, last - 1)
        cut = _partition_around(items, first + 1, last, items[first][0])
        _introsort(items, cut, last, depth)
        last = cut


def _median_to_front(items: list[tuple[float, int]], front: int, a: int, b: int, c: int) -> None:
    low, high = (a, b) if items[a][0] < items[b][0] else (b, a)
    middle = c if items[low][0] < items[c][0] else low
    median = high if items[high][0] < items[c][0] else middle
    items[front], items[median] = items[median], items[front]


def _partition_around(items: list[tuple[float, int]], first: int, last: int, pivot: float) -> int:
    while True:
        while items[first][0] < pivot:
            first += 1
        last -= 1
        while pivot < items[last][0]:
            last -= 1
        if first >= last:
            return first
        items[first], items[last] = items[last], items[first]
        first += 1


def _insertion_sort(items: list[tuple[float, int]]) -> None:
    """Stable, and quick on what introsort leaves."""
    items.sort(key=lambda item: item[0])
