"""Dense descriptors of the photograph: SuperPoint's trunk and a decoder back to full resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.geometry.box import Box
from rnnpose_ros.networks.doubling import convolve_doubled, convolve_doubled_strips
from rnnpose_ros.networks.normalisation import in_fastest_layout, moments, normalise

_STRIP_ROWS = 20
"""At half of the resolution: large maps are worked through in strips that stay in the processor's cache."""


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class ConvPair(nn.Module):
    """Two 3x3 convolutions with ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs)
        self.second = _conv(outputs, outputs)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        return F.relu(self.second(F.relu(self.first(x), inplace=True)), inplace=True)

    def part(self, x: Float[Tensor, "B C H W"], box: Box) -> Float[Tensor, "B D h w"]:
        """A part of the result, computed alone."""
        height, width = x.shape[2:]
        seen = box.grown(1, height=height, width=width)
        around = seen.padded(1, x, height=height, width=width)
        first = F.relu_(F.conv2d(around, self.first.weight, self.first.bias))
        around = box.padded(1, first, height=height, width=width, origin=seen)
        return F.relu_(F.conv2d(around, self.second.weight, self.second.bias))


class UpBlock(nn.Module):
    """Twice the resolution (bilinear), a 3x3 convolution, instance normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = _conv(inputs, outputs)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D H W"]:
        if torch.is_grad_enabled():
            return F.relu(normalise(convolve_doubled(x, self.convolution)), inplace=True)
        height, width = x.shape[2:]
        strips = convolve_doubled_strips(x, self.convolution, Box(0, height, 0, width), rows=_STRIP_ROWS)
        return F.relu_(normalise(torch.cat([strip for _, strip in strips], 2)))


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPhoto:
    """All of a photograph's descriptors that depends on the whole of it: the decoder before its last doubling."""

    half: Float[Tensor, "B 192 h w"]
    """At half of the resolution."""
    mean: Float[Tensor, "B 128 1 1"]
    """Of the last doubling's channels, for their normalisation."""
    scale: Float[Tensor, "B 128 1 1"]
    """One over their standard deviation."""


class Descriptor2D(nn.Module):
    """A unit descriptor at every pixel.

    The decoder joins the trunk's features at a quarter and at half of the resolution *before* it doubles
    the resolution again, and does not join those at full resolution.

    Args:
        outputs: Length of a descriptor.
    """

    def __init__(self, outputs: int = 32) -> None:
        super().__init__()
        self.trunk1 = ConvPair(3, 64)
        self.trunk2 = ConvPair(64, 64)
        self.trunk4 = ConvPair(64, 128)
        self.trunk8 = ConvPair(128, 128)
        self.up4 = UpBlock(128, 128)
        self.up2 = UpBlock(256, 128)
        self.up1 = UpBlock(192, 128)
        self.widen = _conv(128, 256)
        self.head = nn.Conv2d(256, outputs, 1)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D H W"]:
        """Descriptors of an image in 0..1 whose sides are multiples of 8."""
        if torch.is_grad_enabled():
            return self._describe(F.pad(self.up1(self._half(image)), (1, 1, 1, 1)))
        return self.describe(self.decode(image), Box(0, image.shape[2], 0, image.shape[3]))

    def decode(self, image: Float[Tensor, "B 3 H W"]) -> DecodedPhoto:
        """All that depends on the whole image (its normalisation does). Without gradients."""
        half = self._half(image)
        height, width = half.shape[2:]
        strips = convolve_doubled_strips(half, self.up1.convolution, Box(0, height, 0, width), rows=_STRIP_ROWS)
        mean, scale = moments(strip for _, strip in strips)
        return DecodedPhoto(half, mean, scale)

    def describe(self, decoded: DecodedPhoto, box: Box) -> Float[Tensor, "B D h w"]:
        """The descriptors in a part of the picture, computed alone: each depends on few pixels around it."""
        height, width = (2 * n for n in decoded.half.shape[2:])
        source = box.grown(1, height=height, width=width).halved()
        strips = convolve_doubled_strips(decoded.half, self.up1.convolution, source, rows=_STRIP_ROWS)
        features = torch.cat([F.relu_(x.sub_(decoded.mean).mul_(decoded.scale)) for _, x in strips], 2)
        parts = [
            self._describe(strip.padded(1, features, origin=source.doubled(), height=height, width=width))
            for strip in box.strips(2 * _STRIP_ROWS)
        ]
        return torch.cat(parts, 2)

    def _half(self, image: Tensor) -> Float[Tensor, "B 192 h w"]:
        half = self.trunk2(self._stem(in_fastest_layout(image)))
        quarter = self.trunk4(F.max_pool2d(half, 2))
        x = self.up4(self.trunk8(F.max_pool2d(quarter, 2)))
        x = self.up2(torch.cat([x, quarter], 1))
        return torch.cat([x, half], 1)

    def _stem(self, image: Tensor) -> Float[Tensor, "B 64 h w"]:
        """The trunk's first stage at half of the resolution; it alone would take more memory than all the rest."""
        if torch.is_grad_enabled():
            return F.max_pool2d(self.trunk1(image), 2)
        strips = Box(0, image.shape[2], 0, image.shape[3]).strips(2 * _STRIP_ROWS)
        return torch.cat([F.max_pool2d(self.trunk1.part(image, strip), 2) for strip in strips], 2)

    def _describe(self, padded: Float[Tensor, "B 128 H W"]) -> Float[Tensor, "B D H-2 W-2"]:
        """Descriptors of normalised features with one more pixel around."""
        wide = F.relu(F.conv2d(padded, self.widen.weight, self.widen.bias), inplace=True)
        return F.normalize(self.head(wide), dim=1)
