"""Where an object's outline lies in the photograph, seen beside a render of it at a pose that is nearly right.

A light U-shaped network. It answers for every second pixel of the crop with two probabilities: that the pixel lies
within the object's whole outline, whether the object can be seen there or is hidden by something nearer, and that the
object itself is seen there. Not of the published method: its correspondences fix an object with little on it well
across the line of sight but poorly along it, where the outline is what tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.networks.image_encoder import ResidualBlock
from rnnpose_ros.networks.normalisation import TracedGroupNorm
from rnnpose_ros.types import RenderBuffers

STRIDE = 2
"""Crop pixels from answer to answer; the first is for the crop's first pixel."""
INPUTS = 11
"""Photograph (3), and of the render colour (3), mask, normals (3), depth about the centre."""


@dataclass(frozen=True, slots=True, eq=False)
class OutlineField:
    """What the network says; logits."""

    within: Float[Tensor, "B h w"]
    """The pixel lies within the object's outline, hidden parts included."""
    visible: Float[Tensor, "B h w"]
    """The object is seen there."""


@runtime_checkable
class OutlineEstimator(Protocol):
    """A network that may know outlines; see :class:`~rnnpose_ros.networks.rnnpose_network.RnnposeNetwork`."""

    def find_outline(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> OutlineField | None:
        """Where the objects' outlines lie in the crops of the photograph; None where it estimates none.

        Args:
            render: Lit colour (0..1), depth and normals of the reference at the crop's camera.
            photo: The crop, 0..1.
            depth_centre: Depth of the object's centre at the render, metres.
            diameter: Of the objects, metres.
        """
        ...


class OutlineNetwork(nn.Module):
    """Estimates the outline.

    Args:
        widths: Channels at a half, a quarter, an eighth and a sixteenth of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.stem = nn.Sequential(nn.Conv2d(INPUTS, half, 5, stride=2, padding=2, bias=False), _norm(half), nn.ReLU())
        self.down2 = _block(half, half)
        self.down4 = _block(half, quarter, stride=2)
        self.down8 = _block(quarter, eighth, stride=2)
        self.down16 = nn.Sequential(_block(eighth, sixteenth, stride=2), _block(sixteenth, sixteenth))
        self.into8, self.up8 = nn.Conv2d(sixteenth, eighth, 1), _block(eighth, eighth)
        self.into4, self.up4 = nn.Conv2d(eighth, quarter, 1), _block(quarter, quarter)
        self.into2, self.up2 = nn.Conv2d(quarter, half, 1), _block(half, half)
        self.head = nn.Conv2d(half, 2, 3, padding=1)

    def forward(self, pictures: Float[Tensor, "B 11 S S"]) -> Float[Tensor, "B 2 h w"]:
        """Logits of ``within`` and ``visible``, ``h = ceil(S / 2)``."""
        fine2 = self.down2(self.stem(pictures))
        fine4 = self.down4(fine2)
        fine8 = self.down8(fine4)
        coarse = self.up8(fine8 + finer(self.into8(self.down16(fine8)), fine8))
        coarse = self.up4(fine4 + finer(self.into4(coarse), fine4))
        return self.head(self.up2(fine2 + finer(self.into2(coarse), fine2)))


def _norm(channels: int) -> nn.Module:
    """Eight channels a group."""
    return TracedGroupNorm(channels // 8, channels)


def _block(inputs: int, outputs: int, *, stride: int = 1) -> ResidualBlock:
    return ResidualBlock(inputs, outputs, stride=stride, norm=_norm)


def finer(coarse: Float[Tensor, "B C h w"], like: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Bilinear between cells that lie on every second one of the finer; beyond the last, the last."""
    height, width = like.shape[-2:]
    h, w = coarse.shape[-2:]
    fine = F.interpolate(coarse, size=(2 * h - 1, 2 * w - 1), mode="bilinear", align_corners=True)
    return F.pad(fine, (0, width - (2 * w - 1), 0, height - (2 * h - 1)), mode="replicate")
