"""Several starts for one object: further ones where none was right, and the choice among them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.perturbation import N1, perturb, turns_within
from rnnpose_ros.geometry.se3 import increment_about, transform
from rnnpose_ros.refinement.status import SCORE_MEASURES
from rnnpose_ros.types import IterationTrace, ObjectModel, PoseHypothesis, RefinementResult

_SEED = 20220625


@dataclass(frozen=True, slots=True)
class RestartConfig:
    """When to try again, and how often."""

    count: int = param(
        6,
        doc="Further starts around a rough pose from which nothing right came; 0 for none",
        bounds=(0, 64),
        dynamic=True,
    )
    keep: int = param(
        2, doc="How many of them are refined to the end, after a cycle of each", bounds=(1, 64), dynamic=True
    )
    below_score: float = param(0.85, doc="Results that score lower are tried again", bounds=(0.0, 1.0), dynamic=True)
    spread: float = param(
        1.0, doc="Spread of the further starts, in units of N1 noise", bounds=(0.1, 4.0), dynamic=True
    )


def poses_around(
    T_camera_object: Float[Tensor, "4 4"], model: ObjectModel, *, count: int, within_deg: float
) -> Float[Tensor, "K 4 4"]:
    """A pose, and the same turned about the object's centre, evenly over all turns up to an angle.

    Args:
        T_camera_object: The first of them.
        model: The object.
        count: Of all of them.
        within_deg: The largest turn.

    Returns:
        Always the same for the same pose, float64.
    """
    T = T_camera_object.double()
    turns = torch.cat([torch.zeros(1, 3).double(), turns_within(math.radians(within_deg), count=count - 1)])
    centre = transform(T, model.centre.to(T)[None])
    xi = torch.cat([torch.zeros_like(turns), turns], -1)
    return increment_about(T.expand(count, 4, 4), xi, centre.expand(count, 3))


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


def support(result: RefinementResult) -> float:
    """How well the photograph supports a pose, to choose among poses of one object in one picture.

    The mean weight of the correspondences. The score is the probability that a pose is right, whatever the object and
    the picture; most of what it goes by tells objects and pictures apart rather than the poses on one.

    Returns:
        0..1; -1 where nothing was solved.
    """
    return -1.0 if result.measures is None else result.measures[SCORE_MEASURES.index("mean_weight")]


def finish_best(
    hypotheses: Sequence[PoseHypothesis], *, begin: Refine, refine: Refine, cycles: int, keep: int = 1
) -> list[RefinementResult]:
    """Refines several starts of one object: all for one cycle, those that the photograph supports best to the end.

    Args:
        hypotheses: Where the object may be.
        begin: Refines them for that cycle.
        refine: Refines the others to the end.
        cycles: Of a whole refinement.
        keep: How many are refined to the end.

    Returns:
        The results of those, the best supported first; see :func:`support`.
    """
    tried = sorted(zip(hypotheses, begin(hypotheses, 1), strict=True), key=lambda pair: -support(pair[1]))[:keep]
    results = [first for _, first in tried]
    going = [i for i, first in enumerate(results) if first.measures is not None]
    if cycles > 1 and going:
        poses = [dataclasses.replace(tried[i][0], T_camera_object=results[i].T_camera_object) for i in going]
        for i, last in zip(going, refine(poses, cycles - 1), strict=True):
            results[i] = dataclasses.replace(last, trace=_joined(results[i].trace, last.trace))
    return sorted(results, key=support, reverse=True)


def try_again(
    hypothesis: PoseHypothesis,
    first: RefinementResult,
    model: ObjectModel,
    *,
    begin: Refine,
    refine: Refine,
    cycles: int,
    config: RestartConfig,
) -> RefinementResult:
    """Refines from further starts around a rough pose; see :func:`finish_best`.

    Args:
        hypothesis: The rough pose.
        first: What came of it.
        model: The object.
        begin: Refines all of them for a cycle.
        refine: Refines those that it made the most of.
        cycles: Of a whole refinement.
        config: See :class:`RestartConfig`.

    Returns:
        The best supported result, which may be ``first``.
    """
    poses = restart_poses(hypothesis.T_camera_object, model, config)
    starts = [dataclasses.replace(hypothesis, T_camera_object=T) for T in poses]
    return max(first, *finish_best(starts, begin=begin, refine=refine, cycles=cycles, keep=config.keep), key=support)


def _joined(
    first: tuple[IterationTrace, ...] | None, rest: tuple[IterationTrace, ...] | None
) -> tuple[IterationTrace, ...] | None:
    """The traces of a cycle and of those after it, counted on."""
    if first is None or rest is None:
        return first or rest
    return (*first, *(dataclasses.replace(one, cycle=one.cycle + 1) for one in rest))
