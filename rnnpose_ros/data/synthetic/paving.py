"""Surfaces laid out in a grid: tiles, bricks, planks, checks, woven stripes, a page of print."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.textures import Palette, Picture, draw_text, noise_field

Array = NDArray[Any]
"""float32."""


def paved(rng: np.random.Generator, size: int) -> Picture:
    """A square of any of them, seen from above."""
    palette = Palette(rng)
    draw = rng.random()
    if draw < 0.5:
        picture = _laid(rng, size, palette)
    elif draw < 0.75:
        picture = _woven(rng, size, palette)
    else:
        return _page(rng, size, palette)
    grain = np.float32(rng.uniform(2, 15)) * noise_field(rng, size, octaves=int(rng.integers(2, 5)))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def _laid(rng: np.random.Generator, size: int, palette: Palette) -> Array:
    """Pieces in rows with joints between, each in a shade of its own; every second row shifted or not."""
    height = int(size / rng.uniform(2, 14))
    width = int(height * rng.choice([1.0, 1.0, 2.0, rng.uniform(1.5, 8.0)]))
    shift = int(width * rng.choice([0.0, 0.5, rng.uniform(0, 1)]))
    joint = int(rng.integers(0, max(1, height // 8) + 1))
    kinds = [palette.color(rng) for _ in range(int(rng.integers(1, 4)))]
    alternate = rng.random() < 0.4
    uneven = rng.uniform(0, 25)
    picture = np.empty((size, size, 3), np.float32)
    picture[:] = palette.color(rng)
    for row, top in enumerate(range(0, size, max(2, height))):
        for column, left in enumerate(range(-width, size, max(2, width))):
            kind = (row + column) if alternate else int(rng.integers(len(kinds)))
            color = np.array(kinds[kind % len(kinds)], np.float32) + np.float32(rng.normal(0, uneven))
            start = left + (row * shift) % max(1, width)
            picture[top : max(top + 1, top + height - joint), max(0, start) : max(0, start + width - joint)] = color
    return picture


def _woven(rng: np.random.Generator, size: int, palette: Palette) -> Array:
    """Stripes along both directions that show through each other."""
    total = np.zeros((size, size, 3), np.float32)
    share = np.float32(rng.uniform(0.3, 0.7))
    for axis, weight in ((0, share), (1, 1 - share)):
        count = int(rng.integers(2, 30))
        used = [palette.color(rng) for _ in range(int(rng.integers(2, 4)))]
        stripes = np.array([used[int(rng.integers(len(used)))] for _ in range(count)], np.float32)
        line = cv2.resize(stripes[None], (size, 1), interpolation=cv2.INTER_NEAREST)[0]
        total += weight * (line[None] if axis == 0 else line[:, None])
    return total


def _page(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Lines of dark print on light paper, sometimes the other way round."""
    picture = np.empty((size, size, 3), np.uint8)
    light, dark = rng.integers(170, 250), rng.integers(5, 70)
    picture[:], ink = (light, (int(dark),) * 3) if rng.random() < 0.7 else (dark, palette.color(rng))
    step = int(rng.integers(max(4, size // 40), max(6, size // 9)))
    for baseline in range(step, size + step, step):
        x = int(rng.integers(0, step))
        while x < size:
            draw_text(picture, rng, (x, baseline), step / 35, ink)
            x += int(step * rng.uniform(2, 6))
    return picture
