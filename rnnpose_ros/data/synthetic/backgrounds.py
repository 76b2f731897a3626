"""What stands behind the object: tables before walls, patterned surfaces, clutter."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.layers import CutOuts, shaded
from rnnpose_ros.data.synthetic.paving import paved
from rnnpose_ros.data.synthetic.randomization import LookRanges
from rnnpose_ros.data.synthetic.textures import Palette, Picture, draw_shape, noise_field, texture_tile, wood

Array = NDArray[Any]
"""float32."""
_SIDE = 320


class BackgroundPool:
    """A slowly changing set of pictures to cut backgrounds from, filled as they are asked for."""

    def __init__(self, ranges: LookRanges, *, cutouts: CutOuts, rng: np.random.Generator) -> None:
        self._ranges = ranges
        self._cutouts = cutouts
        self._rng = rng
        self._pictures: list[Picture] = []
        self._drawn = 0

    def draw(self, size: int) -> Array:
        """An RGB picture of size x size, 0..1, the caller's to change."""
        self._refresh()
        rng = self._rng
        picture = self._pictures[int(rng.integers(len(self._pictures)))]
        scale = math.exp(rng.uniform(math.log(0.25), math.log(0.85))) * _SIDE / size
        angle = rng.normal(0, 0.25)
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        A = np.array([[c, -s, 0.0], [s, c, 0.0]])
        A[:, 2] = rng.uniform(0.25, 0.75, 2) * _SIDE - A[:, :2] @ np.array([size / 2, size / 2])
        if rng.random() < 0.5:
            A[0] = np.array([0.0, 0.0, _SIDE]) - A[0]
        flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
        view = cv2.warpAffine(picture, A, (size, size), flags=flags, borderMode=border)
        return view.astype(np.float32) * np.float32(1 / 255)

    def state(self) -> dict[str, Any]:
        """All that the next draws depend on but the cut-outs, in tensors and plain types."""
        return {
            "random": self._rng.bit_generator.state,
            "pictures": [torch.from_numpy(picture) for picture in self._pictures],
            "drawn": self._drawn,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state` was taken."""
        self._rng.bit_generator.state = state["random"]
        self._pictures = [picture.cpu().numpy() for picture in state["pictures"]]
        self._drawn = state["drawn"]

    def _refresh(self) -> None:
        """Adds at every second draw until the set is full (starting is quick so), then exchanges now and then."""
        self._drawn += 1
        full = len(self._pictures) >= self._ranges.backgrounds
        if not full and (len(self._pictures) < 4 or self._drawn % 2 == 0):
            self._pictures.append(random_room(self._rng, self._cutouts))
        elif full and self._drawn % self._ranges.draws_per_background == 0:
            index = int(self._rng.integers(len(self._pictures)))
            self._pictures[index] = random_room(self._rng, self._cutouts)


def random_room(rng: np.random.Generator, cutouts: CutOuts) -> Picture:
    """A table before a wall, a surface from above, or a picture, with things lying about."""
    palette = Palette(rng)
    draw = rng.random()
    if draw < 0.45:
        picture = _table(rng)
    elif draw < 0.85:
        picture = _surface(rng, _SIDE)
    else:
        picture = texture_tile(rng, _SIDE, palette=palette)
    for _ in range(int(rng.integers(0, 8)) if rng.random() < 0.6 else 0):
        draw_shape(picture, rng, palette)
    room: Array = picture.astype(np.float32) * np.float32(1 / 255)
    for _ in range(int(rng.integers(0, 7)) if len(cutouts) else 0):
        layer = cutouts.draw(rng, _SIDE, centre=rng.uniform(0, _SIDE, 2), extent=rng.uniform(0.1, 0.6) * _SIDE)
        layer.lay_over(room)
    light = noise_field(rng, 32, octaves=1)[..., 0]
    room = shaded(room, cv2.resize(1 + np.float32(rng.uniform(0.05, 0.4)) * light, (_SIDE, _SIDE)))
    if rng.random() < 0.3:
        room = cv2.GaussianBlur(room, (0, 0), rng.uniform(0.5, 3.0))
    return np.clip(room * 255, 0, 255).astype(np.uint8)


def _surface(rng: np.random.Generator, size: int) -> Picture:
    """Wood, tiles, cloth, stone, plaster, print, or a picture."""
    draw = rng.random()
    if draw < 0.2:
        return wood(rng, size)
    if draw < 0.3:
        return texture_tile(rng, size, palette=Palette(rng))
    if draw < 0.62:
        return paved(rng, size)
    base = (np.full(3, rng.uniform(25, 225)) + rng.normal(0, 10, 3)).astype(np.float32)
    field = noise_field(rng, size, octaves=int(rng.integers(2, 6)))
    field *= np.float32(rng.uniform(3, 25))
    if rng.random() < 0.6:
        field += np.float32(rng.uniform(2, 12)) * rng.standard_normal((size, size, 1), dtype=np.float32)
    return np.clip(base + field, 0, 255).astype(np.uint8)


def _table(rng: np.random.Generator) -> Picture:
    """A table top in perspective, and what is behind its edge."""
    top = _surface(rng, 256)
    picture = _surface(rng, _SIDE)
    edge = rng.uniform(0.0, 0.5) * _SIDE
    narrow = rng.uniform(0.0, 0.6) * _SIDE
    far = [[narrow, edge], [_SIDE - narrow * rng.uniform(0.5, 1), edge]]
    corners = np.array([*far, [_SIDE * 1.3, _SIDE], [-_SIDE * 0.3, _SIDE]], np.float32)
    square = np.array([[0, 0], [255, 0], [255, 255], [0, 255]], np.float32)
    H = cv2.getPerspectiveTransform(square, corners)
    table = cv2.warpPerspective(top, H, (_SIDE, _SIDE), borderMode=cv2.BORDER_REFLECT_101)
    picture[int(edge) :] = table[int(edge) :]
    return picture
