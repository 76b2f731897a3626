"""How much a correspondence is trusted: the similarity of the two descriptors it joins."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.networks.correlation import sampling_grid


def similarity(
    descriptors_render: Float[Tensor, "B D h w"],
    descriptors_photo: Float[Tensor, "B D H W"],
    target: Float[Tensor, "B h w 2"],
    sigma: Float[Tensor, ""],
) -> Float[Tensor, "B h w"]:
    """``exp(-|1 - d_M . d_I| / sigma)`` (RNNPose, section 3.3).

    Args:
        descriptors_render: Unit descriptors d_M of the render's cells.
        descriptors_photo: Unit descriptors of the photograph's cells; d_I is sampled from it, bilinearly,
            zero outside.
        target: Where each render cell is found, in photograph cells.
        sigma: Positive scale.
    """
    grid = sampling_grid(target, descriptors_photo)
    sampled = F.grid_sample(descriptors_photo, grid.to(descriptors_photo.dtype), align_corners=False)
    return torch.exp(-(1 - (descriptors_render * sampled).sum(1)).abs() / sigma)
