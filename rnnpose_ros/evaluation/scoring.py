"""Stage two of an evaluation: the errors and recalls of a finished run, the start poses' beside the refined ones'."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from rnnpose_ros.data.bop.dataset import BopDataset, BopTarget
from rnnpose_ros.errors import ConfigError, InputError
from rnnpose_ros.evaluation.bop_recall import (
    DISTANCE_THRESHOLDS,
    PIXEL_THRESHOLDS,
    average_recall,
    errors_of_instances,
    recall,
    wanted_instances,
)
from rnnpose_ros.evaluation.predict import images_to_predict
from rnnpose_ros.evaluation.prediction_run import ImagePrediction, PredictionRun
from rnnpose_ros.evaluation.published_layouts import TableLayout
from rnnpose_ros.evaluation.target_errors import ErrorMeter, Target, TargetErrors

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


def score_run(
    run: PredictionRun,
    dataset: BopDataset,
    meter: ErrorMeter,
    layout: TableLayout,
    *,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Scores:
    """Measures a finished run.

    Args:
        run: Its folder.
        dataset: The one it was made on.
        meter: Measures.
        layout: Which objects count as symmetric.
        on_image: Called with the pictures done and their number.

    Raises:
        ConfigError: The dataset changed since, or lines of two configurations are mixed.
        InputError: The run is not finished, or the dataset has no true poses.
    """
    fingerprint = run.manifest.configuration.get("dataset_fingerprint")
    if dataset.fingerprint() != fingerprint:
        raise ConfigError(
            f"{dataset.folder} is not the dataset that {run.folder} was predicted on "
            f"(fingerprint {fingerprint} there, {dataset.fingerprint()} now); predict again"
        )
    wanted, predictions = images_to_predict(dataset, every=run.manifest.every), run.read()
    missing = [key for key in wanted if key not in predictions]
    if missing:
        raise InputError(
            f"{run.folder}: {len(missing)} of {len(wanted)} images are not predicted yet "
            f"(first: scene {missing[0][0]}, image {missing[0][1]}); run rnnpose evaluate predict again to go on"
        )
    if not wanted:
        raise InputError(f"{dataset.folder}: no targets in split {dataset.split}; nothing can be scored")
    trials = int(run.manifest.configuration.get("seeds", 1))
    scored: list[ScoredTarget] = []
    for number, (key, targets) in enumerate(wanted.items(), start=1):
        scored += _of_image(dataset, predictions[key], targets, trials, meter, layout)
        on_image(number, len(wanted))
    poses = [pose for key in wanted for pose in predictions[key].poses]
    statuses = sorted(pose.status for pose in poses)
    return summarize(
        scored,
        refine_times_s=np.array([predictions[key].refine_time_s for key in wanted]),
        statuses={status: statuses.count(status) for status in dict.fromkeys(statuses)},
    )


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


def _of_image(
    dataset: BopDataset,
    prediction: ImagePrediction,
    targets: Sequence[BopTarget],
    trials: int,
    meter: ErrorMeter,
    layout: TableLayout,
) -> list[ScoredTarget]:
    image = dataset.images[prediction.scene_id, prediction.image_id]
    if image.annotations is None:
        raise InputError(
            f"{dataset.folder / dataset.split / f'{image.scene_id:06d}'}: no scene_gt.json, so there is nothing to "
            "score against; send refined_0.csv to whoever has the true poses"
        )
    frame = dataset.frame(image)
    scored = []
    for wanted in targets:
        truths = [a for a in image.annotations if a.object_id == wanted.object_id]
        target = Target(
            frame=frame,
            model=dataset.evaluation_models[wanted.object_id],
            T_references=torch.stack([a.T_camera_object for a in truths]) if truths else torch.zeros(0, 4, 4),
            wanted=wanted_instances(np.array([a.visible_share for a in truths], float), wanted.count),
            is_symmetric=wanted.object_id in layout.symmetric,
        )
        scored += _of_target(target, wanted, prediction, trials, meter)
    return scored


def _of_target(
    target: Target, wanted: BopTarget, prediction: ImagePrediction, trials: int, meter: ErrorMeter
) -> list[ScoredTarget]:
    own = [pose for pose in prediction.poses if pose.object_id == wanted.object_id]
    T = [pose.T_initial for pose in own] + [pose.T_refined for pose in own]
    scores = np.array([pose.initial_score for pose in own] + [pose.refined_score for pose in own], float)
    of_trial = [np.array([i for i, pose in enumerate(own) if pose.trial == trial], int) for trial in range(trials)]
    groups = [*of_trial, *(indices + len(own) for indices in of_trial)]
    estimates = torch.stack(T) if T else torch.zeros(0, 4, 4, dtype=torch.float64)
    errors = meter.measure(target, estimates, scores, groups)
    return [
        ScoredTarget(wanted.scene_id, wanted.image_id, wanted.object_id, trial, errors[trial], errors[trials + trial])
        for trial in range(trials)
    ]


def _curve(measure: str, scored: Sequence[ScoredTarget], thresholds: np.ndarray) -> RecallCurve:
    sides: dict[str, Any] = {}
    for kind in KINDS:
        pairs = [getattr(getattr(target, kind), measure) for target in scored]
        sides[kind] = np.array([recall(pairs, (float(threshold),)) for threshold in thresholds])
    return RecallCurve(measure, thresholds, **sides)


def _median(errors: np.ndarray) -> float:
    return float(np.quantile(errors, 0.5, method="lower")) if len(errors) else math.nan
