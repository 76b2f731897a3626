"""Which thresholds of the tracker cost availability, and which ones would serve better: from recorded trials.

The engine is not run again. Each episode's trials are judged anew, in order, as the tracker would: a pose from a
detector must reach ``recover_score``, one that is followed ``lost_score``, and either must stay within the bounds on
uncertainty (for one that is followed a wider one) and motion. Other thresholds would have led to other starts after a
picture's first ones, which no recording has: so what is chosen here is to be measured again, on other pictures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnnpose_ros.evaluation.trap_trials import TrapTrial
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.tracking.trust import most_uncertainty

RECOVER_SCORES = (0.35, 0.45, 0.55, 0.65, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98)
UNCERTAINTIES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class TrapLosses:
    """What became of the pictures that an answer is due for."""

    fair: int
    answered: int
    """A right pose passed."""
    refined_wrong: int
    """The engine gave no right pose: no threshold can help."""
    failed: int
    """The engine gave a right pose, but called it failed or under its own least score."""
    low_score: int
    """A right pose, but under the score that was needed."""
    unsure: int
    """A right pose, but too uncertain."""
    ran_away: int
    """A right pose, but too far from its start."""


@dataclass(frozen=True, slots=True)
class ThresholdOutcome:
    """What thresholds would have let pass."""

    config: TrackingConfig
    published: int
    wrong: int
    losses: TrapLosses

    @property
    def availability(self) -> float:
        """Of the fair pictures, those with a right pose; NaN without any."""
        return self.losses.answered / self.losses.fair if self.losses.fair else math.nan


def judge_trials(trials: Sequence[TrapTrial], config: TrackingConfig) -> ThresholdOutcome:
    """Judge recorded trials by these thresholds."""
    published = wrong = 0
    reasons = dict.fromkeys(("answered", "refined_wrong", "failed", "low_score", "unsure", "ran_away"), 0)
    for _, episode in itertools.groupby(trials, key=lambda trial: trial.episode):
        follows = False
        for _, picture in itertools.groupby(episode, key=lambda trial: trial.picture):
            shown = list(picture)
            needed = config.lost_score if follows else config.recover_score
            most = most_uncertainty(config, is_tracked=follows)
            verdicts = [_verdict(trial, config, needed=needed, most_uncertainty=most) for trial in shown]
            passed = [trial for trial, verdict in zip(shown, verdicts, strict=True) if not verdict]
            published += len(passed)
            wrong += sum(not trial.is_right for trial in passed)
            follows = bool(passed)
            if shown[0].is_fair:
                reasons[_why(shown, verdicts)] += 1
    return ThresholdOutcome(config, published, wrong, TrapLosses(fair=sum(reasons.values()), **reasons))


def _verdict(trial: TrapTrial, config: TrackingConfig, *, needed: float, most_uncertainty: float) -> str:
    """Why a trial does not pass, as a field of :class:`TrapLosses`; empty where it passes."""
    if not trial.is_usable:
        return "failed"
    if 0.0 < config.max_translation < trial.moved_m or 0.0 < config.max_rotation < trial.turned_rad:
        return "ran_away"
    # Written so that NaN is unsure, as the tracker has it.
    if most_uncertainty and not trial.uncertainty <= most_uncertainty:
        return "unsure"
    return "low_score" if trial.score < needed else ""


def _why(shown: Sequence[TrapTrial], verdicts: Sequence[str]) -> str:
    """What became of a fair picture: of its right poses the first that passed, or what stopped the first."""
    right = [verdict for trial, verdict in zip(shown, verdicts, strict=True) if trial.is_right]
    if not right:
        return "refined_wrong"
    return "answered" if "" in right else right[0]


def best_thresholds(trials: Sequence[TrapTrial], base: TrackingConfig) -> list[ThresholdOutcome]:
    """For each count of wrong poses the thresholds with the highest availability, as long as it rises.

    Args:
        trials: Recorded.
        base: What is not searched: all but ``recover_score``, ``lost_score`` (never above it) and ``max_uncertainty``.

    Returns:
        The fewest wrong poses first. Of equals, those with the fewest published and the strictest thresholds.
    """
    outcomes = (judge_trials(trials, config) for config in _candidates(base))
    order = sorted(outcomes, key=lambda o: (o.wrong, -o.losses.answered, o.published))
    front: list[ThresholdOutcome] = []
    for outcome in order:
        if not front or outcome.losses.answered > front[-1].losses.answered:
            front.append(outcome)
    return front


def _candidates(base: TrackingConfig) -> Iterator[TrackingConfig]:
    for recover, uncertainty in itertools.product(reversed(RECOVER_SCORES), UNCERTAINTIES):
        lost = min(base.lost_score, recover)
        yield replace(base, recover_score=recover, lost_score=lost, max_uncertainty=uncertainty)


def trials_from(rows: Iterable[dict[str, object]]) -> list[TrapTrial]:
    """From a recording's JSON, in which numbers that are none are null."""
    real = {"score", "uncertainty", "moved_m", "turned_rad", "error_diameters", "mahalanobis_squared"}

    def read(name: str, value: object) -> Any:
        if isinstance(value, list):
            return tuple(math.nan if part is None else part for part in value)
        return math.nan if value is None and name in real else value

    return [TrapTrial(**{name: read(name, value) for name, value in row.items()}) for row in rows]
