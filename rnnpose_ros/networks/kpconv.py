"""Kernel point convolution on point clouds and its residual block (KPConv, Thomas et al. 2019).

Points without a neighbour in some column of a table point at a row behind the last one; that "shadow" is
far away and all zero, so it adds nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

KERNEL_POINTS = 15
"""One at the centre, the others around it."""

_EXTENT_OVER_RADIUS = 0.8
_SHADOW = 1e6
_SLOPE = 0.1
_PART_VALUES = 1 << 20


class KPConv(nn.Module):
    """``y_i = 1 / n_i  sum_k [ sum_j max(0, 1 - |s_j - q_i - p_k| / extent) x_j ] W_k``.

    n_i counts the neighbours of i whose features sum to more than 0, and is at least 1. The published code
    counts like this; ``test_neighbours_with_nothing_to_say_are_not_counted`` pins it.

    Args:
        inputs: Channels.
        outputs: Channels.
        radius: Of the neighbourhoods; the kernel reaches 0.8 of it.
    """

    kernel_points: Float[Tensor, "15 3"]

    def __init__(self, inputs: int, outputs: int, *, radius: float) -> None:
        super().__init__()
        self.extent = _EXTENT_OVER_RADIUS * radius
        self.weights = nn.Parameter(torch.empty(KERNEL_POINTS, inputs, outputs))
        nn.init.kaiming_uniform_(self.weights, a=math.sqrt(5))
        self.register_buffer("kernel_points", kernel_points(radius))

    def forward(
        self,
        queries: Float[Tensor, "Q 3"],
        supports: Float[Tensor, "S 3"],
        neighbours: Int[Tensor, "Q K"],
        features: Float[Tensor, "S C"],
    ) -> Float[Tensor, "Q D"]:
        """Features at the queries; worked through in parts, so that dense meshes fit into memory."""
        supports = F.pad(supports, (0, 0, 0, 1), value=_SHADOW)
        features = F.pad(features, (0, 0, 0, 1))
        speaks = (features.detach().sum(-1) > 0).to(features.dtype)
        rows = max(1, _PART_VALUES // (neighbours.shape[1] * max(features.shape[1], 3 * KERNEL_POINTS)))
        parts = [
            self._part(q, supports, n.long(), features, speaks)
            for q, n in zip(queries.split(rows), neighbours.split(rows), strict=True)
        ]
        return torch.cat(parts)

    def _part(self, queries: Tensor, supports: Tensor, neighbours: Tensor, features: Tensor, speaks: Tensor) -> Tensor:
        offsets = supports[neighbours] - queries[:, None]
        distances = (offsets[:, :, None] - self.kernel_points).norm(dim=-1)
        influence = (1 - distances / self.extent).clamp_min(0.0)
        gathered = influence.transpose(1, 2) @ features[neighbours]
        count = speaks[neighbours].sum(-1).clamp_min(1.0)
        return torch.einsum("qkc,kcd->qd", gathered, self.weights) / count[:, None]


def kernel_points(radius: float) -> Float[Tensor, "15 3"]:
    """Kernel points of a new network: the centre, and directions spread evenly at 2/3 of the kernel's reach.

    Converted checkpoints bring their own.
    """
    i = torch.arange(KERNEL_POINTS - 1, dtype=torch.float64) + 0.5
    z = 1 - 2 * i / (KERNEL_POINTS - 1)
    angle = math.pi * (1 + 5**0.5) * i
    ring = (1 - z * z).sqrt()
    shell = torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1) * radius * _EXTENT_OVER_RADIUS * 2 / 3
    return torch.cat([torch.zeros(1, 3, dtype=torch.float64), shell]).float()


def point_norm(features: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Each channel normalised over the points of the cloud (instance normalisation without parameters)."""
    return F.instance_norm(features.T[None])[0].T


def leaky(features: Tensor) -> Tensor:
    """The activation of all KPConv blocks."""
    return F.leaky_relu(features, _SLOPE)


class ResidualPointBlock(nn.Module):
    """Narrow, convolve, widen, add the shortcut.

    Where queries and supports are different levels, the shortcut is the maximum over the pool's neighbours.

    Args:
        inputs: Channels.
        outputs: Channels; a quarter of them are convolved.
        radius: Of the neighbourhoods.
        strided: Queries are the next coarser level (then ``inputs`` equals ``outputs``).
    """

    def __init__(self, inputs: int, outputs: int, *, radius: float, strided: bool = False) -> None:
        super().__init__()
        self.strided = strided
        self.narrow = nn.Linear(inputs, outputs // 4, bias=False)
        self.convolution = KPConv(outputs // 4, outputs // 4, radius=radius)
        self.widen = nn.Linear(outputs // 4, outputs, bias=False)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs, bias=False)

    def forward(
        self,
        queries: Float[Tensor, "Q 3"],
        supports: Float[Tensor, "S 3"],
        neighbours: Int[Tensor, "Q K"],
        features: Float[Tensor, "S C"],
    ) -> Float[Tensor, "Q D"]:
        """Features at the queries."""
        narrow = leaky(point_norm(self.narrow(features)))
        convolved = leaky(point_norm(self.convolution(queries, supports, neighbours, narrow)))
        shortcut = max_pool(features, neighbours) if self.strided else features
        if not isinstance(self.shortcut, nn.Identity):
            shortcut = point_norm(self.shortcut(shortcut))
        return leaky(point_norm(self.widen(convolved)) + shortcut)


def max_pool(features: Float[Tensor, "S C"], neighbours: Int[Tensor, "Q K"]) -> Float[Tensor, "Q C"]:
    """Largest value among the neighbours; a shadow counts as 0, as in the published code."""
    padded = F.pad(features, (0, 0, 0, 1))
    rows = max(1, _PART_VALUES // (neighbours.shape[1] * features.shape[1]))
    return torch.cat([padded[n.long()].amax(1) for n in neighbours.split(rows)])


def take_nearest(features: Float[Tensor, "S C"], neighbours: Int[Tensor, "Q K"]) -> Float[Tensor, "Q C"]:
    """Each query's nearest support's features; zeros where it has none."""
    return F.pad(features, (0, 0, 0, 1))[neighbours[:, 0].long()]
