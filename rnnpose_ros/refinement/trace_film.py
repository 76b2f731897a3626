"""A whole refinement as one animated picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from rnnpose_ros.refinement.trace_pictures import IterationPictures, as_rgb
from rnnpose_ros.types import IterationTrace

MOST_FRAMES = 36
"""Longer refinements are shown by this many of their iterations, evenly left out, the last one kept."""
_TILE_PX = 200
_CAPTION_PX = 21
_FRAME_MS, _LAST_FRAME_MS = 500, 2500


def encode_film(trace: Sequence[IterationTrace], pictures: Sequence[IterationPictures]) -> bytes:
    """An animated GIF that repeats: the pose boxes, and beside them what the network saw and answered.

    Args:
        trace: At least one iteration.
        pictures: Of the same iterations.
    """
    frames = [compose(trace[i], pictures[i]) for i in frame_indices(len(trace))]
    # One palette for all, so that what stands still costs nothing from frame to frame.
    palette = Image.fromarray(np.vstack([frame[::2, ::2] for frame in frames])).quantize(256)
    reduced = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for f in frames]
    durations = [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS]
    film = io.BytesIO()
    reduced[0].save(film, format="GIF", save_all=True, append_images=reduced[1:], duration=durations, loop=0)
    return film.getvalue()


def frame_indices(count: int) -> list[int]:
    """Which of so many iterations are shown."""
    shown = min(count, MOST_FRAMES)
    return [((k + 1) * count) // shown - 1 for k in range(shown)]


def compose(step: IterationTrace, pictures: IterationPictures) -> UInt8[np.ndarray, "H W 3"]:
    """One frame: boxes on the left; photo, render, warped photo above field, rectified field, similarity."""
    boxes = _tile(pictures.boxes, f"cycle {step.cycle} iteration {step.iteration}", size=2 * _TILE_PX)
    above = [
        _tile(as_rgb(step.photo), "photo"),
        _tile(pictures.warped, "photo, warped"),
        _tile(as_rgb(step.render), "render"),
    ]
    below = [
        _tile(pictures.field, "field"),
        _tile(pictures.rectified, "field, rectified"),
        _tile(pictures.similarity, "similarity"),
    ]
    return np.hstack([boxes, np.vstack([np.hstack(above), np.hstack(below)])])


def _tile(picture: UInt8[np.ndarray, "_ _ 3"], caption: str, *, size: int = _TILE_PX) -> UInt8[np.ndarray, "_ _ 3"]:
    """A picture at one size with its name on top."""
    tile = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    tile[:_CAPTION_PX] = tile[:_CAPTION_PX] // 4
    cv2.putText(tile, caption, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return tile
