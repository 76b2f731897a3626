"""Stage one of an evaluation: refine the targets of a dataset, picture by picture, into a run's folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpose_ros.acceleration.engines import engine_of
from rnnpose_ros.config import flatten
from rnnpose_ros.data.bop.dataset import BopDataset, BopImage, BopTarget
from rnnpose_ros.evaluation.prediction_run import ImagePrediction, PredictedPose, PredictionRun
from rnnpose_ros.evaluation.start_poses import StartPose, StartPoses
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.types import PoseHypothesis


@dataclass(frozen=True, slots=True)
class PredictionProgress:
    """How far a run is."""

    done: int
    made: int
    """Of those done, by this process."""
    images: int


def configuration(
    dataset: BopDataset,
    starts: StartPoses,
    refiner: Refiner,
    *,
    weights: Path,
    device: str,
    renderer: str,
    precision: str,
) -> dict[str, Any]:
    """All that the predictions depend on, for the manifest."""
    return {
        "dataset_fingerprint": dataset.fingerprint(),
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()[:16],
        "device": device,
        "renderer": renderer,
        "engine": engine_of(refiner.network),
        "precision": precision,
        **starts.describe(),
        **{f"refine.{name}": value for name, value in flatten(refiner.config).items()},
    }


def images_to_predict(dataset: BopDataset, *, every: int = 1) -> dict[tuple[int, int], tuple[BopTarget, ...]]:
    """The pictures that have targets, or every so many of them, with their targets."""
    grouped = dataset.targets_by_image()
    return {key: grouped[key] for key in list(grouped)[::every]}


def predict(
    run: PredictionRun, dataset: BopDataset, starts: StartPoses, refiner: Refiner
) -> Iterator[PredictionProgress]:
    """Refines what the run does not hold yet, and writes the result files at the end.

    Args:
        run: Where predictions go.
        dataset: Of the run's manifest.
        starts: Where to start.
        refiner: With its weights.

    Yields:
        After every picture.
    """
    wanted = images_to_predict(dataset, every=run.manifest.every)
    done = {key: p for key, p in run.read().items() if key in wanted}
    made = 0
    for key, targets in wanted.items():
        if key in done:
            continue
        done[key] = _of_image(dataset, dataset.images[key], targets, starts, refiner)
        run.append(done[key])
        made += 1
        yield PredictionProgress(len(done), made, len(wanted))
    run.write_results(done, trials=starts.trials)
    yield PredictionProgress(len(done), made, len(wanted))


def _of_image(
    dataset: BopDataset, image: BopImage, targets: Sequence[BopTarget], starts: StartPoses, refiner: Refiner
) -> ImagePrediction:
    frame = dataset.frame(image)
    poses = starts.of(image, frame, targets)
    models = {number: dataset.models[number] for number in {pose.object_id for pose in poses}}
    objects = {model.label: model for model in models.values()}
    hypotheses = [
        PoseHypothesis(models[p.object_id].label, p.T_camera_object, score=p.score, source="evaluation") for p in poses
    ]
    for model in models.values():
        refiner.features.get(model)  # uploading a mesh is not part of the time of the picture that shows it first
    started = time.perf_counter()
    results = refiner.refine(frame, hypotheses, objects)
    seconds = time.perf_counter() - started
    return ImagePrediction(
        scene_id=image.scene_id,
        image_id=image.image_id,
        start_time_s=starts.time_s(image),
        refine_time_s=seconds / starts.trials,
        poses=tuple(_predicted(start, result) for start, result in zip(poses, results, strict=True)),
    )


def _predicted(start: StartPose, result: Any) -> PredictedPose:
    return PredictedPose(
        object_id=start.object_id,
        trial=start.trial,
        T_initial=start.T_camera_object,
        initial_score=start.score,
        T_refined=result.T_camera_object.double().cpu(),
        refined_score=result.score,
        status=result.status.value,
    )
