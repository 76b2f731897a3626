"""AdamW, a schedule over the budget, and the exponential average of the weights."""

from __future__ import annotations

import copy
import math
from typing import Any, Generic, TypeVar

import torch
from torch import nn


def make_adamw(network: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW for what requires gradients, with weight decay on matrices only (not on biases, norms and sigma)."""
    params = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in params if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in params if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99))


def half_cosine(share: float, *, peak: float, warmup_share: float) -> float:
    """Linear warm-up over the first share, then half a cosine down to a hundredth.

    Args:
        share: Of the budget that is used, 0..1.
        peak: Rate after the warm-up.
        warmup_share: Share of the budget to warm up in.
    """
    if share < warmup_share:
        return peak * max(share / warmup_share, 0.02)
    position = (share - warmup_share) / (1.0 - warmup_share)
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(position, 1.0))))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The same learning rate for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


Network = TypeVar("Network", bound=nn.Module)


class ExponentialAverage(Generic[Network]):
    """A copy of the network whose weights follow the trained ones slowly."""

    def __init__(self, network: Network, *, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self._updates = 0

    def state(self) -> dict[str, Any]:
        """The weights, and how often they were updated."""
        return {"network": self.network.state_dict(), "updates": self._updates}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state` was taken."""
        self.network.load_state_dict(state["network"])
        self._updates = int(state["updates"])

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
