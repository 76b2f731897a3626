"""Recalls of benchmark trials: overall, by kind and object, by pictures, by angle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rnnpose_ros.evaluation.bop_recall import PIXEL_THRESHOLDS
from rnnpose_ros.evaluation.score_quality import RIGHT_DIAMETERS, auroc, expected_calibration_error
from rnnpose_ros.evaluation.syn import SynTrial

_SMALL_PX, _LARGE_PX = 100.0, 180.0
_LITTLE_VISIBLE = 0.7


@dataclass(frozen=True, slots=True)
class Scores:
    """Of some trials. ADD is ADD-S for symmetric objects; a pose that is not finite is a miss."""

    group: str
    trials: int
    start_add_10: float
    """Recall of the start poses at a tenth of the diameter."""
    add_10: float
    add_05: float
    add_02: float
    add_10_at_true_depth: float
    """What it would be if every pose were moved along its ray to the true depth: what depth alone costs."""
    start_all_5px: float
    all_5px: float
    """Share with a projection error under 5 px over all vertices."""
    visible_2px: float
    """Share with a projection error under 2 px over the visible surface."""
    mspd: float
    """BOP19's average recall of MSPD over its ten thresholds, of single poses."""
    median_deg: float
    median_mm: float
    calibration_error: float
    """Expected calibration error of the score against ADD(-S) 0.1d."""
    auroc: float
    """Of the score, right against wrong poses; NaN where all are right or all wrong."""
    usable: float
    """Share that ends as converged or not converged."""


def scores(group: str, trials: Sequence[SynTrial]) -> Scores:
    """The figures of some trials, at least one."""

    def under(value: Callable[[SynTrial], float], limit: float) -> float:
        return sum(value(t) < limit for t in trials) / len(trials)

    def middle(values: Iterable[float]) -> float:
        return float(np.median([v if math.isfinite(v) else math.inf for v in values]))

    right = np.array([t.add < RIGHT_DIAMETERS for t in trials])
    said = np.array([t.score for t in trials])
    return Scores(
        group=group,
        trials=len(trials),
        start_add_10=under(lambda t: t.initial_add, 0.1),
        add_10=under(lambda t: t.add, 0.1),
        add_05=under(lambda t: t.add, 0.05),
        add_02=under(lambda t: t.add, 0.02),
        add_10_at_true_depth=under(lambda t: t.add_at_true_depth, 0.1),
        start_all_5px=under(lambda t: t.initial_px, 5.0),
        all_5px=under(lambda t: t.refined_px, 5.0),
        visible_2px=under(lambda t: t.refined_visible_px, 2.0),
        mspd=float(np.mean([under(lambda t: t.mspd_px, limit) for limit in PIXEL_THRESHOLDS])),
        median_deg=middle(t.rotation_deg for t in trials),
        median_mm=middle(t.translation_mm for t in trials),
        calibration_error=expected_calibration_error(said, right),
        auroc=auroc(said, right),
        usable=sum(t.status in ("converged", "not_converged") for t in trials) / len(trials),
    )


def grouped_scores(trials: Sequence[SynTrial]) -> list[Scores]:
    """Each object, each kind, by size in the picture, by what is visible, and all together, in this order."""
    groups: dict[str, list[SynTrial]] = {}
    for trial in sorted(trials, key=lambda t: t.scene_id):
        groups.setdefault(trial.label, []).append(trial)
    for kind in dict.fromkeys(t.kind for t in sorted(trials, key=lambda t: t.scene_id)):
        groups[f"all {kind}"] = [t for t in trials if t.kind == kind]
    groups[f"below {_SMALL_PX:g} px"] = [t for t in trials if t.size_px < _SMALL_PX]
    groups[f"above {_LARGE_PX:g} px"] = [t for t in trials if t.size_px > _LARGE_PX]
    groups["visible below 70 %"] = [t for t in trials if t.visible_share < _LITTLE_VISIBLE]
    groups["overall"] = list(trials)
    return [scores(name, members) for name, members in groups.items() if members]


def by_pictures(trials: Iterable[SynTrial]) -> dict[str, list[SynTrial]]:
    """The trials from stored starts, by the pictures they were made on."""
    grouped: dict[str, list[SynTrial]] = {}
    for trial in trials:
        if math.isnan(trial.asked_deg):
            grouped.setdefault(trial.pictures, []).append(trial)
    return grouped


def by_angle(trials: Iterable[SynTrial]) -> dict[float, Scores]:
    """The basin: scores at each angle that starts were turned by."""
    grouped: dict[float, list[SynTrial]] = {}
    for trial in trials:
        if not math.isnan(trial.asked_deg):
            grouped.setdefault(trial.asked_deg, []).append(trial)
    return {angle: scores(f"{angle:g} deg", grouped[angle]) for angle in sorted(grouped)}
