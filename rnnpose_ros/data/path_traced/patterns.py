"""Surfaces that things stand on and before: wood, stone, tiles, cloth, printed paper. sRGB pictures, seeded."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_SIDE = 512

Field = Float[np.ndarray, "H W"]
Picture = UInt8[np.ndarray, "H W 3"]


def random_pattern(rng: np.random.Generator) -> Picture:
    """One of the patterns, 512 x 512."""
    return (_wood, _stone, _tiles, _cloth, _paper, _plain)[int(rng.integers(6))](rng)


def _wood(rng: np.random.Generator) -> Picture:
    """Boards: rings cut lengthwise, a gap between neighbours."""
    boards = int(rng.integers(2, 7))
    v, u = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    board = np.floor(v * boards)
    offset = rng.uniform(0, 10, boards + 1)[board.astype(int)]
    wave = 0.06 * _clouds(rng, (3, 2)) + 0.02 * _clouds(rng, (40, 4))
    rings = 0.5 + 0.5 * np.sin(rng.uniform(20, 60) * (v + 0.12 * u * rng.normal() + wave + offset))
    grain = _clouds(rng, (240, 8))
    dark, light = _color(rng, (12, 22), 0.3, 0.75), _color(rng, (14, 26), 0.2, 0.95)
    mixed = _between(dark, light, np.clip(0.75 * rings + 0.12 * grain + 0.1 * _steps(rng, board), 0, 1))
    mixed[(v * boards) % 1 < 0.012 * boards] *= 0.35
    return _as_picture(mixed)


def _stone(rng: np.random.Generator) -> Picture:
    """Veins where a folded noise passes zero, over clouds."""
    folded = _clouds(rng, (3, 3)) + 0.6 * _clouds(rng, (9, 9)) + 0.3 * _clouds(rng, (30, 30))
    vein = np.exp(-np.abs(folded) * rng.uniform(6, 20))
    hue = (0, 180)
    ground = _between(_color(rng, hue, 0.1, 0.85), _color(rng, hue, 0.12, 0.5), 0.5 + 0.3 * _clouds(rng, (5, 5)))
    vein_color = _color(rng, hue, 0.2, rng.uniform(0.1, 0.95))
    return _as_picture(ground * (1 - vein[..., None]) + vein[..., None] * vein_color)


def _tiles(rng: np.random.Generator) -> Picture:
    """Tiles of two colours with joints and a stain each."""
    count = int(rng.integers(3, 10))
    v, u = np.mgrid[0:_SIDE, 0:_SIDE] * (count / _SIDE)
    u = u + (rng.random() < 0.4) * 0.5 * (np.floor(v) % 2)
    index = (np.floor(u) * 7 + np.floor(v) * 13).astype(int)
    colors = np.array([_color(rng, (0, 180), rng.uniform(0, 0.5), rng.uniform(0.3, 0.95)) for _ in range(2)])
    shade = rng.normal(1, 0.06, 997)[index % 997]
    picture = colors[((np.floor(u) + np.floor(v)) % 2).astype(int)] * shade[..., None]
    picture *= (1 + 0.08 * _clouds(rng, (20, 20)))[..., None]
    joint = np.minimum(u % 1, v % 1) < 0.04
    picture[joint] = _color(rng, (0, 180), 0.05, rng.uniform(0.2, 0.9))
    return _as_picture(picture)


def _cloth(rng: np.random.Generator) -> Picture:
    """A weave with coloured stripes both ways."""
    warp, weft = (_stripes(rng) for _ in range(2))
    v, u = np.mgrid[0:_SIDE, 0:_SIDE]
    over = (u // 3 + v // 3) % 2
    woven = np.where(over[..., None], warp[None], weft[:, None])
    relief = 0.85 + 0.15 * np.abs(np.sin(np.pi * np.where(over, u, v) / 3))
    return _as_picture(woven * (relief * (1 + 0.05 * _clouds(rng, (30, 30))))[..., None])


def _stripes(rng: np.random.Generator) -> np.ndarray:
    edges = np.sort(rng.integers(0, _SIDE, int(rng.integers(3, 14))))
    colors = [_color(rng, (0, 180), rng.uniform(0, 0.7), rng.uniform(0.3, 0.95)) for _ in range(3)]
    return np.array(colors)[np.searchsorted(edges, np.arange(_SIDE)) % 3]


def _paper(rng: np.random.Generator) -> Picture:
    """A page in a script nobody reads, with columns and grey pictures."""
    page = np.full((_SIDE, _SIDE, 3), rng.uniform(0.8, 0.97))
    columns = int(rng.integers(2, 5))
    width, line = _SIDE // columns, int(rng.integers(7, 13))
    for column in range(columns):
        picture_at = int(rng.integers(0, _SIDE))
        for top in range(8, _SIDE - line, line):
            left = column * width + 8
            if picture_at <= top < picture_at + 90:
                page[top : top + line, left : left + width - 16] *= rng.uniform(0.4, 0.8)
                continue
            strokes = rng.random((3, (width - 16) // 2)) < 0.45
            strokes[:, rng.random(strokes.shape[1]) < 0.16] = False
            ink = cv2.resize(strokes.astype(np.float32), (width - 16, line - 4), interpolation=cv2.INTER_NEAREST)
            page[top : top + line - 4, left : left + width - 16] *= 1 - 0.8 * ink[..., None]
    return _as_picture(page * _color(rng, (15, 30), 0.08, 1.0))


def _plain(rng: np.random.Generator) -> Picture:
    """Paint, a little worn."""
    color = _color(rng, (0, 180), rng.uniform(0, 0.6), rng.uniform(0.25, 0.95))
    return _as_picture(color * (1 + 0.04 * _clouds(rng, (4, 4)) + 0.02 * _clouds(rng, (200, 200)))[..., None])


def _clouds(rng: np.random.Generator, cells: tuple[int, int]) -> Field:
    """Smooth noise of deviation 1, so many cells down and across."""
    return cv2.resize(rng.normal(0, 1, cells), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)


def _steps(rng: np.random.Generator, index: Field) -> Field:
    return rng.normal(0, 1, int(index.max()) + 1)[index.astype(int)]


def _color(rng: np.random.Generator, hues: tuple[int, int], saturation: float, value: float) -> np.ndarray:
    """A colour, 0..1; OpenCV's hues run to 180."""
    hsv = np.array([[[rng.uniform(*hues) * 2.0, saturation, value]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(float)


def _between(first: np.ndarray, second: np.ndarray, share: Field) -> np.ndarray:
    return first + (second - first) * share[..., None]


def _as_picture(values: np.ndarray) -> Picture:
    return (values.clip(0, 1) * 255).round().astype(np.uint8)
