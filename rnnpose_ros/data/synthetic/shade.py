"""Shade that falls over a whole picture: soft shadows behind things, uneven light."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.layers import shaded
from rnnpose_ros.data.synthetic.textures import noise_field

Array = NDArray[Any]
"""float32."""
_COARSER = 4


def soft_shadow(covered: NDArray[np.bool_], *, rng: np.random.Generator) -> Array:
    """What the soft shadow of what covers a picture leaves of the light behind it (H W)."""
    height, width = covered.shape
    side = min(height, width) // _COARSER
    coarse = (width // _COARSER, height // _COARSER)
    offset = (rng.normal(0, 0.06) * side, rng.uniform(-0.02, 0.12) * side)
    small = cv2.resize(covered.astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
    small = cv2.warpAffine(small, np.array([[1, 0, offset[0]], [0, 1, offset[1]]]), coarse)
    reach = int(rng.uniform(0.03, 0.12) * side) * 2 + 1
    soft = cv2.resize(cv2.blur(cv2.blur(small, (reach, reach)), (reach, reach)), (width, height))
    return 1 - np.float32(rng.uniform(0.2, 0.75)) * soft


def sharp_shadow(height: int, width: int, *, rng: np.random.Generator) -> Array:
    """What the shadow of something outside the picture, with straight edges, leaves of the light (H W)."""
    corners = np.array([width, height]) * rng.uniform(-0.5, 1.5, (int(rng.integers(3, 6)), 2))
    shade: Array = np.zeros((height, width), np.float32)
    cv2.fillPoly(shade, [corners.astype(np.int32)], 1.0, cv2.LINE_AA)
    soft = cv2.GaussianBlur(shade, (0, 0), rng.uniform(0.5, 5.0))
    if rng.random() < 0.5:
        soft = 1 - soft
    return 1 - np.float32(rng.uniform(0.2, 0.65)) * soft


def unevenly_lit(picture: Array, *, rng: np.random.Generator) -> Array:
    """Sometimes the picture under light that varies smoothly across it, else the picture itself."""
    if rng.random() >= 0.3:
        return picture
    height, width = picture.shape[:2]
    shade = noise_field(rng, 32, octaves=1)[..., 0] * np.float32(rng.uniform(0.1, 0.4))
    return shaded(picture, np.maximum(cv2.resize(1 + shade, (width, height)), 0.2))
