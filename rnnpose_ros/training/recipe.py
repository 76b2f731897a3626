"""What is trained, apart from how: the seam between the training loop and a family of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, Network
from rnnpose_ros.training.experiment import TrainingConfig
from rnnpose_ros.types import TrainingBatch


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Total and its parts (for the log), batch means."""

    total: Float[Tensor, ""]
    parts: dict[str, float]
    """The same names at every step; ``loss`` is the total."""


@runtime_checkable
class Recipe(Protocol):
    """A network, what it learns from a batch, and by which optimiser.

    The parameters that are trained are those of ``network`` that require gradients. The trainer keeps the
    rest: samples, budget, clipping, averaged weights, processes, saving, resuming. So a recipe keeps no state
    between steps: what is random in it is drawn from the generator that comes with each batch.
    """

    @property
    def config(self) -> TrainingConfig:
        """Settings of the loop, extended by the recipe's own (a subclass)."""
        ...

    @property
    def network(self) -> Network:
        """On the training device, in training mode."""
        ...

    def losses(self, batch: TrainingBatch, *, iterations: int, step: int, random: torch.Generator) -> Losses:
        """Everything the network should get right on one batch.

        Args:
            batch: Tensors on the training device; objects as they were made.
            iterations: Recurrent iterations.
            step: Optimiser steps taken so far, for what grows over the first of them.
            random: CPU generator of this batch's stream; draw from nothing else.
        """
        ...

    def make_optimizer(self) -> torch.optim.Optimizer:
        """For the parameters that are trained."""
        ...

    def schedule(self, optimizer: torch.optim.Optimizer, share: float) -> None:
        """Sets rates (and whatever else changes) for a share of the budget, 0..1; depends on nothing else."""
        ...

    def describe(self, network: Network, provenance: dict[str, Any]) -> CheckpointInfo:
        """What a checkpoint of these weights says of itself.

        Args:
            network: The averaged weights that are written.
            provenance: What the loop knows of the run; the recipe may add to it.
        """
        ...
