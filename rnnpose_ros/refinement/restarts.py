"""Further starts for an object that was not found from the given one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.perturbation import N1, perturb
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult

_SEED = 20220625


@dataclass(frozen=True, slots=True)
class RestartConfig:
    """When to try again, and how often."""

    count: int = param(
        4,
        doc="Further starts around a rough pose from which nothing right came; 0 for none",
        bounds=(0, 64),
        dynamic=True,
    )
    below_score: float = param(0.5, doc="Results that score lower are tried again", bounds=(0.0, 1.0), dynamic=True)
    spread: float = param(
        1.0, doc="Spread of the further starts, in units of N1 noise", bounds=(0.1, 4.0), dynamic=True
    )


def restart_poses(
    T_camera_object: Float[Tensor, "4 4"], model: ObjectModel, config: RestartConfig
) -> Float[Tensor, "K 4 4"]:
    """Poses around a rough one; always the same for the same pose, float64."""
    return perturb(
        T_camera_object.double().expand(config.count, 4, 4),
        noise=N1.for_diameter(model.diameter),
        scale=config.spread,
        generator=torch.Generator().manual_seed(_SEED),
        centre_object=model.centre.expand(config.count, 3),
    )


Refine = Callable[[Sequence[PoseHypothesis], int], list[RefinementResult]]
"""Refines these hypotheses with so many cycles."""


def try_again(
    hypothesis: PoseHypothesis,
    first: RefinementResult,
    model: ObjectModel,
    *,
    refine: Refine,
    cycles: int,
    config: RestartConfig,
) -> RefinementResult:
    """Refines from further starts: all of them for one cycle, the one that then scores best to the end.

    Args:
        hypothesis: The rough pose.
        first: What came of it.
        model: The object.
        refine: Refines hypotheses in one batch.
        cycles: Of a whole refinement.
        config: See :class:`RestartConfig`.

    Returns:
        The best-scoring result, which may be ``first``.
    """
    poses = restart_poses(hypothesis.T_camera_object, model, config)
    tried = refine([dataclasses.replace(hypothesis, T_camera_object=T) for T in poses], 1)
    best = max(tried, key=lambda result: result.score)
    if cycles > 1 and best.measures is not None:
        best = refine([dataclasses.replace(hypothesis, T_camera_object=best.T_camera_object)], cycles - 1)[0]
    return max(first, best, key=lambda result: result.score)
