"""The dense estimation with the published code's own conventions (``CropConvention.OFFICIAL``)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.refinement.dense_field import DenseField
from rnnpose_ros.refinement.field import Solve
from rnnpose_ros.refinement.published_solver import published_step


class OfficialField(DenseField):
    """For converted weights; pinned stage by stage by ``test/networks/test_official_parity.py``."""

    solve: Solve = staticmethod(published_step)
    depth_offset_m = 1e-5
    nearest_m = 0.1

    def _at_cells(self, field: Float[Tensor, "B H W 2"]) -> Float[Tensor, "B h w 2"]:
        """Shrunk bilinearly with the outermost pixel centres kept, though the encoders' cells lie elsewhere."""
        flow = field.permute(0, 3, 1, 2)
        flow = F.interpolate(flow, size=self._cells.shape[:2], mode="bilinear", align_corners=True)
        return flow.permute(0, 2, 3, 1)

    def _descriptor_uv(self, target_uv: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N 2"]:
        """Targets scaled as if the outermost pixel centres were at -1 and 1, sampled as if the borders were.

        Pinned by ``test_similarity_weights_equal_the_published_ones``.
        """
        size = self._inputs.photo.shape[-1]
        return target_uv * (size / (size - 1)) - 0.5

    def _sigma(self) -> Float[Tensor, ""]:
        return self._network.sigma

    def _trusted(self, target_uv: Float[Tensor, "B N 2"]) -> float:
        """A target outside of the crop meets a descriptor of zeros and counts exp(-1 / sigma)."""
        return 1.0
