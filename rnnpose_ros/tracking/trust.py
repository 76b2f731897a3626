"""Results that look solved and must not be believed: they ran far away, or say themselves that they are unsure."""

from __future__ import annotations

from dataclasses import replace

from rnnpose_ros.refinement.solution import spread_diameters
from rnnpose_ros.tracking.association import pose_distance
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

_HELD = 1.5
"""A tracked object may be so many times as unsure as one that is new or lost: its last pictures speak for it, and
without a margin it would come and go where it lies near the bound."""


def doubted(
    result: RefinementResult,
    start: PoseHypothesis,
    model: ObjectModel | None,
    config: TrackingConfig,
    *,
    is_tracked: bool = False,
) -> RefinementResult:
    """The result, marked DIVERGED or UNCERTAIN where it is; as it came where it failed already.

    Args:
        result: Of the start.
        start: Where it began.
        model: Of the object; without it symmetries and size are not known, and nothing is uncertain.
        config: How far and how unsure is too much; 0 for no bound.
        is_tracked: The start is of an object that the last picture showed.
    """
    if not result.is_usable:
        return result
    if _ran_away(result, start, model, config):
        return replace(result, status=RefinementStatus.DIVERGED)
    if _is_unsure(result, model, most_uncertainty(config, is_tracked=is_tracked)):
        return replace(result, status=RefinementStatus.UNCERTAIN)
    return result


def most_uncertainty(config: TrackingConfig, *, is_tracked: bool) -> float:
    """The largest :func:`~rnnpose_ros.refinement.solution.spread_diameters` that is believed; 0 for no bound."""
    return config.max_uncertainty * (_HELD if is_tracked else 1.0)


def _is_unsure(result: RefinementResult, model: ObjectModel | None, most: float) -> bool:
    if model is None or result.covariance is None or not most:
        return False
    # Written so that NaN is unsure.
    return not spread_diameters(result.covariance, model.diameter) <= most


def _ran_away(
    result: RefinementResult, start: PoseHypothesis, model: ObjectModel | None, config: TrackingConfig
) -> bool:
    symmetries = None if model is None else model.symmetries
    distance, angle = pose_distance(start.T_camera_object, result.T_camera_object, symmetries=symmetries)
    return (0.0 < config.max_translation < distance) or (0.0 < config.max_rotation < angle)
