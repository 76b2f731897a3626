"""What comes between camera and object: other things, patches, hands."""

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
    """Something near the middle of a square picture, up to half as large as it."""
    centre = size / 2 + rng.normal(0, 0.28 * size, 2)
    extent = rng.uniform(0.15, 0.6) * size
    draw = rng.random()
    if draw < 0.45 and len(cutouts):
        return cutouts.draw(rng, size, centre=centre, extent=extent)
    if draw < 0.75:
        return patch(rng, size, centre=centre, radius=0.5 * extent, texture=backgrounds.draw(size))
    return hand(rng, size, tip=centre)


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
