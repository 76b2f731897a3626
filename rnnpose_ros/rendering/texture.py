"""Textures that are looked at from far away: a chain of ever smaller pictures, read trilinearly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional


def mip_levels(texture: UInt8[Tensor, "Ht Wt 3"]) -> list[Float[Tensor, "1 3 _ _"]]:
    """The texture and its halvings down to one texel, 0..255."""
    levels = [texture.detach().permute(2, 0, 1)[None].float()]
    while max(levels[-1].shape[2:]) > 1:
        height, width = levels[-1].shape[2:]
        levels.append(functional.adaptive_avg_pool2d(levels[-1], (max(height // 2, 1), max(width // 2, 1))))
    return levels


@dataclass(frozen=True, slots=True, eq=False)
class MipChain:
    """A texture and its halvings, ready to be read by torch."""

    bordered: tuple[Float[Tensor, "1 3 _ _"], ...]
    """0..255, each with one more texel on every side, from the other side: so textures repeat."""

    @classmethod
    def of(cls, texture: UInt8[Tensor, "Ht Wt 3"]) -> MipChain:
        """The chain of a texture, on its device."""
        return cls(tuple(functional.pad(level, (1, 1, 1, 1), mode="circular") for level in mip_levels(texture)))

    def read(self, uv: Float[Tensor, "N 2"], uv_area: Float[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """Colours, 0..255, blended of the two levels whose texels come closest to a pixel, by area.

        Args:
            uv: Texture coordinates, v upwards, repeated outside 0..1; texel centres at (i + 0.5) / n.
            uv_area: How much of the unit square a pixel covers there.
        """
        height, width = (size - 2 for size in self.bordered[0].shape[2:])
        level = (0.5 * torch.log2((uv_area * (height * width)).clamp_min(1.0))).clamp_max(len(self.bordered) - 1.0)
        color = torch.zeros(len(uv), 3, device=uv.device)
        for i, picture in enumerate(self.bordered):
            share = (1.0 - (level - i).abs()).clamp_min(0.0)
            (here,) = share.nonzero(as_tuple=True)
            if len(here):
                color.index_add_(0, here, share[here, None].float() * _between_texels(picture, uv[here]))
        return color


def _between_texels(bordered: Float[Tensor, "1 3 _ _"], uv: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    """Bilinear."""
    size = torch.tensor([bordered.shape[3] - 2, bordered.shape[2] - 2], device=uv.device)
    texel = torch.stack([uv[:, 0], -uv[:, 1]], -1)
    texel = (texel - texel.floor()) * size + 1.0
    grid = (2.0 * texel / (size + 2) - 1.0).float()
    return functional.grid_sample(bordered, grid[None, None], align_corners=False)[0, :, 0].T
