"""Instance normalisation without parameters, and the memory layout in which a processor computes fastest."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_EPSILON = 1e-5


def in_fastest_layout(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Channels last where only values are wanted on a CPU: convolutions then need not reorder what they work on."""
    return x.contiguous(memory_format=torch.channels_last) if is_plain_inference(x) else x


def normalise(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Each channel of each image to mean 0 and variance 1. Without gradients, ``x`` is overwritten."""
    if not is_plain_inference(x):
        return F.instance_norm(x)
    # Batch normalisation of single images is quick in this layout, but adds up so plainly that a mean far from 0
    # would cost digits.
    x = x.sub_(x.mean((2, 3), keepdim=True))
    return torch.cat([F.batch_norm(image, None, None, training=True, eps=_EPSILON) for image in x.split(1)])


def moments(parts: Iterable[Float[Tensor, "B C _ _"]]) -> tuple[Float[Tensor, "B C 1 1"], Float[Tensor, "B C 1 1"]]:
    """Mean and one over the standard deviation of each channel of each image, given in parts, which are overwritten."""
    count, total, squares, pivot = 0, None, None, None
    for part in parts:
        # About the first part's mean, so that a mean far from 0 costs no digits.
        pivot = part.mean((2, 3), keepdim=True) if pivot is None else pivot
        off = part.sub_(pivot)
        off_sum = off.sum((2, 3), keepdim=True).double()
        off_squares = off.square_().sum((2, 3), keepdim=True).double()
        total = off_sum if total is None else total + off_sum
        squares = off_squares if squares is None else squares + off_squares
        count += part.shape[2] * part.shape[3]
    assert total is not None
    assert squares is not None
    assert pivot is not None
    mean = total / count
    return (pivot + mean).float(), (squares / count - mean**2 + _EPSILON).rsqrt().float()


def is_plain_inference(x: Tensor) -> bool:
    """On a CPU and without gradients: what follows may overwrite values and choose its own layout."""
    return x.device.type == "cpu" and not torch.is_grad_enabled()
