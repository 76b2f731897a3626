"""Stage two of an evaluation: the errors and recalls of a finished run, the start poses' beside the refined ones'."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from rnnpose_ros.data.bop.dataset import BopDataset, BopTarget
from rnnpose_ros.errors import ConfigError, InputError
from rnnpose_ros.evaluation.bop_recall import wanted_instances
from rnnpose_ros.evaluation.figures import ScoredTarget, Scores, summarize
from rnnpose_ros.evaluation.predict import images_to_predict
from rnnpose_ros.evaluation.prediction_run import ImagePrediction, PredictionRun
from rnnpose_ros.evaluation.published_layouts import TableLayout
from rnnpose_ros.evaluation.target_errors import ErrorMeter, Target


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
