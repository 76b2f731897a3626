"""Pieces of picture that lie over others, and the store of cut-out renders they often come from."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
"""float32."""
_MIN_CUT_PX = 8


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A rectangle of premultiplied RGBA (0..1), somewhere on a picture; it may be empty."""

    rgba: Array
    left: int
    top: int

    @staticmethod
    def of(rgba: Array) -> Layer:
        """The smallest rectangle that holds all of a premultiplied picture."""
        covered = rgba[..., 3] > 0
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        if not len(rows):
            return Layer(rgba[:0, :0], 0, 0)
        window = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return Layer(window, int(columns[0]), int(rows[0]))

    def lay_over(self, picture: Array) -> None:
        """Covers an RGB picture, in place."""
        height, width = self.rgba.shape[:2]
        window = picture[self.top : self.top + height, self.left : self.left + width]
        if window.size:
            window[:] = shaded(window, 1 - cv2.extractChannel(self.rgba, 3))
            window += cv2.cvtColor(self.rgba, cv2.COLOR_RGBA2RGB)

    def covers(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Where a picture of that shape is hidden by more than half."""
        mask = np.zeros(shape, np.bool_)
        height, width = self.rgba.shape[:2]
        mask[self.top : self.top + height, self.left : self.left + width] = self.rgba[..., 3] > 0.5
        return mask


def shaded(picture: Array, field: Array) -> Array:
    """An RGB picture times a field of its size (several times faster than broadcasting over three channels)."""
    return cv2.multiply(picture, cv2.merge((field, field, field)))


def turned_layer(cut: NDArray[np.uint8], size: int, *, centre: NDArray, extent: float, angle: float) -> Layer:
    """A cut-out (premultiplied RGBA bytes) scaled to an extent in pixels and turned, on a square picture."""
    height, width = cut.shape[:2]
    scale = extent / max(height, width)
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    half = 0.5 * np.array([abs(c) * width + abs(s) * height, abs(s) * width + abs(c) * height]) + 1
    low = np.clip(np.floor(centre - half), 0, size).astype(int)
    high = np.clip(np.ceil(centre + half), 0, size).astype(int)
    extent_uv = high - low
    if extent_uv.min() < 1:
        return Layer(np.zeros((0, 0, 4), np.float32), 0, 0)
    A = np.array([[c, -s, 0.0], [s, c, 0.0]])
    A[:, 2] = centre - low - A[:, :2] @ np.array([width / 2, height / 2])
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_CONSTANT
    window = cv2.warpAffine(cut, A, (int(extent_uv[0]), int(extent_uv[1])), flags=flags, borderMode=border)
    return Layer(window.astype(np.float32) * np.float32(1 / 255), int(low[0]), int(low[1]))


class CutOuts:
    """The last lit renders of objects, cut out, to stand in other photographs."""

    def __init__(self, capacity: int) -> None:
        self._ring: deque[NDArray[np.uint8]] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._ring)

    def state(self) -> list[Tensor]:
        """The pictures, oldest first."""
        return [torch.from_numpy(cut) for cut in self._ring]

    def restore(self, state: list[Tensor]) -> None:
        """Goes on where :meth:`state` was taken."""
        self._ring.clear()
        self._ring.extend(cut.cpu().numpy() for cut in state)

    def add(self, layer: Layer) -> None:
        """Keep a piece of picture, unless it is tiny."""
        if min(layer.rgba.shape[:2]) >= _MIN_CUT_PX:
            self._ring.append(np.clip(layer.rgba * 255, 0, 255).astype(np.uint8))

    def draw(self, rng: np.random.Generator, size: int, *, centre: NDArray, extent: float, last: bool = False) -> Layer:
        """A random one (or the last one), turned at random, around a pixel of a square picture."""
        index = -1 if last else int(rng.integers(len(self._ring)))
        return turned_layer(self._ring[index], size, centre=centre, extent=extent, angle=rng.uniform(0, 2 * math.pi))
