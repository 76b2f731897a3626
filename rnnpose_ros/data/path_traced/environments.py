"""Light from all around: rooms with windows and lamps, open skies, studios. Linear RGB, first row up."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

_ROWS, _COLUMNS = 128, 256

Panorama = Float[np.ndarray, "He We 3"]


def random_environment(rng: np.random.Generator) -> Panorama:
    """A room (half of them), a sky or a studio."""
    kind = rng.random()
    if kind < 0.5:
        return _room(rng)
    return _sky(rng) if kind < 0.75 else _studio(rng)


def _room(rng: np.random.Generator) -> Panorama:
    """Ceiling, walls with furniture and pictures, floor; one to three windows and perhaps ceiling lamps."""
    panorama = np.empty((_ROWS, _COLUMNS, 3))
    ceiling, floor = int(rng.uniform(0.2, 0.38) * _ROWS), int(rng.uniform(0.58, 0.72) * _ROWS)
    panorama[:ceiling] = 0.5 * _tint(rng, 0.05)
    panorama[ceiling:floor] = rng.uniform(0.15, 0.45) * _tint(rng, 0.15)
    panorama[floor:] = rng.uniform(0.05, 0.25) * _tint(rng, 0.25)
    for _ in range(int(rng.integers(10, 30))):
        _patch(panorama, rng, rows=(ceiling, _ROWS - 10), size=(24, 40), color=rng.uniform(0.01, 0.6) * _tint(rng, 0.4))
    for _ in range(int(rng.integers(1, 4))):
        light = rng.uniform(3, 15) * _tint(rng, 0.08)
        _patch(panorama, rng, rows=(ceiling, floor - 10), size=(34, 30), color=light, least=8)
    for _ in range(int(rng.integers(0, 4))):
        light = rng.uniform(6, 25) * _tint(rng, 0.06)
        _patch(panorama, rng, rows=(4, ceiling), size=(8, 26), color=light, least=4)
    return cv2.GaussianBlur(panorama, (0, 0), 0.7)


def _sky(rng: np.random.Generator) -> Panorama:
    """Blue to the horizon, clouds, a hazy sun, dark ground with a skyline."""
    elevation = np.linspace(1, -1, _ROWS)[:, None, None]
    zenith, horizon = np.array([0.25, 0.45, 0.9]), np.array([0.8, 0.85, 0.95])
    panorama = np.repeat(zenith + (horizon - zenith) * (1 - elevation.clip(0)) ** 3, _COLUMNS, 1)
    clouds = cv2.resize(rng.normal(0, 1, (8, 16)), (_COLUMNS, _ROWS), interpolation=cv2.INTER_CUBIC)
    finer = cv2.resize(rng.normal(0, 1, (24, 48)), (_COLUMNS, _ROWS), interpolation=cv2.INTER_CUBIC)
    clouds = np.asarray(clouds) + 0.5 * np.asarray(finer)
    cover = (clouds + rng.uniform(-1.5, 1)).clip(0, 1)
    panorama = panorama + cover[..., None] * rng.uniform(0.2, 1.0)
    row, column = rng.uniform(0.08, 0.42) * _ROWS, rng.uniform(0, _COLUMNS)
    v, u = np.mgrid[0:_ROWS, 0:_COLUMNS]
    across = np.minimum(np.abs(u - column), _COLUMNS - np.abs(u - column)) * np.sin(np.pi * (row + 0.5) / _ROWS)
    haze = rng.uniform(1.5, 6)
    disc = np.exp(-(across**2 + (v - row) ** 2) / (2 * haze**2))
    panorama += disc[..., None] * np.array([1.0, 0.9, 0.75]) * rng.uniform(60, 500) / haze**2
    skyline = _ROWS / 2 - np.repeat(rng.uniform(0, 12, 32), _COLUMNS // 32)
    panorama[v > skyline] = rng.uniform(0.05, 0.3) * _tint(rng, 0.2)
    return panorama


def _studio(rng: np.random.Generator) -> Panorama:
    """Nearly even light, brighter from above; the lamps are left to the scene."""
    elevation = np.linspace(1, -1, _ROWS)[:, None, None]
    even = rng.uniform(0.15, 0.8) * (1 + rng.uniform(0, 0.6) * elevation) * _tint(rng, 0.05)
    return np.repeat(even, _COLUMNS, 1)


def _patch(
    panorama: np.ndarray,
    rng: np.random.Generator,
    *,
    rows: tuple[int, int],
    size: tuple[int, int],
    color: np.ndarray,
    least: int = 2,
) -> None:
    """A rectangle somewhere between two rows, at most so high and wide."""
    height, width = int(rng.integers(least, size[0] + 1)), int(rng.integers(least, size[1] + 1))
    top = int(rng.integers(rows[0], max(rows[1] - height, rows[0] + 1)))
    columns = (int(rng.integers(_COLUMNS)) + np.arange(width)) % _COLUMNS
    panorama[top : top + height, columns] = color


def _tint(rng: np.random.Generator, strength: float) -> np.ndarray:
    return (1 + rng.normal(0, strength, 3)).clip(0.3, 1.7)
