"""The demonstration's object: a printed tea box, drawn and folded by code."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from rnnpose_ros.data.demo_sequence.solids import Solid, atlas_panels, rounded_box

SIZE_M = (0.080, 0.056, 0.120)
LABEL = "tea_box"
_PIXELS_PER_MM = 4
_OVERDRAW = 2
_EDGE_RADIUS = 0.003
_FRONT, _SIDE, _TOP = (80, 120), (56, 120), (80, 56)
_PLACES_MM = ((0, 0), (80, 0), (136, 0), (216, 0), (0, 120), (80, 120))
_SHEET_MM = (272, 176)

_INK, _CREAM, _GOLD = (16, 62, 66), (246, 238, 219), (214, 166, 66)
_MINT, _LEAF, _DEEP = (126, 188, 160), (58, 132, 92), (24, 84, 74)
_CORAL = (224, 106, 76)

Millimetres = int | float


def tea_box_solid() -> Solid:
    """The folded box, its origin in the middle, front towards -y, top towards z."""
    width, height = _SHEET_MM
    rectangles = []
    for (x, y), (w, h) in zip(_PLACES_MM, _PANEL_SIZES, strict=True):
        rectangles.append((x / width, 1 - (y + h) / height, (x + w) / width, 1 - y / height))
    return rounded_box(SIZE_M, _EDGE_RADIUS, atlas_panels(rectangles))


_PANEL_SIZES = (_FRONT, _SIDE, _FRONT, _SIDE, _TOP, _TOP)


def tea_box_artwork(*, seed: int = 7) -> UInt8[np.ndarray, "704 1088 3"]:
    """The printed sheet: front, right, back, left in a row, top and bottom below."""
    rng = np.random.default_rng(seed)
    width, height = (_PIXELS_PER_MM * n for n in _SHEET_MM)
    sheet = Image.new("RGB", (width, height), (205, 190, 165))
    painters = (_paint_front, _paint_brewing, _paint_back, _paint_pattern, _paint_top, _paint_bottom)
    for paint, place, size in zip(painters, _PLACES_MM, _PANEL_SIZES, strict=True):
        panel = _Panel(size)
        paint(panel, rng)
        sheet.paste(panel.finished(), (_PIXELS_PER_MM * place[0], _PIXELS_PER_MM * place[1]))
    return np.asarray(sheet)


class _Panel:
    """A drawing surface in millimetres, twice as fine as the print, y down."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self._scale = _PIXELS_PER_MM * _OVERDRAW
        self.image = Image.new("RGB", (size[0] * self._scale, size[1] * self._scale))
        self.draw = ImageDraw.Draw(self.image)

    def px(self, *values: Millimetres) -> list[Millimetres]:
        return [v * self._scale for v in values]

    def box(
        self,
        x0: Millimetres,
        y0: Millimetres,
        x1: Millimetres,
        y1: Millimetres,
        color: tuple,
        *,
        radius: Millimetres = 0.0,
    ) -> None:
        self.draw.rounded_rectangle(self.px(x0, y0, x1, y1), radius * self._scale, fill=color)

    def frame(
        self, x0: Millimetres, y0: Millimetres, x1: Millimetres, y1: Millimetres, color: tuple, width: Millimetres
    ) -> None:
        self.draw.rounded_rectangle(
            self.px(x0, y0, x1, y1), 2 * self._scale, outline=color, width=round(width * self._scale)
        )

    def disc(self, x: Millimetres, y: Millimetres, radius: Millimetres, color: tuple) -> None:
        self.draw.ellipse(self.px(x - radius, y - radius, x + radius, y + radius), fill=color)

    def polygon(self, points: np.ndarray, color: tuple) -> None:
        self.draw.polygon([tuple(p) for p in (points * self._scale)], fill=color)

    def text(
        self, x: Millimetres, y: Millimetres, words: str, size: Millimetres, color: tuple, *, anchor: str = "mm"
    ) -> None:
        font = ImageFont.load_default(size * self._scale)
        self.draw.text((x * self._scale, y * self._scale), words, fill=color, font=font, anchor=anchor)

    def leaf(self, x: Millimetres, y: Millimetres, length: Millimetres, angle: float, color: tuple) -> None:
        t = np.linspace(0.0, 1.0, 20)
        bow = 0.22 * np.sin(math.pi * t) ** 0.8
        outline = np.concatenate([np.stack([t, bow], -1), np.stack([t[::-1], -bow[::-1]], -1)]) * length
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        self.polygon(outline @ turn + [x, y], color)
        end = np.array([length, 0.0]) @ turn + [x, y]
        self.draw.line(self.px(x, y, *end), fill=_darker(color), width=max(1, round(0.25 * self._scale)))

    def finished(self) -> Image.Image:
        return self.image.resize((self.width * _PIXELS_PER_MM, self.height * _PIXELS_PER_MM), Image.Resampling.LANCZOS)


