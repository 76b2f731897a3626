"""What is printed on the textured objects: cartons, labels, stickers. Drawn, not photographed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Picture = UInt8[np.ndarray, "H W 3"]


class Sheet:
    """A drawing surface; lengths are shares of its height, from the top left."""

    def __init__(self, width_px: int, height_px: int, ground: Color) -> None:
        self._unit = height_px
        self.right = width_px / height_px
        self._image = Image.new("RGB", (width_px, height_px), ground)
        self._draw = ImageDraw.Draw(self._image)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color, *, radius: float = 0.0) -> None:
        self._draw.rounded_rectangle(self._px(x0, y0, x1, y1), radius * self._unit, fill=color)

    def disc(self, x: float, y: float, rx: float, ry: float, color: Color) -> None:
        self._draw.ellipse(self._px(x - rx, y - ry, x + rx, y + ry), fill=color)

    def polygon(self, points: Sequence[tuple[float, float]], color: Color) -> None:
        self._draw.polygon(self._px(*(c for point in points for c in point)), fill=color)

    def words(self, x: float, y: float, words: str, size: float, color: Color) -> None:
        font = ImageFont.load_default(max(6.0, size * self._unit))
        across, down = self._px(x, y)
        self._draw.text((across, down), words, fill=color, font=font, anchor="mm")

    def lines(self, x0: float, y0: float, x1: float, y1: float, color: Color, *, rng: np.random.Generator) -> None:
        """Small print: rows of strokes."""
        row = 0.018
        for y in np.arange(y0, y1 - row, 1.7 * row):
            x, end = x0, x0 + (x1 - x0) * rng.uniform(0.6, 1.0)
            while x < end:
                length = rng.uniform(0.01, 0.06)
                self.box(x, float(y), min(x + length, end), float(y) + row * 0.7, color)
                x += length + 0.012

    def bars(self, x0: float, y0: float, x1: float, y1: float, *, rng: np.random.Generator) -> None:
        """A bar code."""
        self.box(x0, y0, x1, y1, (250, 250, 250))
        x = x0 + 0.01
        while x < x1 - 0.015:
            width = float(rng.choice([0.003, 0.005, 0.008]))
            self.box(x, y0 + 0.01, x + width, y1 - 0.02, (10, 10, 10))
            x += width + float(rng.choice([0.003, 0.006]))

    def finished(self) -> Picture:
        return np.asarray(self._image).copy()

    def _px(self, *shares: float) -> list[float]:
        return [s * self._unit for s in shares]


def carton_front(rng: np.random.Generator) -> Picture:
    """A breakfast carton's front."""
    s = Sheet(512, 704, (222, 60, 44))
    s.polygon([(0.0, 0.45), (s.right, 0.3), (s.right, 1.0), (0.0, 1.0)], (250, 226, 150))
    s.words(0.36, 0.12, "KRUNCH", 0.14, (255, 255, 255))
    s.words(0.36, 0.23, "honey oat rings", 0.055, (255, 235, 180))
    s.disc(0.36, 0.72, 0.3, 0.2, (240, 246, 250))
    s.disc(0.36, 0.69, 0.26, 0.14, (196, 140, 70))
    for _ in range(60):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 1))
        x, y = 0.36 + 0.23 * reach * math.cos(angle), 0.69 + 0.11 * reach * math.sin(angle)
        s.disc(x, y, 0.026, 0.018, (226, 176, 92))
        s.disc(x, y, 0.010, 0.006, (150, 96, 40))
    s.disc(0.6, 0.38, 0.09, 0.09, (30, 90, 160))
    s.words(0.6, 0.38, "NEW", 0.06, (255, 255, 255))
    return s.finished()


def carton_side(rng: np.random.Generator) -> Picture:
    """A breakfast carton's side with its table of figures."""
    s = Sheet(192, 704, (250, 226, 150))
    s.box(0.0, 0.0, s.right, 0.16, (222, 60, 44))
    s.words(s.right / 2, 0.08, "KRUNCH", 0.06, (255, 255, 255))
    s.box(0.03, 0.22, s.right - 0.03, 0.62, (255, 255, 255))
    s.lines(0.04, 0.24, s.right - 0.04, 0.61, (30, 30, 30), rng=rng)
    s.bars(0.04, 0.8, s.right - 0.04, 0.95, rng=rng)
    return s.finished()


