"""A row of pictures for a report, kept inside its page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

_LENGTH = 12
_WIDTH = 480


def picture_strip(pictures: Sequence[tuple[str, np.ndarray | Path]]) -> str:
    """A dozen pictures with captions, evenly chosen of those given; empty without any.

    Args:
        pictures: Caption in plain text, and a file, RGB (H W 3), or values of 0..1 to be coloured (H W).
    """
    if not pictures:
        return ""
    chosen = sorted(set(np.linspace(0, len(pictures) - 1, min(_LENGTH, len(pictures))).round().astype(int)))
    figures = [
        f'<figure><img loading="lazy" alt="{escape(caption)}" src="{_data_address(picture)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, picture in (pictures[i] for i in chosen)
    ]
    return f'<div class="strip">{"".join(figures)}</div>'


def _data_address(picture: np.ndarray | Path) -> str:
    """A picture of modest size as a data address."""
    bgr = cv2.imread(str(picture)) if isinstance(picture, Path) else _as_bgr(picture)
    if bgr is None:
        return ""
    if bgr.shape[1] > _WIDTH:
        size = (_WIDTH, round(bgr.shape[0] * _WIDTH / bgr.shape[1]))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _as_bgr(picture: np.ndarray) -> np.ndarray:
    if picture.ndim == 3:
        return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    values = np.nan_to_num(picture).clip(0.0, 1.0)
    colored = cv2.applyColorMap((255.0 * values).astype(np.uint8), cv2.COLORMAP_TURBO)
    colored[values == 0.0] = 0
    return colored
