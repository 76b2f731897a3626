"""What a structured-light depth camera makes of exact depth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_EDGE_M = 0.02
_LOST_AT_EDGES = 0.6


def measured_depth(depth: NDArray[np.float32], *, factor: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Depth with noise along the ray and with holes at steps in depth.

    The deviation is that of the Kinect facing a wall, ``1.2 mm + 1.9 mm (z / m - 0.4)^2`` (Nguyen et al., 3DIMPVT
    2012). Beside a step of more than 2 cm most measurements are lost.

    Args:
        depth: H W, metres, 0 = nothing; stays 0 there.
        factor: On the deviation.
        rng: Where the randomness comes from.
    """
    deviation = factor * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
    noisy = depth + deviation.astype(np.float32) * rng.standard_normal(depth.shape, dtype=np.float32)
    neighbours = np.ones((3, 3), np.uint8)
    step = cv2.dilate(depth, neighbours) - cv2.erode(depth, neighbours) > _EDGE_M
    lost = step & (rng.random(depth.shape) < _LOST_AT_EDGES)
    return np.where((depth > 0) & ~lost, np.maximum(noisy, 0), np.float32(0)).astype(np.float32)
