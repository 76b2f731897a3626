"""Pictures with the colour taken out: what a refiner makes of light alone."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


def without_colour(rgb: UInt8[Tensor, "H W 3"]) -> UInt8[Tensor, "H W 3"]:
    """The same picture in grey, three equal channels."""
    luma = (rgb.float() @ torch.tensor(_LUMA)).round().to(torch.uint8)
    return luma[..., None].expand_as(rgb).contiguous()
