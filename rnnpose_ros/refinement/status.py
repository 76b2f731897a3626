"""Judging a refinement: status, score, residual, covariance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.refinement.solution import Solution
from rnnpose_ros.types import (
    IterationTrace,
    ObjectModel,
    PoseHypothesis,
    RefinementResult,
    RefinementStatus,
)

if TYPE_CHECKING:
    from rnnpose_ros.refinement.refiner import RefinerConfig


SCORE_MEASURES = ("mean_weight", "log_residual", "log_step", "log_spread", "agreement", "overlap", "seen", "log_apart")
"""What the score is computed from, all but the last of the last iteration: the mean weight over the covered cells; the
logarithms of the weighted residual and of the last step's motion (cells), and of the pose's predicted uncertainty
(diameters); how alike render and photograph look at the end (correlation, 0 where they were not compared); how far the
render covers the outline that the network finds in the photograph, and the share of the render that it sees there
(0..1; both 1 where it was not asked: the pictures agreed, or it estimates none); the logarithm of how far second
opinions lie apart (diameters; NaN where none were asked for)."""

_FACTORS = tuple(f"score_by_{name}" for name in SCORE_MEASURES[:-1])
"""Of :class:`Calibration`, in this order."""
_SETTLED_AGREEMENT = 0.6
"""Pictures that agree so much and do not agree more after another cycle are left as they are."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants fitted on held-out pictures, kept in the checkpoint.

    ``score = 1 / (1 + exp(-logit))``, ``logit = score_bias + sum of factor times measure`` over :data:`SCORE_MEASURES`
    but the last. Where second opinions were asked for, ``opinion_bias + opinion_by_logit * logit +
    opinion_by_log_apart * log_apart`` takes its place.
    """

    score_bias: float = -5.0
    score_by_mean_weight: float = 10.0
    score_by_log_residual: float = -1.0
    score_by_log_step: float = -0.5
    score_by_log_spread: float = -0.5
    score_by_agreement: float = 0.0
    score_by_overlap: float = 0.0
    score_by_seen: float = 0.0
    opinion_bias: float = 0.0
    opinion_by_logit: float = 1.0
    opinion_by_log_apart: float = 0.0
    covariance_scale: float = 1.0

    @classmethod
    def from_mapping(cls, values: Mapping[str, float]) -> Calibration:
        """From a checkpoint's ``calibration``; what it does not name keeps its default."""
        return cls(**{name: float(v) for name, v in values.items() if name in cls.__slots__})

    def score(self, measures: Sequence[float]) -> float:
        """Probability that a pose with these measures is right (ADD under a tenth of the diameter)."""
        logit, log_apart = self.logit(measures), measures[-1]
        if not math.isnan(log_apart):
            logit = self.opinion_bias + self.opinion_by_logit * logit + self.opinion_by_log_apart * log_apart
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit)))) if math.isfinite(logit) else 0.0

    def logit(self, measures: Sequence[float]) -> float:
        """Of the score, without second opinions."""
        factors = [getattr(self, name) for name in _FACTORS]
        return self.score_bias + sum(f * m for f, m in zip(factors, measures[:-1], strict=True))


@dataclass(slots=True)
class CycleState:
    """One hypothesis on its way through the cycles."""

    hypothesis: PoseHypothesis
    model: ObjectModel
    T_camera_object: Float[Tensor, "4 4"] = field(init=False)
    """Where the next cycle starts."""
    status: RefinementStatus | None = None
    """Set when it cannot go on."""
    solution: Solution | None = None
    """The best so far."""
    finished: bool = False
    """Further cycles would not better it."""
    trace: list[IterationTrace] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.T_camera_object = self.hypothesis.T_camera_object.detach().double().cpu()
        T = self.T_camera_object
        if not bool(torch.isfinite(T).all()):
            self.status = RefinementStatus.SINGULAR
        elif float(transform(T, self.model.centre.double().cpu()[None])[0, 2]) <= NEAR_M:
            self.status = RefinementStatus.OUT_OF_VIEW

    @property
    def goes_on(self) -> bool:
        """Another cycle may better it."""
        return self.status is None and not self.finished

    def take(self, found: Solution, *, settled_px: float) -> None:
        """Takes over what a cycle found, if it is better; pictures that agree end it when it is not, or moved little.

        Args:
            found: By the cycle.
            settled_px: A motion that is little, crop pixels; 0 for going on until the last cycle.
        """
        self.T_camera_object = found.T_camera_object
        better = self.solution is None or found.is_better_than(self.solution)
        if better:
            self.solution = found
        assert self.solution is not None
        agree = self.solution.aligned and self.solution.agreement >= _SETTLED_AGREEMENT
        self.finished = settled_px > 0 and agree and (not better or found.motion_px < settled_px)

    def end_with(self, found: Solution) -> None:
        """Takes over what became of the solution after the last cycle."""
        self.solution, self.T_camera_object = found, found.T_camera_object


def judge(state: CycleState, config: RefinerConfig, calibration: Calibration) -> RefinementResult:
    """The result of a hypothesis after its last cycle."""
    found = None if state.status is not None else state.solution
    measures = None if found is None else score_measures(found)
    score = 0.0 if measures is None else calibration.score(measures)
    status = state.status or RefinementStatus.NOT_CONVERGED
    if found is not None and score < config.min_score:
        status = RefinementStatus.LOW_SCORE
    elif found is not None and found.step_px <= config.converged_px:
        status = RefinementStatus.CONVERGED
    covariance = None if found is None or found.covariance is None else found.covariance * calibration.covariance_scale
    return RefinementResult(
        label=state.hypothesis.label,
        T_camera_object=state.T_camera_object if found is None else found.T_camera_object,
        status=status,
        score=score,
        residual_px=math.nan if state.solution is None else state.solution.residual_px,
        covariance=covariance,
        measures=measures,
        trace=tuple(state.trace) if state.trace else None,
    )


def score_measures(found: Solution) -> tuple[float, ...]:
    """The solution's :data:`SCORE_MEASURES`, held in a range where their logarithms say something."""
    return (
        found.mean_weight,
        math.log(_held(found.residual_cells, 1e-2, 10.0)),
        math.log(_held(found.step_cells, 1e-3, 10.0)),
        held_log_spread(found.spread_diameters),
        found.agreement,
        found.overlap,
        found.seen,
        math.nan,
    )


def held_log_spread(spread_diameters: float) -> float:
    """The measure of a pose's predicted uncertainty."""
    return math.log(_held(spread_diameters, 1e-4, 10.0))


def _held(value: float, low: float, high: float) -> float:
    return high if math.isnan(value) else min(max(value, low), high)
