"""What comes between camera and object: other things, patches, sticks, hands."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.backgrounds import BackgroundPool
from rnnpose_ros.data.synthetic.layers import CutOuts, Layer

Array = NDArray[Any]
"""float32."""


def random_occluder(rng: np.random.Generator, size: int, *, cutouts: CutOuts, backgrounds: BackgroundPool) -> Layer:
    """Something near the middle of a square picture, sometimes as large as it, sometimes out of focus."""
    centre = size / 2 + rng.normal(0, 0.28 * size, 2)
    extent = rng.uniform(0.15, 0.6) * size if rng.random() < 0.6 else rng.uniform(0.5, 1.2) * size
    draw = rng.random()
    if draw < 0.5 and len(cutouts):
        layer = cutouts.draw(rng, size, centre=centre, extent=extent)
    elif draw < 0.7:
        layer = patch(rng, size, centre=centre, radius=0.5 * extent, texture=backgrounds.draw(size))
    elif draw < 0.85:
        layer = stick(rng, size, centre=centre, texture=backgrounds.draw(size))
    else:
        layer = hand(rng, size, tip=centre)
    return _defocused(rng, layer, size) if rng.random() < 0.4 else layer


def stick(rng: np.random.Generator, size: int, *, centre: NDArray, texture: Array) -> Layer:
    """A bar right across a pixel, rounded by light: a pen, a handle, a cable."""
    angle = rng.uniform(0, 2 * math.pi)
    along = np.array([math.cos(angle), math.sin(angle)])
    reach = rng.uniform(0.2, 1.2, (2, 1)) * np.array([[-1.0], [1.0]]) * size
    ends = [tuple(int(c) for c in end) for end in centre + reach * along]
    width = max(2, int(size * rng.uniform(0.03, 0.2)))
    mask: NDArray[Any] = np.zeros((size, size), np.uint8)
    cv2.line(mask, ends[0], ends[1], 255, width, cv2.LINE_AA)
    v, u = np.mgrid[:size, :size].astype(np.float32)
    across = ((v - centre[1]) * along[0] - (u - centre[0]) * along[1]) / np.float32(0.5 * width)
    light = np.clip(1 - np.float32(rng.uniform(0.1, 0.7)) * (across - np.float32(rng.uniform(-0.7, 0.7))) ** 2, 0.1, 1)
    color = np.float32(rng.uniform(0.05, 1.0, 3)) if rng.random() < 0.6 else texture
    alpha = mask[..., None].astype(np.float32) * np.float32(1 / 255)
    return Layer.of(np.concatenate([color * light[..., None] * alpha, alpha], -1).astype(np.float32))


def _defocused(rng: np.random.Generator, layer: Layer, size: int) -> Layer:
    """The layer blurred as what stands much nearer than the object is; its middle stays where it was."""
    height, width = layer.rgba.shape[:2]
    if not height or not width:
        return layer
    whole: Array = np.zeros((size, size, 4), np.float32)
    whole[layer.top : layer.top + height, layer.left : layer.left + width] = layer.rgba
    border = cv2.BORDER_REPLICATE
    return Layer.of(cv2.GaussianBlur(whole, (0, 0), rng.uniform(0.8, 0.035 * size), borderType=border))


def patch(rng: np.random.Generator, size: int, *, centre: NDArray, radius: float, texture: Array) -> Layer:
    """A piece of another picture with a straight-edged or soft outline."""
    corners = int(rng.integers(3, 12))
    angle = np.sort(rng.uniform(0, 2 * math.pi, corners))
    radii = radius * rng.uniform(0.4, 1.3, (corners, 1))
    points = centre + radii * np.stack([np.cos(angle), np.sin(angle)], 1)
    mask: NDArray[Any] = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.4:
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.6, 2.5))
    alpha = mask[..., None].astype(np.float32) * np.float32(1 / 255)
    return Layer.of(np.concatenate([texture * alpha, alpha], -1))


def hand(rng: np.random.Generator, size: int, *, tip: NDArray) -> Layer:
    """Skin-coloured fingers that reach in from one side, their tips around a pixel."""
    red = rng.uniform(0.3, 0.9)
    green = red * rng.uniform(0.62, 0.8)
    tone = np.array([red, green, green * rng.uniform(0.7, 0.95)], np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    inward = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-inward[1], inward[0]])
    width = max(3, int(size * rng.uniform(0.05, 0.1)))
    mask, relief = np.zeros((2, size, size), np.uint8)
    for i in range(int(rng.integers(1, 5))):
        end = tip + across * (i - 1.5) * width * rng.uniform(1.0, 1.2) + inward * rng.normal(0, 0.5 * width)
        knuckle = end - inward * size * rng.uniform(0.2, 0.35) + across * rng.normal(0, 0.4 * width)
        path = np.array([end, knuckle, knuckle - inward * size]).astype(np.int32)
        cv2.polylines(mask, [path], False, 255, width, cv2.LINE_AA)
        cv2.polylines(relief, [path], False, 160, max(1, int(0.8 * width)), cv2.LINE_AA)
        cv2.polylines(relief, [path], False, 255, max(1, width // 3), cv2.LINE_AA)
    rounded = cv2.blur(relief, (width // 4 * 2 + 1,) * 2)
    alpha = mask[..., None].astype(np.float32) * np.float32(1 / 255)
    shade = np.float32(0.5) + rounded[..., None] * np.float32(0.5 / 255)
    return Layer.of(np.concatenate([tone * shade * alpha, alpha], -1))
