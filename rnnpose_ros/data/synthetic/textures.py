"""Random pictures for surfaces and backgrounds: paint, wood, print, labels. Some milliseconds each."""

from __future__ import annotations

import string
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]
"""uint8, H W 3, red first."""

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
_LETTERS = np.array(list(string.ascii_letters + string.digits + "   &-!."))


class Palette:
    """The few colours that belong together on one object."""

    def __init__(self, rng: np.random.Generator) -> None:
        count = int(rng.integers(3, 9))
        hue = (rng.uniform(0, 180) + rng.normal(0, rng.choice([12, 40, 90]), count)) % 180
        saturation = np.clip(rng.normal(rng.choice([35, 100, 170]), 45, count), 0, 240)
        value = np.clip(rng.normal(rng.choice([80, 140, 190]), 60, count), 10, 245)
        hsv = np.stack([hue, saturation, value], 1).astype(np.uint8)[None]
        colors = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
        extremes = np.array([[245, 245, 240], [20, 20, 22]], np.uint8)
        self._colors = np.concatenate([colors, extremes[: int(rng.integers(0, 3))]])

    def color(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """One of the colours."""
        r, g, b = self._colors[rng.integers(len(self._colors))]
        return int(r), int(g), int(b)


def noise_field(rng: np.random.Generator, size: int, *, octaves: int, channels: int = 1) -> NDArray[Any]:
    """Smooth noise of size x size x channels, about -1..1, from coarse grids blown up."""
    total = np.zeros((size, size, channels), np.float32)
    cells, weight = int(rng.integers(2, 6)), 1.0
    for _ in range(octaves):
        grid = rng.standard_normal((min(cells, size), min(cells, size), channels), dtype=np.float32)
        total += cv2.resize(np.float32(weight) * grid, (size, size)).reshape(total.shape)
        cells, weight = cells * 3, weight * 0.55
    total *= 0.5
    return total


def texture_tile(rng: np.random.Generator, size: int, *, palette: Palette, most_shapes: int = 90) -> Picture:
    """One printed or painted side of an object, with at most that many figures on it."""
    picture = _base(rng, size, palette)
    draw = rng.random()
    if draw < 0.25 and most_shapes > 10:
        draw_label(picture, rng, palette)
    elif draw < 0.88:
        for _ in range(int((most_shapes + 1) * rng.random() ** 1.6)):
            draw_shape(picture, rng, palette)
    if rng.random() < 0.12:
        picture = _few_colors(picture, rng)
    if rng.random() < 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 2.0))
    return picture


def uniform_color(rng: np.random.Generator) -> tuple[int, int, int]:
    """A body colour: white, black, grey, or any."""
    draw = rng.random()
    if draw < 0.2:
        return _byte_color(rng.normal(228, 12, 3))
    if draw < 0.35:
        return _byte_color(rng.normal(38, 10, 3))
    if draw < 0.5:
        return _byte_color(np.full(3, rng.uniform(60, 200)))
    return Palette(rng).color(rng)


def _byte_color(color: NDArray[np.float64]) -> tuple[int, int, int]:
    r, g, b = color.clip(0, 255)
    return int(r), int(g), int(b)


def _base(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    picture = np.empty((size, size, 3), np.uint8)
    picture[:] = palette.color(rng)
    kind = rng.integers(6)
    if kind == 0:
        return picture
    other = np.array(palette.color(rng), np.float32)
    if kind == 1:
        mix = noise_field(rng, size, octaves=int(rng.integers(1, 5)))
    elif kind == 2:
        mix = _waves(rng, size)
    elif kind == 3:
        mix = _gradient(rng, size)
    elif kind == 4:
        amplitude = np.float32(rng.uniform(5, 40))
        noise = noise_field(rng, size, octaves=int(rng.integers(2, 5)), channels=int(rng.choice([1, 3])))
        return np.clip(picture + amplitude * noise, 0, 255).astype(np.uint8)
    else:
        return wood(rng, size, palette)
    mix = np.clip(mix * np.float32(rng.uniform(0.5, 2)) + np.float32(0.5), 0, 1)
    return (picture + mix * (other - picture)).astype(np.uint8)


def _waves(rng: np.random.Generator, size: int) -> NDArray[Any]:
    """Stripes, a checker, or soft bands, -0.5..0.5."""
    u, v = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    period = size / rng.uniform(1.5, 20)
    first = np.sin((np.cos(angle) * u + np.sin(angle) * v) * np.float32(2 * np.pi / period) + rng.uniform(0, 6))
    if rng.random() < 0.4:
        first = first * np.sin((np.cos(angle) * v - np.sin(angle) * u) * np.float32(2 * np.pi / period))
    wave = np.sign(first) if rng.random() < 0.6 else first
    return (0.5 * wave[..., None]).astype(np.float32)


def _gradient(rng: np.random.Generator, size: int) -> NDArray[Any]:
    corners = rng.uniform(-0.7, 0.7, (2, 2)).astype(np.float32)
    return cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]


def wood(rng: np.random.Generator, size: int, palette: Palette | None = None) -> Picture:
    """Long grain along u."""
    rows = int(rng.integers(20, 120))
    knots = rng.standard_normal((rows, int(rng.integers(2, 6)), 1), dtype=np.float32)
    grain = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]
    color = np.array((rng.uniform(90, 210), rng.uniform(60, 160), rng.uniform(30, 110)), np.float32)
    if palette is not None:
        color = np.array(palette.color(rng), np.float32)
    return np.clip(color * (1 + np.float32(rng.uniform(0.04, 0.15)) * grain), 0, 255).astype(np.uint8)


