"""The circle loss that teaches descriptors of picture and surface to agree (RNNPose supplementary, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.config import param

_LEAST_SQUARED = 1e-8
"""Under the root, whose slope is infinite at 0."""


@dataclass(frozen=True, slots=True)
class CircleConfig:
    """Whose descriptors should be alike, and how much. Lengths are in units of the longest side of the object's box."""

    pairs: int = param(256, doc="Pixels, each with a vertex, that are drawn from a picture", bounds=(2, 100000))
    background_share: float = param(0.1, doc="Pixels beside the object, over those on it", bounds=(0.0, 10.0))
    neighbours: int = param(5, doc="Vertices that a pixel may be paired with", bounds=(1, 64))
    pair_radius: float = param(0.01, doc="How far from the pixel's point they may lie", bounds=(1e-4, 1.0))
    positive_radius: float = param(0.011, doc="Points nearer than this should be alike", bounds=(1e-4, 1.0))
    negative_radius: float = param(0.02, doc="Points farther than this should differ", bounds=(1e-4, 1.0))
    positive_distance: float = param(0.1, doc="Distance that alike descriptors need not go below", bounds=(0.0, 2.0))
    negative_distance: float = param(1.4, doc="Distance that others need not exceed", bounds=(0.0, 2.0))
    sharpness: float = param(16.0, doc="How much the worst pairs outweigh the others", bounds=(0.1, 1000.0))


def circle_loss(
    rows: Float[Tensor, "N D"],
    columns: Float[Tensor, "M D"],
    positive: Bool[Tensor, "N M"],
    negative: Bool[Tensor, "N M"],
    *,
    config: CircleConfig,
) -> Float[Tensor, ""]:
    """``softplus(L_p + L_n) / s``, the mean over rows and over columns that have members in both sets.

    With the distance d of a pair and s the sharpness, ``L_p = log sum exp(s a (d - d_p))`` over the positive
    pairs of a row, their weights ``a = max(0, d - d_p)`` without gradient, and ``L_n`` likewise over the
    negative ones with ``d_n - d``. 0 where no row or column counts.

    Args:
        rows: Unit descriptors of pixels.
        columns: Unit descriptors of vertices.
        positive: Which pairs should be alike.
        negative: Which should differ.
        config: Distances d_p and d_n, and sharpness.
    """
    distance = (2 - 2 * rows @ columns.T).clamp_min(_LEAST_SQUARED).sqrt()
    pull, push = distance - config.positive_distance, config.negative_distance - distance
    costs = [
        torch.where(members, config.sharpness * gap.detach().clamp_min(0.0) * gap, -torch.inf)
        for members, gap in ((positive, pull), (negative, push))
    ]
    halves = []
    for axis in (1, 0):
        counted = positive.any(axis) & negative.any(axis)
        attract, repel = (cost.movedim(axis, -1)[counted].logsumexp(-1) for cost in costs)
        halves.append(F.softplus(attract + repel).sum() / config.sharpness / counted.sum().clamp_min(1))
    return 0.5 * (halves[0] + halves[1])
