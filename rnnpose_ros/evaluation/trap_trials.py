"""Every refinement on a trap, before anything was judged: what thresholds are chosen from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rnnpose_ros.evaluation.metrics import add
from rnnpose_ros.evaluation.score_quality import RIGHT_DIAMETERS, mahalanobis_squared
from rnnpose_ros.evaluation.trap_scenes import TrapPicture
from rnnpose_ros.refinement.solution import spread_diameters
from rnnpose_ros.tracking.association import pose_distance
from rnnpose_ros.tracking.track import TRACK_SOURCE
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult


@dataclass(frozen=True, slots=True)
class TrapTrial:
    """One refinement of one start pose in one picture."""

    kind: str
    episode: int
    picture: int
    is_fair: bool
    is_track: bool
    """Started from the last result, and not from what a detector said."""
    is_usable: bool
    """Solved, and not under ``refine.min_score``."""
    score: float
    uncertainty: float
    """See :func:`~rnnpose_ros.refinement.solution.spread_diameters`; NaN where it is not known."""
    moved_m: float
    """From the start."""
    turned_rad: float
    """From the start, symmetries apart."""
    error_diameters: float
    """NaN where nothing of the object can be seen."""
    mahalanobis_squared: float
    """Of the error under the covariance; NaN where either is missing."""
    measures: tuple[float, ...] | None
    """What the score was computed from."""

    @property
    def is_right(self) -> bool:
        """Within :data:`RIGHT_DIAMETERS` of a truth that can be seen."""
        return self.error_diameters < RIGHT_DIAMETERS


def trap_trial(
    result: RefinementResult,
    start: PoseHypothesis,
    picture: TrapPicture,
    model: ObjectModel,
    *,
    kind: str,
    episode: int,
    index: int,
) -> TrapTrial:
    """What became of a start pose, as the engine gave it.

    Args:
        result: Of the start.
        start: Where it began.
        picture: With the truth.
        model: The object.
        kind: Of the episode.
        episode: Its number.
        index: Of the picture in it.
    """
    error, squared = pose_errors(result, picture, model)
    moved, turned = pose_distance(start.T_camera_object, result.T_camera_object, symmetries=model.symmetries)
    return TrapTrial(
        kind=kind,
        episode=episode,
        picture=index,
        is_fair=picture.is_fair,
        is_track=start.source == TRACK_SOURCE,
        is_usable=result.is_usable,
        score=result.score,
        uncertainty=spread_diameters(result.covariance, model.diameter),
        moved_m=moved,
        turned_rad=turned,
        error_diameters=error,
        mahalanobis_squared=squared,
        measures=result.measures,
    )


def pose_errors(result: RefinementResult, picture: TrapPicture, model: ObjectModel) -> tuple[float, float]:
    """Mean vertex error in diameters and squared Mahalanobis distance, both to the nearest symmetric truth."""
    if picture.T_camera_object is None:
        return math.nan, math.nan
    truths = picture.T_camera_object @ model.symmetries.double()
    T = result.T_camera_object.double()
    errors = add(T.expand_as(truths), truths, points_object=model.mesh.vertices.double())
    best = int(errors.argmin())
    squared = math.nan if result.covariance is None else mahalanobis_squared(T, truths[best], result.covariance)
    return float(errors[best]) / model.diameter, squared