def draw_shape(picture: Picture, rng: np.random.Generator, palette: Palette) -> None:
    """One figure or piece of text, drawn in place."""
    size = picture.shape[0]
    color = palette.color(rng)
    kind = int(rng.integers(7))
    x, y = (int(c) for c in rng.integers(0, size, 2))
    extent = max(2, int(size * 0.35 * rng.random() ** 2))
    thickness = -1 if rng.random() < 0.6 else int(rng.integers(1, 1 + max(2, size // 50)))
    if kind == 0:
        cv2.circle(picture, (x, y), extent // 2 + 1, color, thickness, cv2.LINE_AA)
    elif kind == 1:
        width = max(2, int(extent * rng.uniform(0.2, 2)))
        cv2.rectangle(picture, (x, y), (x + extent, y + width), color, thickness)
    elif kind == 2:
        corners = np.array([x, y]) + rng.normal(0, extent / 2, (int(rng.integers(3, 7)), 2))
        cv2.fillPoly(picture, [corners.astype(np.int32)], color, cv2.LINE_AA)
    elif kind == 3:
        end = np.array([x, y]) + rng.normal(0, extent, 2)
        cv2.line(picture, (x, y), (int(end[0]), int(end[1])), color, max(1, abs(thickness)), cv2.LINE_AA)
    elif kind == 4:
        axes = (extent // 2 + 1, max(1, int(extent * rng.uniform(0.1, 0.6))))
        sweep = 360 if rng.random() < 0.5 else int(rng.integers(60, 300))
        cv2.ellipse(picture, (x, y), axes, float(rng.uniform(0, 180)), 0, sweep, color, thickness, cv2.LINE_AA)
    else:
        height = max(0.25, extent / 45)
        draw_text(picture, rng, (x - extent // 2, y), height, color)


def draw_text(
    picture: Picture, rng: np.random.Generator, origin: tuple[int, int], height: float, color: tuple[int, int, int]
) -> None:
    """A random word, ``height`` in OpenCV's font scale (1 is about 22 px)."""
    word = "".join(rng.choice(_LETTERS, int(rng.integers(2, 11))))
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    thickness = max(1, int(height * rng.uniform(1, 4)))
    cv2.putText(picture, word, origin, font, height, color, thickness, cv2.LINE_AA)


def draw_label(picture: Picture, rng: np.random.Generator, palette: Palette) -> None:
    """A printed layout: bands, a title, an emblem, blocks of small print, a bar code."""
    size = picture.shape[0]
    for _ in range(int(rng.integers(0, 4))):
        top = int(rng.integers(0, size))
        cv2.rectangle(picture, (0, top), (size, top + int(rng.uniform(0.03, 0.35) * size)), palette.color(rng), -1)
    for _ in range(int(rng.integers(0, 3))):
        _emblem(picture, rng, palette)
    for _ in range(int(rng.integers(1, 4))):
        origin = (int(rng.uniform(0, 0.4) * size), int(rng.uniform(0.1, 0.95) * size))
        draw_text(picture, rng, origin, size / 256 * rng.uniform(0.8, 3.0), palette.color(rng))
    for _ in range(int(rng.integers(0, 4))):
        _small_print(picture, rng, palette)
    if rng.random() < 0.4:
        _bar_code(picture, rng)


def _emblem(picture: Picture, rng: np.random.Generator, palette: Palette) -> None:
    size = picture.shape[0]
    centre = tuple(int(c) for c in rng.uniform(0.15, 0.85, 2) * size)
    axes = rng.uniform(0.08, 0.4, 2) * size
    angle = float(rng.choice([0.0, rng.uniform(0, 180)]))
    for shrink in (1.0, 0.85, 0.6)[: int(rng.integers(1, 4))]:
        extent = tuple(int(a * shrink) for a in axes)
        cv2.ellipse(picture, centre, extent, angle, 0, 360, palette.color(rng), -1, cv2.LINE_AA)
    origin = (int(centre[0] - 0.7 * axes[0]), centre[1])
    draw_text(picture, rng, origin, max(0.3, axes[0] / 60), palette.color(rng))


def _small_print(picture: Picture, rng: np.random.Generator, palette: Palette) -> None:
    size = picture.shape[0]
    x, y = (int(c) for c in rng.uniform(0, 0.8, 2) * size)
    height, color = size / 256 * rng.uniform(0.25, 0.5), palette.color(rng)
    for line in range(int(rng.integers(2, 9))):
        draw_text(picture, rng, (x, y + int(line * height * 32)), height, color)


def _bar_code(picture: Picture, rng: np.random.Generator) -> None:
    size = picture.shape[0]
    bars = np.repeat(rng.integers(0, 2, int(rng.integers(20, 45))).astype(np.uint8) * 235 + 10, int(rng.integers(1, 4)))
    tall = int(rng.uniform(0.1, 0.25) * size)
    x, y = int(rng.uniform(0, 0.7) * size), int(rng.uniform(0, 0.7) * size)
    window = picture[y : y + tall, x : x + len(bars)]
    window[:] = bars[None, : window.shape[1], None]


def _few_colors(picture: Picture, rng: np.random.Generator) -> Picture:
    levels = int(rng.integers(2, 6))
    step = 255 / (levels - 1)
    table = (np.round(np.arange(256) / step) * step).clip(0, 255).astype(np.uint8)
    return cv2.LUT(picture, table)
