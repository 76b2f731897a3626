"""All-pairs correlation between the render's and the photograph's features (RAFT, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationPyramid:
    """Similarity of every render cell with every photograph cell, at halved target resolutions."""

    levels: tuple[Float[Tensor, "M 1 _ _"], ...]
    """M = B h w render cells, each with its own map over the photograph's cells."""
    radius: int
    published: bool = False
    """RAFT's own lookup, for its weights: a cell k of level l is taken to lie at ``2^l k``, and the window's
    values run along v first."""

    @property
    def channels(self) -> int:
        """Values that :meth:`lookup` returns per cell."""
        return len(self.levels) * (2 * self.radius + 1) ** 2

    def lookup(self, centre: Float[Tensor, "B h w 2"]) -> Float[Tensor, "B C h w"]:
        """The correlation in a square window around each cell's expected target.

        Bilinear, zero outside. An average-pooled cell k of level l covers cells ``2^l k .. 2^l k + 2^l - 1``,
        so its centre lies at ``2^l k + (2^l - 1) / 2``.

        Args:
            centre: Expected targets in units of photograph cells, (u, v).
        """
        batch, height, width, _ = centre.shape
        side = 2 * self.radius + 1
        offsets = torch.arange(-self.radius, self.radius + 1, device=centre.device, dtype=centre.dtype)
        window = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij" if self.published else "xy"), -1)
        samples = []
        for level, volume in enumerate(self.levels):
            factor = 2**level
            uv = (centre - (0 if self.published else (factor - 1) / 2)) / factor
            h, w = volume.shape[-2:]
            around = torch.stack([window[..., 0] * (2.0 / w), window[..., 1] * (2.0 / h)], -1)
            grid = sampling_grid(uv.reshape(-1, 1, 1, 2), volume) + around
            values = F.grid_sample(volume, grid, align_corners=False, padding_mode="zeros")
            samples.append(values.view(batch, height, width, side * side))
        return torch.cat(samples, -1).permute(0, 3, 1, 2)


def sampling_grid(uv: Float[Tensor, "*N 2"], maps: Float[Tensor, "M C h w"]) -> Float[Tensor, "*N 2"]:
    """Pixels of maps as ``grid_sample`` wants them with ``align_corners=False``.

    By numbers alone: a tensor of them would be a copy that the GPU waits for, and that no CUDA graph can hold.
    """
    h, w = maps.shape[-2:]
    return torch.stack([(uv[..., 0] + 0.5) * (2.0 / w) - 1, (uv[..., 1] + 0.5) * (2.0 / h) - 1], -1)


def correlate(
    features_render: Float[Tensor, "B D h w"],
    features_photo: Float[Tensor, "B D h w"],
    *,
    levels: int,
    radius: int,
    published: bool = False,
) -> CorrelationPyramid:
    """The correlation pyramid of two feature maps, scaled by 1 / sqrt(D), in float32."""
    batch, channels, height, width = features_render.shape
    a = features_render.float().flatten(2).transpose(1, 2)
    b = features_photo.float().flatten(2)
    volume = (a @ b).mul(channels**-0.5).view(batch * height * width, 1, height, width)
    pyramid = [volume]
    for _ in range(levels - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    return CorrelationPyramid(levels=tuple(pyramid), radius=radius, published=published)