def _darker(color: tuple, factor: float = 0.7) -> tuple[int, ...]:
    return tuple(int(factor * c) for c in color)


def _paint_front(p: _Panel, rng: np.random.Generator) -> None:
    p.box(0, 0, 80, 120, _INK)
    _hills(p, rng, 62, 104)
    p.disc(57, 40, 12, _GOLD)
    p.disc(57, 40, 10, (240, 200, 110))
    for angle in np.linspace(0, 2 * math.pi, 18, endpoint=False):
        ends = [57 + r * math.cos(angle) for r in (14, 17)], [40 + r * math.sin(angle) for r in (14, 17)]
        p.draw.line(p.px(ends[0][0], ends[1][0], ends[0][1], ends[1][1]), fill=_GOLD, width=6)
    p.frame(3, 3, 77, 117, _GOLD, 0.7)
    p.text(9, 13, "MOUNTAIN", 9.5, _CREAM, anchor="lm")
    p.text(9, 23, "MINT", 12.5, _GOLD, anchor="lm")
    p.text(9, 32, "loose leaf herbal tea", 3.4, _CREAM, anchor="lm")
    for i, angle in enumerate((-2.5, -2.0, -1.57, -1.14, -0.64)):
        p.leaf(22, 66, 20 - 2 * abs(i - 2), angle, (_MINT, _LEAF, _MINT, _LEAF, _MINT)[i])
    p.box(0, 98, 80, 112, _CREAM)
    p.text(8, 105, "No 7", 8.5, _CORAL, anchor="lm")
    p.text(73, 102.5, "20 BAGS", 4.4, _INK, anchor="rm")
    p.text(73, 108, "net weight 40 g / 1.4 oz", 2.6, _INK, anchor="rm")
    p.disc(66, 72, 8.5, _CORAL)
    p.text(66, 70.5, "CALM", 4.0, _CREAM)
    p.text(66, 75, "no caffeine", 2.1, _CREAM)


def _hills(p: _Panel, rng: np.random.Generator, top: Millimetres, bottom: Millimetres) -> None:
    """Ridges one before the other, the nearest the darkest."""
    x = np.linspace(0, p.width, 60)
    for i, color in enumerate(((92, 150, 150), (66, 124, 122), (40, 104, 96), _DEEP)):
        phases = rng.uniform(0, 2 * math.pi, 3)
        base = top + (bottom - top) * i / 4.5
        ridge = base + sum(3.5 / (k + 1) * np.sin((k + 1) * 0.09 * x + phases[k]) for k in range(3))
        p.polygon(np.stack([[*x, p.width, 0], [*ridge, bottom, bottom]], -1), color)


def _paint_brewing(p: _Panel, rng: np.random.Generator) -> None:
    p.box(0, 0, 56, 120, _CREAM)
    p.box(0, 0, 56, 18, _CORAL)
    p.text(28, 9, "HOW TO BREW", 5.6, _CREAM)
    steps = (("1", "Boil fresh water", "95 °C"), ("2", "One bag a cup", "200 ml"), ("3", "Wait, breathe", "6 min"))
    for i, (number, words, value) in enumerate(steps):
        y = 32 + 22 * i
        p.disc(12, y, 7, (_LEAF, _GOLD, _INK)[i])
        p.text(12, y, number, 8, _CREAM)
        p.text(22, y - 3, words, 3.5, _INK, anchor="lm")
        p.text(22, y + 3.5, value, 5.5, _CORAL, anchor="lm")
    p.box(6, 92, 50, 93, _GOLD)
    for i in range(5):
        p.leaf(8 + 9 * i, 108, 9, -0.9 + rng.uniform(-0.3, 0.3), (_LEAF, _MINT)[i % 2])


