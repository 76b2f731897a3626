"""Bilinear doubling of the resolution and a 3x3 convolution as one step, for a quarter of the arithmetic.

Doubling a picture bilinearly is to put zeros between its pixels and to smooth with (1 3 3 1) / 4 along both
axes. Smoothing and convolving commute, and with zeros between the pixels a convolution multiplies each pixel
with each of its weights once (it is a transposed convolution) instead of four times. Only on the outermost
lines, beyond which doubling sees the border's pixels again and the convolution zeros, the two are done one
after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.geometry.box import Box

ConvolveSpread = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""See :func:`convolve_spread`."""

_SMOOTHING = (0.25, 0.75, 0.75, 0.25)


def doubled(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C H W"]:
    """Twice the resolution, bilinear, pixels as squares (``align_corners=False``)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def convolve_doubled(x: Float[Tensor, "B C h w"], layer: nn.Conv2d) -> Float[Tensor, "B D H W"]:
    """``layer(doubled(x))`` of a 3x3 convolution with zeros around."""
    inner = convolve_spread(F.pad(x, (1, 1, 1, 1), mode="replicate"), spreading_taps(layer), layer.bias)
    height, width = (int(n) for n in x.shape[2:])
    lines = _border_lines(Box(0, height, 0, width), height, width)
    top, bottom, left, right = (_convolve_after_doubling(x, layer, line, layer.bias) for line in lines)
    rows = torch.cat([left[:, :, 1:-1], inner[:, :, 1:-1, 1:-1], right[:, :, 1:-1]], 3)
    return torch.cat([top, rows, bottom], 2)


def spreading_taps(layer: nn.Conv2d) -> Float[Tensor, "C D 3 3"]:
    """A 3x3 convolution's weights as :func:`convolve_spread` takes them."""
    return layer.weight.transpose(0, 1).flip(2, 3)


def convolve_spread(
    around: Float[Tensor, "B C _ _"], taps: Float[Tensor, "C D 3 3"], bias: Tensor | None
) -> Float[Tensor, "B D _ _"]:
    """The convolved doubling of a part of a picture, given with one more pixel around; not right on outermost lines."""
    line = around.new_tensor(_SMOOTHING)
    smoothing = (line[:, None] * line).repeat(taps.shape[1], 1, 1, 1)
    return F.conv2d(F.conv_transpose2d(around, taps, stride=2, padding=1), smoothing, bias, groups=taps.shape[1])


def convolve_doubled_strips(
    x: Float[Tensor, "B C h w"],
    layer: nn.Conv2d,
    box: Box,
    *,
    rows: int,
    bias: Tensor | None,
    convolve: ConvolveSpread | None = None,
) -> Iterator[tuple[Box, Float[Tensor, "B D _ _"]]]:
    """:func:`convolve_doubled` in a part of the picture, strip after strip, so that little is in memory at a time.

    Args:
        x: The whole picture.
        layer: The convolution.
        box: Which pixels of ``x`` to double.
        rows: Of ``x``, in one strip.
        bias: Instead of the layer's own.
        convolve: Does what :func:`convolve_spread` does, in another way.

    Yields:
        Which pixels of the doubled picture, and the result there.
    """
    height, width = x.shape[2:]
    borders = [(line, _convolve_after_doubling(x, layer, line, bias)) for line in _border_lines(box, height, width)]
    taps = spreading_taps(layer)
    for strip in box.strips(rows):
        around = strip.padded(1, x, height=height, width=width, mode="replicate")
        out = (convolve or convolve_spread)(around, taps, bias)
        fine = strip.doubled()
        for border, values in borders:
            common = fine.common(border)
            if common is not None:
                common.cut(out, origin=fine).copy_(common.cut(values, origin=border))
        yield fine, out


def _border_lines(box: Box, height: int, width: int) -> list[Box]:
    """The outermost lines of the doubled picture, as far as they are in the doubled box."""
    fine = box.doubled()
    outermost = (
        Box(0, 1, 0, 2 * width),
        Box(2 * height - 1, 2 * height, 0, 2 * width),
        Box(0, 2 * height, 0, 1),
        Box(0, 2 * height, 2 * width - 1, 2 * width),
    )
    return [common for line in outermost if (common := fine.common(line)) is not None]


def _convolve_after_doubling(x: Tensor, layer: nn.Conv2d, fine: Box, bias: Tensor | None) -> Tensor:
    """The part ``fine`` of ``layer(doubled(x))``, step after step."""
    height, width = (2 * int(n) for n in x.shape[2:])
    source = fine.grown(2, height=height, width=width).halved()
    around = fine.padded(1, doubled(source.cut(x)), origin=source.doubled(), height=height, width=width)
    return F.conv2d(around, layer.weight, bias)
