"""What measured targets come to: recalls, average recalls, medians, curves; the start poses' and the refined ones'."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from rnnpose_ros.evaluation.bop_recall import (
    DISTANCE_THRESHOLDS,
    PIXEL_THRESHOLDS,
    average_recall,
    errors_of_instances,
    recall,
)
from rnnpose_ros.evaluation.target_errors import TargetErrors

KINDS = ("initial", "refined")


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTarget:
    """One object in one picture, one start of each instance: its errors before and after."""

    scene_id: int
    image_id: int
    object_id: int
    trial: int
    initial: TargetErrors
    refined: TargetErrors


@dataclass(frozen=True, slots=True)
class Figures:
    """What a set of targets comes to. Shares count every wanted instance; one without an estimate is a miss."""

    instances: int
    add_01d: float
    """ADD(-S) under a tenth of the diameter."""
    add_005d: float
    add_002d: float
    projection_5px: float
    """Over all vertices."""
    projection_2px: float
    visible_5px: float
    """Over the surface seen at the true pose."""
    visible_2px: float
    within_5deg_5cm: float
    within_2deg_2cm: float
    median_add_d: float
    """Diameters; infinite where more than half have no estimate."""
    median_px: float
    median_visible_px: float
    ar_vsd: float
    """BOP19's average recalls; NaN for VSD, and so for their mean, without depth."""
    ar_mssd: float
    ar_mspd: float
    ar: float


@dataclass(frozen=True, slots=True, eq=False)
class RecallCurve:
    """Recalls over thresholds of one measure."""

    measure: str
    thresholds: Float[np.ndarray, "N"]
    initial: Float[np.ndarray, "N"]
    refined: Float[np.ndarray, "N"]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """All that a run comes to."""

    initial: Figures
    refined: Figures
    by_object: Mapping[int, tuple[Figures, Figures]]
    """Initial and refined."""
    curves: tuple[RecallCurve, ...]
    refine_times_s: Float[np.ndarray, "I"]
    """Of each picture."""
    statuses: Mapping[str, int]
    targets: tuple[ScoredTarget, ...]


def summarize(
    scored: Sequence[ScoredTarget], *, refine_times_s: Float[np.ndarray, "I"], statuses: Mapping[str, int]
) -> Scores:
    """The figures of measured targets."""
    objects = sorted({target.object_id for target in scored})
    by_object = {}
    for number in objects:
        own = [target for target in scored if target.object_id == number]
        by_object[number] = (figures([t.initial for t in own]), figures([t.refined for t in own]))
    return Scores(
        initial=figures([t.initial for t in scored]),
        refined=figures([t.refined for t in scored]),
        by_object=by_object,
        curves=(
            _curve("add", scored, np.linspace(0.002, 0.2, 50)),
            _curve("projection", scored, np.linspace(0.4, 20.0, 50)),
            _curve("visible_projection", scored, np.linspace(0.4, 20.0, 50)),
        ),
        refine_times_s=refine_times_s,
        statuses=statuses,
        targets=tuple(scored),
    )


def figures(errors: Sequence[TargetErrors]) -> Figures:
    """What targets come to."""
    add = [e.add for e in errors]
    px, visible = [e.projection for e in errors], [e.visible_projection for e in errors]
    poses = [e.turn_and_shift for e in errors]
    surfaces = [e.vsd for e in errors if e.vsd is not None]
    ar_vsd = average_recall(surfaces, DISTANCE_THRESHOLDS) if len(surfaces) == len(errors) and errors else math.nan
    ar_mssd = average_recall([e.mssd for e in errors], DISTANCE_THRESHOLDS)
    ar_mspd = average_recall([e.mspd for e in errors], PIXEL_THRESHOLDS)
    return Figures(
        instances=sum(int(pairs.wanted.sum()) for pairs in add),
        add_01d=recall(add, (0.1,)),
        add_005d=recall(add, (0.05,)),
        add_002d=recall(add, (0.02,)),
        projection_5px=recall(px, (5.0,)),
        projection_2px=recall(px, (2.0,)),
        visible_5px=recall(visible, (5.0,)),
        visible_2px=recall(visible, (2.0,)),
        within_5deg_5cm=recall(poses, (5.0, 5.0)),
        within_2deg_2cm=recall(poses, (2.0, 2.0)),
        median_add_d=_median(errors_of_instances(add)),
        median_px=_median(errors_of_instances(px)),
        median_visible_px=_median(errors_of_instances(visible)),
        ar_vsd=ar_vsd,
        ar_mssd=ar_mssd,
        ar_mspd=ar_mspd,
        ar=(ar_vsd + ar_mssd + ar_mspd) / 3.0,
    )


def _curve(measure: str, scored: Sequence[ScoredTarget], thresholds: np.ndarray) -> RecallCurve:
    sides: dict[str, Any] = {}
    for kind in KINDS:
        pairs = [getattr(getattr(target, kind), measure) for target in scored]
        sides[kind] = np.array([recall(pairs, (float(threshold),)) for threshold in thresholds])
    return RecallCurve(measure, thresholds, **sides)


def _median(errors: np.ndarray) -> float:
    return float(np.quantile(errors, 0.5, method="lower")) if len(errors) else math.nan
