"""Dense descriptors of the photograph: SuperPoint's trunk and a decoder back to full resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.geometry.box import Box
from rnnpose_ros.networks.doubling import ConvolveSpread, convolve_doubled, convolve_doubled_strips, convolve_spread
from rnnpose_ros.networks.normalisation import (
    Moments,
    bias_near_zero,
    in_fastest_layout,
    is_plain_inference,
    moments,
    normalise,
    normalise_near_zero,
)

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
        if not is_plain_inference(x):
            return F.relu(normalise(convolve_doubled(x, self.convolution)), inplace=True)
        return F.relu_(normalise_near_zero(torch.cat(list(self.strips(x)), 2)))

    def strips(
        self, x: Float[Tensor, "B C h w"], *, convolve: ConvolveSpread | None = None
    ) -> Iterator[Float[Tensor, "B D _ W"]]:
        """What is to be normalised, a constant per channel apart, from top to bottom; ``convolve`` as for strips."""
        height, width = x.shape[2:]
        layer, whole = self.convolution, Box(0, height, 0, width)
        bias = bias_near_zero(x, layer)
        strips = convolve_doubled_strips(x, layer, whole, rows=_STRIP_ROWS, bias=bias, convolve=convolve)
        return (strip for _, strip in strips)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPhoto:
    """What one photograph's descriptors are made from: the decoder after its last doubling, not yet normalised."""

    features: Float[Tensor, "1 128 H W"]
    moments: Moments

    def around(self, box: Box) -> Float[Tensor, "1 128 _ _"]:
        """Normalised, in a part of the picture and one pixel around it; zeros beyond the picture."""
        height, width = self.features.shape[2:]
        seen = box.grown(1, height=height, width=width)
        part = F.relu_(self.moments.normalise(seen.cut(self.features)))
        return box.padded(1, part, origin=seen, height=height, width=width)


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
        if not is_plain_inference(image):
            return self._describe(F.pad(self.up1(self._half(image)), (1, 1, 1, 1)))
        strips = list(Box(0, image.shape[2], 0, image.shape[3]).strips(2 * _STRIP_ROWS))
        return torch.cat([self._whole(one, strips) for one in image.split(1)])

    def decode(self, image: Float[Tensor, "1 3 H W"]) -> DecodedPhoto:
        """All that depends on the whole image (its normalisation does). On a CPU, without gradients."""
        height, width = image.shape[2:]
        features, top, strips = None, 0, []
        for strip in self.up1.strips(self._half(image), convolve=self._fine):
            if features is None:
                last = strip.is_contiguous(memory_format=torch.channels_last)
                layout = torch.channels_last if last else torch.contiguous_format
                features = strip.new_empty(1, strip.shape[1], height, width).contiguous(memory_format=layout)
            strips.append(features[:, :, top : top + strip.shape[2]].copy_(strip))
            top += strip.shape[2]
        assert features is not None
        return DecodedPhoto(features, moments(strips))

    def describe(self, decoded: DecodedPhoto, boxes: Sequence[Box]) -> Float[Tensor, "N D h w"]:
        """The descriptors in parts of one size, computed alone: each depends on few pixels around it."""
        return self._describe(torch.cat([decoded.around(box) for box in boxes]))

    def _whole(self, image: Float[Tensor, "1 3 H W"], strips: Sequence[Box]) -> Float[Tensor, "1 D H W"]:
        decoded = self.decode(image)
        return torch.cat([self.describe(decoded, [strip]) for strip in strips], 2)

    def _half(self, image: Tensor) -> Float[Tensor, "B 192 h w"]:
        half = self.trunk2(self._stem(in_fastest_layout(image)))
        quarter = self.trunk4(_pooled(half))
        x = self.up4(self.trunk8(_pooled(quarter)))
        x = self.up2(torch.cat([x, quarter], 1))
        return torch.cat([x, half], 1)

    def _stem(self, image: Tensor) -> Float[Tensor, "B 64 h w"]:
        """The trunk's first stage at half of the resolution; it alone would take more memory than all the rest."""
        if not is_plain_inference(image):
            return _pooled(self.trunk1(image))
        strips = Box(0, image.shape[2], 0, image.shape[3]).strips(2 * _STRIP_ROWS)
        return torch.cat([_pooled(self.trunk1.part(image, strip)) for strip in strips], 2)

    def _fine(self, around: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
        """One strip of the last doubling."""
        return convolve_spread(around, taps, bias)

    def _describe(self, padded: Float[Tensor, "B 128 H W"]) -> Float[Tensor, "B D H-2 W-2"]:
        """Descriptors of normalised features with one more pixel around."""
        return F.normalize(self._head(padded), dim=1)

    def _head(self, padded: Float[Tensor, "B 128 H W"]) -> Float[Tensor, "B D H-2 W-2"]:
        wide = F.relu(F.conv2d(padded, self.widen.weight, self.widen.bias), inplace=True)
        return self.head(wide)


def _pooled(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
    """The largest of every 2 x 2 pixels; the library's own pooling also finds out where it was."""
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])
