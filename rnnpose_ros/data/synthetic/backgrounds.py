"""What stands behind and before the object: rooms, tables, clutter, hands, cut-outs of earlier renders.

Pictures here are premultiplied RGBA, float32 0..1, unless they say otherwise.
"""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.randomization import LookRanges
from rnnpose_ros.data.synthetic.textures import Palette, draw_shape, noise_field, texture_tile, wood

Array = NDArray[np.float32]
_SIDE = 320


class CutOuts:
    """The last lit renders of objects, cut out, to stand in other photographs."""

    def __init__(self, capacity: int) -> None:
        self._ring: deque[NDArray[np.uint8]] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._ring)

    def add(self, rgba: Array, mask: NDArray[np.bool_]) -> None:
        """Keep what the mask covers of a picture."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) < 8 or len(columns) < 8:
            return
        window = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        self._ring.append(np.clip(window * 255, 0, 255).astype(np.uint8))

    def draw(self, rng: np.random.Generator, size: int, *, centre: tuple[float, float], extent: float) -> Array:
        """A random one on an empty square picture, turned, of the given extent in pixels."""
        cut = self._ring[int(rng.integers(len(self._ring)))]
        height, width = cut.shape[:2]
        scale = extent / max(height, width)
        angle = rng.uniform(0, 2 * math.pi)
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        A = np.array([[c, -s, 0.0], [s, c, 0.0]])
        A[:, 2] = np.array(centre) - A[:, :2] @ np.array([width / 2, height / 2])
        out = cv2.warpAffine(cut, A, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return out.astype(np.float32) * np.float32(1 / 255)


def over(front: Array, back: Array) -> Array:
    """An RGBA picture laid over an RGB one."""
    return front[..., :3] + (1 - front[..., 3:]) * back


class BackgroundPool:
    """A slowly changing set of pictures to cut backgrounds from, filled as they are asked for."""

    def __init__(self, ranges: LookRanges, *, cutouts: CutOuts, rng: np.random.Generator) -> None:
        self._ranges = ranges
        self._cutouts = cutouts
        self._rng = rng
        self._pictures: list[NDArray[np.uint8]] = []
        self._drawn = 0

    def draw(self, size: int) -> Array:
        """An RGB picture, 0..1, of size x size."""
        rng = self._rng
        self._drawn += 1
        full = len(self._pictures) >= self._ranges.backgrounds
        if not full and (len(self._pictures) < 4 or self._drawn % 2 == 0):
            self._pictures.append(random_room(rng, self._cutouts))
        elif full and self._drawn % self._ranges.samples_per_background == 0:
            self._pictures[int(rng.integers(len(self._pictures)))] = random_room(rng, self._cutouts)
        picture = self._pictures[int(rng.integers(len(self._pictures)))]
        scale = math.exp(rng.uniform(math.log(0.4), math.log(1.6))) * _SIDE / size * 0.7
        angle = rng.normal(0, 0.25)
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        A = np.array([[c, -s, 0.0], [s, c, 0.0]])
        A[:, 2] = rng.uniform(0, _SIDE, 2) - A[:, :2] @ np.array([size / 2, size / 2])
        if rng.random() < 0.5:
            A[0] = -A[0] + np.array([0.0, 0.0, _SIDE])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view = cv2.warpAffine(picture, A, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        return view.astype(np.float32) * np.float32(1 / 255)


def random_room(rng: np.random.Generator, cutouts: CutOuts) -> NDArray[np.uint8]:
    """A background: a table before a wall, a patterned surface, or a heap of clutter."""
    palette = Palette(rng)
    draw = rng.random()
    if draw < 0.45:
        picture = _table(rng)
    elif draw < 0.8:
        picture = _surface(rng, _SIDE)
    else:
        picture = texture_tile(rng, _SIDE, palette=palette)
    for _ in range(int(rng.integers(0, 10))):
        draw_shape(picture, rng, palette)
    picture_float = picture.astype(np.float32) / 255
    for _ in range(int(rng.integers(0, 7)) if len(cutouts) else 0):
        centre = tuple(rng.uniform(0, _SIDE, 2))
        picture_float = over(
            cutouts.draw(rng, _SIDE, centre=centre, extent=rng.uniform(0.1, 0.6) * _SIDE), picture_float
        )
    light = 1 + rng.uniform(0.05, 0.4) * noise_field(rng, _SIDE, octaves=1)
    picture_float = picture_float * light
    if rng.random() < 0.3:
        picture_float = cv2.GaussianBlur(picture_float, (0, 0), rng.uniform(0.5, 3.0))
    return np.clip(picture_float * 255, 0, 255).astype(np.uint8)


def _surface(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Wood, cloth, stone, plaster, or a picture."""
    draw = rng.random()
    if draw < 0.3:
        return wood(rng, size)
    if draw < 0.45:
        return texture_tile(rng, size, palette=Palette(rng))
    base = np.full(3, rng.uniform(25, 235)) + rng.normal(0, 12, 3)
    field = noise_field(rng, size, octaves=int(rng.integers(2, 6)), channels=1)
    grain = rng.standard_normal((size, size, 1), dtype=np.float32) * rng.choice([0.0, 4.0, 12.0])
    return np.clip(base + rng.uniform(3, 30) * field + grain, 0, 255).astype(np.uint8)


