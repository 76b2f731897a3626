"""Small line plots as inline SVG: errors on a logarithmic axis, shares from 0 to 100 %."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from jaxtyping import Float

_WIDTH, _HEIGHT = 960.0, 320.0
_FEW_DECADES = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 60.0, 16.0, 34.0, 44.0


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One series; NaN leaves a gap."""

    name: str
    values: Float[np.ndarray, "N"]
    color: str


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where values lie on the picture."""

    x_low: float
    x_high: float
    low: int
    """Of the upward axis: an exponent of ten, or a share."""
    high: int
    is_log: bool = True
    x_is_log: bool = False

    def across(self, value: float) -> float:
        low, high, place = self.x_low, self.x_high, value
        if self.x_is_log:
            low, high, place = math.log10(low), math.log10(high), math.log10(value)
        return _LEFT + (place - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def up(self, value: float) -> float:
        place = math.log10(max(value, 10.0**self.low)) if self.is_log else value
        return _HEIGHT - _BOTTOM - (place - self.low) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)


def log_plot(
    x: Float[np.ndarray, "N"],
    curves: Sequence[Curve],
    *,
    x_title: str,
    y_title: str,
    limit: float | None = None,
    x_is_log: bool = False,
) -> str:
    """An SVG element.

    Args:
        x: Ascending; above 0 where its axis is logarithmic.
        curves: Their values share ``x``; values of zero or below are drawn at the lower edge.
        x_title: Axis title.
        y_title: Axis title.
        limit: A dashed line at this value.
        x_is_log: The axis of ``x`` is logarithmic too, and says each of its values.
    """
    axes = replace(_log_axes(x, curves), x_is_log=x_is_log and len(x) > 1)
    parts = []
    if limit is not None and 10.0**axes.low < limit < 10.0**axes.high:
        parts += [_horizontal("limit", axes.up(limit)), _text(_WIDTH - _RIGHT, axes.up(limit) - 5, f"{limit:g}", "end")]
    return _plot(x, curves, axes, x_title, y_title, parts)


def share_plot(x: Float[np.ndarray, "N"], curves: Sequence[Curve], *, x_title: str, y_title: str) -> str:
    """An SVG element with shares (0..1) over ``x``; see :func:`log_plot`."""
    x_low, x_high = _range(x)
    return _plot(x, curves, _Axes(x_low, x_high, 0, 1, is_log=False), x_title, y_title, [], dots=False)


def _plot(
    x: np.ndarray, curves: Sequence[Curve], axes: _Axes, x_title: str, y_title: str, below: list[str], dots: bool = True
) -> str:
    opening = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_title)}">'
    parts = [opening, *_grid(axes, x), *below]
    for i, curve in enumerate(curves):
        parts += _drawn(curve, x, axes, dots=dots)
        left = _LEFT + 150 * i
        parts.append(f'<rect x="{left}" y="10" width="14" height="4" rx="2" fill="{curve.color}"/>')
        parts.append(_text(left + 20, 16.0, curve.name, "start"))
    parts.append(_text(_WIDTH - _RIGHT, 16.0, y_title, "end"))
    parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, x_title, "middle"))
    return "".join([*parts, "</svg>"])


def _log_axes(x: np.ndarray, curves: Sequence[Curve]) -> _Axes:
    finite = np.concatenate([c.values[np.isfinite(c.values) & (c.values > 0)] for c in curves])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 10.0)
    x_low, x_high = _range(x)
    return _Axes(x_low, x_high, math.floor(math.log10(low)), math.ceil(math.log10(high * 1.001)))


def _range(x: np.ndarray) -> tuple[float, float]:
    return (float(x[0]), float(x[-1])) if len(x) > 1 and x[-1] > x[0] else (0.0, 1.0)


def _grid(axes: _Axes, x: np.ndarray) -> list[str]:
    if axes.is_log:
        # Decades alone would leave a plot of one or two of them bare.
        shares = (1.0, 2.0, 5.0) if axes.high - axes.low <= _FEW_DECADES else (1.0,)
        values = [share * 10.0**decade for decade in range(axes.low, axes.high + 1) for share in shares]
        levels = [(value, f"{value:g}") for value in values if value <= 10.0**axes.high]
    else:
        levels = [(0.2 * i, f"{20 * i} %") for i in range(6)]
    parts = []
    for value, words in levels:
        y = axes.up(value)
        parts += [_horizontal("grid", y), _text(_LEFT - 8, y + 4, words, "end")]
    ticks = x.tolist() if axes.x_is_log else _ticks(axes.x_low, axes.x_high)
    return parts + [_text(axes.across(t), _HEIGHT - _BOTTOM + 18, f"{t:g}", "middle") for t in ticks]


def _drawn(curve: Curve, x: np.ndarray, axes: _Axes, *, dots: bool) -> list[str]:
    """A line through neighbouring values, with a dot at each where asked."""
    pairs = zip(x.tolist(), curve.values.tolist(), strict=True)
    points = [(axes.across(a), axes.up(b)) if math.isfinite(b) else None for a, b in pairs]
    line = f'<path d="{_path(points)}" fill="none" stroke="{curve.color}" stroke-width="1.8"/>'
    if not dots:
        return [line]
    return [line] + [f'<circle cx="{p[0]:.1f}" cy="{p[1]:.1f}" r="1.8" fill="{curve.color}"/>' for p in points if p]


def _horizontal(kind: str, y: float) -> str:
    return f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    words, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        words.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    return "".join(words)


def _ticks(low: float, high: float) -> list[float]:
    """About eight round numbers in a range."""
    raw = (high - low) / 8
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)
    first = math.ceil(low / step)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
