"""The KPConv encoder-decoder over an object's vertices (RNNPose, section 3.1: 3D descriptors and 3D context)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.networks.kpconv import KPConv, ResidualPointBlock, leaky, point_norm, take_nearest
from rnnpose_ros.types import PointPyramid

_RADII = (0.0625, 0.125, 0.25, 0.5)
_BOTTLENECK = 128


class PointEncoder(nn.Module):
    """One feature per vertex, from the shape alone: the input is 1 everywhere.

    Args:
        outputs: Channels of a feature.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.stem = KPConv(1, 64, radius=_RADII[0])
        widths = (64, 128, 256, 512, 1024)
        for level, radius in enumerate(_RADII):
            width = widths[level + 1]
            enter = ResidualPointBlock(widths[level], width, radius=radius)
            blocks = [enter] if level == 0 else [enter, ResidualPointBlock(width, width, radius=radius)]
            setattr(self, f"level{level}", nn.ModuleList(blocks))
            if level < 3:
                setattr(self, f"pool{level}", ResidualPointBlock(width, width, radius=radius, strided=True))
        self.bottleneck = nn.Linear(1024, _BOTTLENECK)
        self.mix = nn.Linear(_BOTTLENECK, _BOTTLENECK)
        self.decode2 = nn.Linear(_BOTTLENECK + 512, 64, bias=False)
        self.decode1 = nn.Linear(64 + 256, 32, bias=False)
        # The last two channels are part of the published layout and say nothing here.
        self.decode0 = nn.Linear(32 + 128, outputs + 2, bias=False)

    def forward(self, pyramid: PointPyramid) -> Float[Tensor, "V D"]:
        """Features of the vertices, not normalised.

        Args:
            pyramid: On the network's device (:func:`to_device`).
        """
        points, tables = pyramid.points, pyramid.neighbours
        x = points[0].new_ones(len(points[0]), 1)
        x = leaky(point_norm(self.stem(points[0], points[0], tables[0], x)))
        skips = []
        for level in range(len(points)):
            for block in getattr(self, f"level{level}"):
                x = block(points[level], points[level], tables[level], x)
            if level + 1 < len(points):
                skips.append(x)
                x = getattr(self, f"pool{level}")(points[level + 1], points[level], pyramid.pools[level], x)
        x = self.mix(self.bottleneck(x))
        x = leaky(point_norm(self.decode2(torch.cat([take_nearest(x, pyramid.upsamples[2]), skips[2]], 1))))
        x = leaky(point_norm(self.decode1(torch.cat([take_nearest(x, pyramid.upsamples[1]), skips[1]], 1))))
        x = self.decode0(torch.cat([take_nearest(x, pyramid.upsamples[0]), skips[0]], 1))
        return x[:, : self.outputs]


def to_device(pyramid: PointPyramid, device: torch.device) -> PointPyramid:
    """The pyramid with all tables on a device."""
    return PointPyramid(
        points=tuple(t.to(device) for t in pyramid.points),
        neighbours=tuple(t.to(device) for t in pyramid.neighbours),
        pools=tuple(t.to(device) for t in pyramid.pools),
        upsamples=tuple(t.to(device) for t in pyramid.upsamples),
        limits=pyramid.limits,
    )
