"""Whether an object turned otherwise would look as much like the picture: then nothing is known of how it is turned.

A nearly symmetric object that is turned wrong looks right, to the score too. So poses that are turned far from a
result, on all sides, are refined as well, for a cycle each. Where the picture supports one of them nearly as much as
the result, the result is not believed. Not of the RNNPose papers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnnpose_ros.refinement.restarts import poses_around, support
from rnnpose_ros.tracking.engine import Engine
from rnnpose_ros.tracking.symmetric_pose import is_twin
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

_ANY_TURN_DEG = 180.0
_FINISHING_CYCLES = 2
"""For the rival that a first cycle made the most of."""
_NO_SUPPORT = -1.0


def against_rivals(
    engine: Engine,
    frame: ImageFrame,
    starts: Sequence[PoseHypothesis],
    results: Sequence[RefinementResult],
    objects: Mapping[str, ObjectModel],
    config: TrackingConfig,
) -> list[RefinementResult]:
    """The results, marked AMBIGUOUS where a pose turned otherwise is supported by the picture as well.

    Args:
        engine: That refined them.
        frame: The picture.
        starts: Of the results.
        results: In the order of the starts; those that would not be believed anyway come back as they are.
        objects: By label; of an object that is not there nothing is compared.
        config: How many rivals, and from which share of its own support on one makes a result ambiguous.
    """
    return [
        replace(result, status=RefinementStatus.AMBIGUOUS)
        if _may_be_believed(result, config)
        and start.label in objects
        and _rival_support(engine, frame, start, result, objects, count=config.rivals)
        >= config.rival_support * support(result)
        else result
        for start, result in zip(starts, results, strict=True)
    ]


def _may_be_believed(result: RefinementResult, config: TrackingConfig) -> bool:
    is_measured = result.measures is not None and result.by_network
    return config.rivals > 0 and is_measured and result.is_usable and result.score >= config.recover_score


def _rival_support(
    engine: Engine,
    frame: ImageFrame,
    start: PoseHypothesis,
    result: RefinementResult,
    objects: Mapping[str, ObjectModel],
    *,
    count: int,
) -> float:
    """Of the best supported pose that is turned otherwise; -1 where all of them lead to the result."""
    model = objects[start.label]
    turned = poses_around(result.T_camera_object, model, count=count + 1, within_deg=_ANY_TURN_DEG)[1:]
    found = engine.refine(frame, [replace(start, T_camera_object=T) for T in turned], objects, cycles=1)
    best = _best_other(found, result, model)
    if best is None:
        return _NO_SUPPORT
    rival = replace(start, T_camera_object=best.T_camera_object)
    last = _best_other(engine.refine(frame, [rival], objects, cycles=_FINISHING_CYCLES), result, model)
    return _NO_SUPPORT if last is None else max(support(best), support(last))


def _best_other(
    found: Sequence[RefinementResult], result: RefinementResult, model: ObjectModel
) -> RefinementResult | None:
    others = [f for f in found if not is_twin(f.T_camera_object, result.T_camera_object, model)]
    return max(others, key=support, default=None)