def _paint_back(p: _Panel, rng: np.random.Generator) -> None:
    p.box(0, 0, 80, 120, _MINT)
    p.box(5, 5, 75, 60, _CREAM, radius=2)
    p.text(10, 13, "Picked at dawn", 6.2, _INK, anchor="lm")
    words = ("Peppermint from the high terraces, lemon", "balm and a little wild thyme, dried in the",
             "shade for nine days. Cool, round, clear.", "Keep dry, closed, and away from light.")  # fmt: skip
    for i, line in enumerate(words):
        p.text(10, 22 + 5.2 * i, line, 2.9, _INK, anchor="lm")
    p.text(10, 47, "peppermint 62 %  ·  lemon balm 30 %  ·  thyme 8 %", 2.4, _LEAF, anchor="lm")
    p.box(10, 51, 53, 55, _LEAF)
    p.box(53, 51, 66, 55, _GOLD)
    p.box(66, 51, 70, 55, _CORAL)
    for i in range(6):
        p.leaf(8 + 13 * i, 78 + 3 * (i % 2), 12, -1.2 + rng.uniform(-0.4, 0.4), (_LEAF, _DEEP)[i % 2])
    p.box(40, 90, 75, 114, (255, 255, 255))
    x = 43.0
    while x < 71.0:
        width = float(rng.choice([0.4, 0.7, 1.1]))
        p.box(x, 93, x + width, 108, (10, 10, 10))
        x += width + float(rng.choice([0.5, 0.9]))
    p.text(57.5, 111, "2 000117 240073", 2.6, (10, 10, 10))
    p.disc(20, 102, 11, _INK)
    p.text(20, 99, "BEST BEFORE", 2.4, _CREAM)
    p.text(20, 104, "03 · 29", 5.0, _GOLD)


def _paint_pattern(p: _Panel, rng: np.random.Generator) -> None:
    p.box(0, 0, 56, 120, _DEEP)
    for row in range(7):
        for column in range(3):
            x, y = 4 + 19 * column + 7 * (row % 2), 10 + 17 * row
            color = (_MINT, _LEAF, _GOLD)[(row + column) % 3]
            p.leaf(x, y, 13, rng.uniform(-1.3, 0.4), color)
            p.disc(x + 12 * rng.random(), y + 6, 1.1, _CREAM)
    p.box(14, 44, 42, 76, _CREAM, radius=3)
    p.frame(16, 46, 40, 74, _CORAL, 0.6)
    p.text(28, 55, "tea", 11, _INK)
    p.text(28, 66, "& quiet", 5.5, _CORAL)


def _paint_top(p: _Panel, rng: np.random.Generator) -> None:
    p.box(0, 0, 80, 56, _INK)
    p.box(0, 26, 80, 30, _GOLD)
    p.text(6, 13, "MOUNTAIN MINT", 7.2, _CREAM, anchor="lm")
    p.text(6, 43, "tear here", 4.0, _CREAM, anchor="lm")
    for i in range(12):
        p.box(30 + 3.6 * i, 42.5, 32 + 3.6 * i, 43.5, _CREAM)
    p.leaf(66, 21, 11, -0.8 + 0.01 * rng.random(), _MINT)


def _paint_bottom(p: _Panel, rng: np.random.Generator) -> None:
    p.box(0, 0, 80, 56, (205, 190, 165))
    for _ in range(400):
        x, y = rng.uniform(0, 80), rng.uniform(0, 56)
        p.box(x, y, x + 1.5, y + 0.2, (192, 176, 150))
    p.text(40, 20, "CARTON 21 PAP", 4.0, (110, 96, 76))
    p.text(40, 32, "LOT 24117-B", 5.0, (110, 96, 76))
    for i, color in enumerate((_INK, _CORAL, _GOLD, _LEAF)):
        p.disc(28 + 8 * i, 45, 2.6, color)