def carton_back(rng: np.random.Generator) -> Picture:
    """A breakfast carton's back: a maze."""
    s = Sheet(512, 704, (44, 120, 130))
    s.words(0.36, 0.08, "FIND THE HIVE", 0.07, (255, 250, 220))
    cells, side = 11, 0.058
    for i in range(cells):
        for j in range(cells):
            x, y = 0.045 + i * side, 0.2 + j * side
            if rng.random() < 0.5:
                s.box(x, y, x + side, y + 0.01, (255, 250, 220))
            else:
                s.box(x, y, x + 0.01, y + side, (255, 250, 220))
    s.disc(0.1, 0.93, 0.05, 0.04, (250, 190, 40))
    s.lines(0.2, 0.88, 0.68, 0.98, (220, 240, 240), rng=rng)
    return s.finished()


def carton_end(rng: np.random.Generator) -> Picture:
    """A breakfast carton's flaps."""
    s = Sheet(512, 192, (222, 60, 44))
    s.box(0.0, 0.47, s.right, 0.53, (170, 40, 30))
    s.words(0.7, 0.26, "press here", 0.16, (255, 220, 210))
    s.lines(1.4, 0.6, 2.5, 0.9, (255, 220, 210), rng=rng)
    return s.finished()


def soup_label(rng: np.random.Generator) -> Picture:
    """All around a tin."""
    s = Sheet(1152, 512, (34, 92, 58))
    s.box(0.0, 0.0, s.right, 0.1, (226, 190, 90))
    s.box(0.0, 0.9, s.right, 1.0, (226, 190, 90))
    s.disc(0.55, 0.5, 0.34, 0.34, (246, 240, 220))
    s.words(0.55, 0.38, "PEA", 0.2, (34, 92, 58))
    s.words(0.55, 0.58, "SOUP", 0.16, (190, 60, 40))
    for _ in range(34):
        x, y = rng.uniform(0.95, 1.5), rng.uniform(0.2, 0.8)
        s.disc(x, y, 0.045, 0.045, (120, 170, 60))
        s.disc(x - 0.012, y - 0.012, 0.014, 0.014, (190, 220, 120))
    s.box(1.62, 0.18, 2.1, 0.82, (246, 240, 220), radius=0.03)
    s.lines(1.66, 0.22, 2.06, 0.56, (40, 40, 40), rng=rng)
    s.bars(1.66, 0.6, 2.06, 0.78, rng=rng)
    return s.finished()


def truck_side(rng: np.random.Generator) -> Picture:
    """A toy truck's load bed."""
    s = Sheet(448, 256, (40, 110, 200))
    for i, color in enumerate([(250, 200, 40), (240, 110, 40), (210, 40, 60)]):
        s.polygon([(0.2 + 0.2 * i, 0.0), (0.35 + 0.2 * i, 0.0), (0.05 + 0.2 * i, 1.0), (-0.1 + 0.2 * i, 1.0)], color)
    s.disc(1.3, 0.5, 0.32, 0.32, (255, 255, 255))
    s.words(1.3, 0.5, str(int(rng.integers(11, 99))), 0.4, (20, 30, 60))
    return s.finished()


def truck_front() -> Picture:
    """A toy truck's face: windscreen, lamps, grille."""
    s = Sheet(256, 256, (230, 60, 50))
    s.box(0.1, 0.1, 0.9, 0.48, (150, 210, 240), radius=0.06)
    for x in (0.17, 0.83):
        s.disc(x, 0.72, 0.1, 0.1, (255, 240, 160))
        s.disc(x, 0.72, 0.04, 0.04, (60, 60, 60))
    for i in range(4):
        s.box(0.34, 0.62 + 0.07 * i, 0.66, 0.65 + 0.07 * i, (60, 20, 20))
    return s.finished()


def truck_door(rng: np.random.Generator) -> Picture:
    """A toy truck's cabin from the side."""
    s = Sheet(192, 256, (230, 60, 50))
    s.box(0.12, 0.1, 0.55, 0.45, (150, 210, 240), radius=0.05)
    s.box(0.1, 0.5, 0.62, 0.53, (120, 20, 20))
    s.words(0.36, 0.75, "ACME", 0.14, (255, 240, 160))
    return s.finished()


def marker_label(rng: np.random.Generator) -> Picture:
    """Around a marker's barrel."""
    s = Sheet(256, 640, (238, 238, 234))
    s.box(0.0, 0.0, s.right, 0.06, (30, 60, 170))
    for i, letter in enumerate("PERMA-INK"):
        s.words(0.14, 0.16 + 0.075 * i, letter, 0.08, (30, 60, 170))
    s.lines(0.26, 0.3, 0.38, 0.8, (60, 60, 60), rng=rng)
    s.box(0.0, 0.94, s.right, 1.0, (30, 60, 170))
    return s.finished()
