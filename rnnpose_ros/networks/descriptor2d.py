"""Dense descriptors of the photograph: SuperPoint's trunk and a decoder back to full resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_STRIP_ROWS = 20
_STRIP_CHANNELS = 16


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


class UpBlock(nn.Module):
    """Twice the resolution (bilinear), a 3x3 convolution, instance normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = _conv(inputs, outputs)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D H W"]:
        if torch.is_grad_enabled():
            return F.relu(F.instance_norm(self.convolution(_doubled(x))), inplace=True)
        batch, _, height, width = x.shape
        out = x.new_empty(batch, self.convolution.out_channels, 2 * height, 2 * width)
        for start in range(0, height, _STRIP_ROWS):
            self._convolve_strip(x, out, start, min(start + _STRIP_ROWS, height))
        for channels in out.split(_STRIP_CHANNELS, 1):
            channels.copy_(F.instance_norm(channels)).relu_()
        return out

    def _convolve_strip(self, x: Tensor, out: Tensor, start: int, stop: int) -> None:
        """Output rows ``2 start : 2 stop``: the doubled picture, large and short-lived, is never whole in memory."""
        above, below = min(start, 2), min(x.shape[2] - stop, 2)
        doubled = _doubled(x[:, :, start - above : stop + below])
        # One doubled row above and below for the convolution, where the picture has it; zeros where it ends.
        top, bottom = 2 * above - int(above > 0), 2 * (above + stop - start) + int(below > 0)
        rows = F.pad(doubled[:, :, top:bottom], (0, 0, int(above == 0), int(below == 0)))
        layer = self.convolution
        out[:, :, 2 * start : 2 * stop] = F.conv2d(rows, layer.weight, layer.bias, padding=(0, 1))


def _doubled(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C H W"]:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


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
        return self.describe(self.decode(image))

    def decode(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 128 H W"]:
        """All that depends on the whole image (its normalisation does)."""
        half = self.trunk2(F.max_pool2d(self.trunk1(image), 2))
        quarter = self.trunk4(F.max_pool2d(half, 2))
        x = self.up4(self.trunk8(F.max_pool2d(quarter, 2)))
        x = self.up2(torch.cat([x, quarter], 1))
        return self.up1(torch.cat([x, half], 1))

    def describe(self, decoded: Float[Tensor, "B 128 H W"]) -> Float[Tensor, "B D H W"]:
        """Descriptors of decoded features; each depends on the 3x3 pixels around it."""
        return F.normalize(self.head(F.relu(self.widen(decoded), inplace=True)), dim=1)

    def describe_window(
        self, decoded: Float[Tensor, "B 128 H W"], *, top: int, bottom: int, left: int, right: int
    ) -> Float[Tensor, "B D h w"]:
        """The rows ``top:bottom`` and columns ``left:right`` of :meth:`describe`, computed alone."""
        height, width = decoded.shape[-2:]
        before, after = int(left > 0), int(right < width)
        strips = []
        for start in range(top, bottom, 2 * _STRIP_ROWS):
            stop = min(start + 2 * _STRIP_ROWS, bottom)
            above, below = int(start > 0), int(stop < height)
            part = self.describe(decoded[:, :, start - above : stop + below, left - before : right + after])
            strips.append(part[:, :, above : part.shape[2] - below, before : part.shape[3] - after])
        return torch.cat(strips, 2)