def _table(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A table top in perspective, and what is behind its edge."""
    top = _surface(rng, 256)
    behind = _surface(rng, _SIDE)
    edge = rng.uniform(-0.1, 0.5) * _SIDE
    narrow = rng.uniform(0.0, 0.6) * _SIDE
    corners = np.array([[narrow, edge], [_SIDE - narrow * rng.uniform(0.5, 1), edge],
                        [_SIDE * 1.3, _SIDE], [-_SIDE * 0.3, _SIDE]], np.float32)  # fmt: skip
    square = np.array([[0, 0], [255, 0], [255, 255], [0, 255]], np.float32)
    H = cv2.getPerspectiveTransform(square, corners)
    table = cv2.warpPerspective(top, H, (_SIDE, _SIDE), borderMode=cv2.BORDER_REFLECT_101)
    rows = np.arange(_SIDE)[:, None, None] >= edge
    return np.where(rows, table, behind)


def occluder(rng: np.random.Generator, size: int, cutouts: CutOuts, *, texture: Array) -> Array:
    """Something between camera and object: another render, a patch, or a hand.

    Args:
        texture: size x size RGB that patches are cut from.
    """
    centre = size / 2 + rng.normal(0, 0.28 * size, 2)
    extent = rng.uniform(0.15, 0.55) * size
    draw = rng.random()
    if draw < 0.45 and len(cutouts):
        return cutouts.draw(rng, size, centre=(centre[0], centre[1]), extent=extent)
    if draw < 0.75:
        return _patch(rng, size, centre, 0.5 * extent, texture)
    return hand(rng, size, centre)


def _patch(rng: np.random.Generator, size: int, centre: NDArray, radius: float, texture: Array) -> Array:
    corners = int(rng.integers(3, 12))
    angle = np.sort(rng.uniform(0, 2 * math.pi, corners))
    points = centre + (radius * rng.uniform(0.4, 1.3, corners))[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.4:
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.6, 2.5))
    alpha = mask[..., None].astype(np.float32) / 255
    return np.concatenate([texture * alpha, alpha], -1)


def hand(rng: np.random.Generator, size: int, centre: NDArray) -> Array:
    """Skin-coloured fingers reaching in from one side."""
    tone = np.array([rng.uniform(0.35, 0.95), 0, 0])
    tone[1] = tone[0] * rng.uniform(0.62, 0.8)
    tone[2] = tone[1] * rng.uniform(0.7, 0.95)
    angle = rng.uniform(0, 2 * math.pi)
    inward = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-inward[1], inward[0]])
    width = max(3, int(size * rng.uniform(0.05, 0.1)))
    mask = np.zeros((size, size), np.uint8)
    relief = np.zeros((size, size), np.uint8)
    for i in range(int(rng.integers(1, 5))):
        tip = centre + across * (i - 1.5) * width * rng.uniform(1.0, 1.3) + inward * rng.normal(0, 0.5 * width)
        knuckle = tip - inward * size * rng.uniform(0.2, 0.35) + across * rng.normal(0, 0.4 * width)
        root = knuckle - inward * size
        path = np.array([tip, knuckle, root]).astype(np.int32)
        cv2.polylines(mask, [path], False, 255, width, cv2.LINE_AA)
        cv2.polylines(relief, [path], False, 160, max(1, int(0.8 * width)), cv2.LINE_AA)
        cv2.polylines(relief, [path], False, 255, max(1, width // 3), cv2.LINE_AA)
    relief = cv2.GaussianBlur(relief, (0, 0), width * 0.25)
    alpha = mask[..., None].astype(np.float32) / 255
    shade = 0.45 + 0.55 * relief[..., None].astype(np.float32) / 255
    return np.concatenate([tone.astype(np.float32) * shade * alpha, alpha], -1)
