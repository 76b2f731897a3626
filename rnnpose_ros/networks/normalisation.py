"""Instance normalisation without parameters, and the memory layout in which a processor computes fastest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_EPSILON = 1e-5
_SPARSE = 4
"""Every so many pixels tell about where a mean lies."""


def in_fastest_layout(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Channels last where only values are wanted on a CPU: convolutions then need not reorder what they work on."""
    return x.contiguous(memory_format=torch.channels_last) if is_plain_inference(x) else x


class TracedGroupNorm(nn.GroupNorm):
    """Group normalisation that compilers see as instance normalisation of whole groups, then scale and shift.

    OpenVINO 2026.4 crashes while it compiles group normalisation before the sum of some residual blocks.
    """

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """As :class:`torch.nn.GroupNorm`."""
        if not torch.jit.is_tracing():
            return super().forward(input)
        groups = input.reshape(input.shape[0], self.num_groups, -1)
        normal = F.instance_norm(groups, eps=self.eps).reshape(input.shape)
        return normal * self.weight[:, None, None] + self.bias[:, None, None]


def normalise(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Each channel of each image to mean 0 and variance 1. Without gradients, ``x`` is overwritten."""
    if not is_plain_inference(x):
        return F.instance_norm(x)
    return normalise_near_zero(x.sub_(x.mean((2, 3), keepdim=True)))


def convolve_normalised(x: Float[Tensor, "B C H W"], layer: nn.Conv2d) -> Float[Tensor, "B D h w"]:
    """``normalise(layer(x))`` with fewer passes over the result."""
    if not is_plain_inference(x):
        return normalise(layer(x))
    return normalise_near_zero(
        F.conv2d(x, layer.weight, bias_near_zero(x, layer), stride=layer.stride, padding=layer.padding)
    )


def bias_near_zero(x: Float[Tensor, "B C H W"], layer: nn.Conv2d) -> Float[Tensor, "D"]:
    """Instead of a layer's own bias: one that brings the mean of its result near 0.

    Any number may be added to a channel that is normalised afterwards. This one undoes what the layer makes of a
    picture that everywhere is what ``x`` is on average.
    """
    return -(layer.weight.sum((2, 3)) @ x[:, :, ::_SPARSE, ::_SPARSE].mean((0, 2, 3)))


def normalise_near_zero(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """:func:`normalise` without gradients, of channels whose mean is not far from 0.

    Batch normalisation of single images is quick in the fastest layout, but adds up so plainly that a mean far from 0
    would cost digits.
    """
    images = [F.batch_norm(image, None, None, training=True, eps=_EPSILON) for image in x.split(1)]
    return images[0] if len(images) == 1 else torch.cat(images)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of each channel of one image."""

    mean: Float[Tensor, "C"]
    variance: Float[Tensor, "C"]

    def normalise(self, x: Float[Tensor, "1 C h w"]) -> Float[Tensor, "1 C h w"]:
        """A part of the image, as the whole would be."""
        return F.batch_norm(x, self.mean, self.variance, eps=_EPSILON)


def moments(parts: Iterable[Float[Tensor, "1 C _ _"]]) -> Moments:
    """Of an image given in parts, without gradients; its channels' means are not far from 0."""
    counts, means, variances = [], [], []
    for part in parts:
        mean, variance = torch.batch_norm_update_stats(part, None, None, 0.0)
        counts.append(part.shape[2] * part.shape[3])
        means.append(mean.double())
        variances.append(variance.double())
    share = torch.tensor(counts, dtype=torch.float64, device=means[0].device)[:, None] / sum(counts)
    mean = (share * torch.stack(means)).sum(0)
    variance = (share * (torch.stack(variances) + (torch.stack(means) - mean) ** 2)).sum(0)
    return Moments(mean.float(), variance.float())


def is_plain_inference(x: Tensor) -> bool:
    """On a CPU and without gradients: what follows may overwrite values and choose its own layout.

    Not while a graph is made, whose compiler chooses these things itself.
    """
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.jit.is_tracing()
