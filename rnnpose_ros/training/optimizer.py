"""AdamW, a schedule over the budget, and the exponential average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from rnnpose_ros.errors import ConfigError


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
    """The same learning rate for all parameters, but for groups that have a ``factor`` on it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def one_cycle(share: float, *, peak: float) -> tuple[float, float]:
    """The published rate and momentum (beta 1): cosines up to the peak in the first hundredth, then down.

    The rate starts at a tenth of the peak and ends at its 1e-5; the momentum goes from 0.95 to 0.85 and back.
    """
    warmup = 0.01
    if share < warmup:
        rising = 0.5 - 0.5 * math.cos(math.pi * share / warmup)
        return peak * (0.1 + 0.9 * rising), 0.95 - 0.1 * rising
    falling = 0.5 + 0.5 * math.cos(math.pi * min((share - warmup) / (1.0 - warmup), 1.0))
    return peak * (1e-5 + (1 - 1e-5) * falling), 0.95 - 0.1 * falling


def set_momentum(optimizer: torch.optim.Optimizer, momentum: float) -> None:
    """Adam's beta 1 for all parameters."""
    for group in optimizer.param_groups:
        group["betas"] = (momentum, group["betas"][1])


def freeze(network: nn.Module, names: Sequence[str]) -> None:
    """Keeps the weights of some of a network's modules as they are.

    Raises:
        ConfigError: The network has no such module.
    """
    modules = dict(network.named_children())
    unknown = sorted(set(names) - modules.keys())
    if unknown:
        raise ConfigError(f"frozen: the network has no module {unknown[0]!r}; it has {', '.join(modules)}")
    for name in names:
        modules[name].requires_grad_(False)


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
