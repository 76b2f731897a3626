"""2D encoders that shrink a crop eightfold (the roles of RAFT's fnet and cnet).

Every convolution has an odd kernel and symmetric padding, so output cell ``(i, j)`` is centred exactly
on input pixel ``(8 i, 8 j)``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.networks.normalisation import convolve_normalised, in_fastest_layout, is_plain_inference

STRIDE = 8
"""Input pixels per output cell."""


def instance_norm(channels: int) -> nn.Module:
    """Per image and channel, with learned scale and shift."""
    return nn.InstanceNorm2d(channels, affine=True)


def group_norm(channels: int) -> nn.Module:
    """Eight channels a group."""
    return nn.GroupNorm(channels // 8, channels)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with normalisation around a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class ImageEncoder(nn.Module):
    """Residual encoder to 1/8 of the resolution.

    Args:
        inputs: Channels of the picture.
        widths: Channels of the stem and of the stages at 1/2, 1/4 and 1/8.
        outputs: Channels of the result.
        norm: Makes a normalisation layer for a number of channels.
        deep: A second block at 1/8 for a wider view.
    """

    def __init__(
        self,
        inputs: int,
        *,
        widths: tuple[int, int, int, int],
        outputs: int,
        norm: Callable[[int], nn.Module],
        deep: bool = True,
    ) -> None:
        super().__init__()
        stem, half, quarter, eighth = widths
        self.stem = nn.Sequential(nn.Conv2d(inputs, stem, 7, stride=2, padding=3, bias=False), norm(stem), nn.ReLU())
        self.stage2 = ResidualBlock(stem, half, stride=1, norm=norm)
        self.stage4 = ResidualBlock(half, quarter, stride=2, norm=norm)
        self.stage8 = ResidualBlock(quarter, eighth, stride=2, norm=norm)
        self.deep = ResidualBlock(eighth, eighth, stride=1, norm=norm) if deep else nn.Identity()
        self.head = nn.Conv2d(eighth, outputs, 1)

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Features with ``h = ceil(H / 8)``."""
        return self.head(self.deep(self.stage8(self.stage4(self.stage2(self.stem(image))))))


class RaftBlock(nn.Module):
    """RAFT's residual block: instance normalisation without parameters, ReLU before and after the sum."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = F.relu(convolve_normalised(x, self.conv1), inplace=True)
        y = F.relu(convolve_normalised(y, self.conv2), inplace=True)
        short = x if isinstance(self.shortcut, nn.Identity) else convolve_normalised(x, self.shortcut)
        return F.relu(short + y, inplace=True)


class RaftEncoder(nn.Module):
    """RAFT's feature encoder ("fnet" of the large model): 3 channels to 256 at 1/8 of the resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2)
        self.stage2 = nn.Sequential(RaftBlock(64, 64, stride=1), RaftBlock(64, 64, stride=1))
        self.stage4 = nn.Sequential(RaftBlock(64, 96, stride=2), RaftBlock(96, 96, stride=1))
        self.stage8 = nn.Sequential(RaftBlock(96, 128, stride=2), RaftBlock(128, 128, stride=1))
        self.head = nn.Conv2d(128, 256, 1)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 256 h w"]:
        """Features with ``h = ceil(H / 8)``."""
        # The padding's zeros lie a range above the published code's pictures, which are all but -1. Both moved by 1,
        # what the stem's normalisation takes back, the pictures keep their digits in any precision.
        padded = F.pad(image + 1, (3, 3, 3, 3), value=1.0)
        if not is_plain_inference(image):
            return self._encode(padded)
        # One picture's maps at a time: half of the memory, and they stay in the processor's cache.
        return torch.cat([self._encode(one) for one in padded.split(1)])

    def _encode(self, padded: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 256 h w"]:
        x = F.relu(convolve_normalised(in_fastest_layout(padded), self.stem), inplace=True)
        return self.head(self.stage8(self.stage4(self.stage2(x))))
