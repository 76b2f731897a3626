"""AdamW, its schedule over the time budget, and the exponential average of the weights."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import nn

from rnnpose_ros.training.experiment import TrainingConfig


def make_optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only (not on biases, norms and sigma)."""
    params = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in params if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in params if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))


def learning_rate(config: TrainingConfig, share: float) -> float:
    """Linear warm-up over the first share, then half a cosine down to a hundredth.

    Args:
        config: Names the peak and the warm-up.
        share: Of the time budget that is used, 0..1.
    """
    if share < config.warmup_share:
        return config.learning_rate * max(share / config.warmup_share, 0.02)
    position = (share - config.warmup_share) / (1.0 - config.warmup_share)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(position, 1.0))))


Network = TypeVar("Network", bound=nn.Module)


class ExponentialAverage(Generic[Network]):
    """A copy of the network whose weights follow the trained ones slowly."""

    def __init__(self, network: Network, *, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """One step towards the network; the first steps go faster."""
        self._updates += 1
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        for mine, other in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(other, 1.0 - decay)
            else:
                mine.copy_(other)
