"""Results that look solved and must not be believed: they ran far away, or say themselves that they are unsure."""

from __future__ import annotations

import math
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.tracking.association import pose_distance
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus


def doubted(
    result: RefinementResult, start: PoseHypothesis, model: ObjectModel | None, config: TrackingConfig
) -> RefinementResult:
    """The result, marked DIVERGED or UNCERTAIN where it is; as it came where it failed already.

    Args:
        result: Of the start.
        start: Where it began.
        model: Of the object; without it symmetries and size are not known, and nothing is uncertain.
        config: How far and how unsure is too much; 0 for no bound.
    """
    if not result.is_usable:
        return result
    if _ran_away(result, start, model, config):
        return replace(result, status=RefinementStatus.DIVERGED)
    return replace(result, status=RefinementStatus.UNCERTAIN) if _is_unsure(result, model, config) else result


def predicted_motion(covariance: Float[Tensor, "6 6"], *, diameter: float) -> float:
    """Root mean square motion of an object's outline that a covariance predicts, in diameters.

    Rotations count as arcs at half a diameter.
    """
    variances = covariance.diagonal()
    squared = float(variances[:3].sum()) / diameter**2 + 0.25 * float(variances[3:].sum())
    return math.sqrt(squared) if squared >= 0.0 else math.nan


def _is_unsure(result: RefinementResult, model: ObjectModel | None, config: TrackingConfig) -> bool:
    if model is None or result.covariance is None or not config.max_uncertainty:
        return False
    # Written so that NaN is unsure.
    return not predicted_motion(result.covariance, diameter=model.diameter) <= config.max_uncertainty


def _ran_away(
    result: RefinementResult, start: PoseHypothesis, model: ObjectModel | None, config: TrackingConfig
) -> bool:
    symmetries = None if model is None else model.symmetries
    distance, angle = pose_distance(start.T_camera_object, result.T_camera_object, symmetries=symmetries)
    return (0.0 < config.max_translation < distance) or (0.0 < config.max_rotation < angle)
