"""Whether an object turned otherwise would look as much like the picture: then nothing is known of how it is turned.

A nearly symmetric object that is turned wrong looks right, to the score too. So poses that are turned far from a
result, on all sides, are looked at as well. The best of them, unless the picture speaks clearly against all, is refined
to the end; where it is then supported nearly as much as the result, the result is not believed. Not of the RNNPose
papers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnnpose_ros.refinement.restarts import poses_around, support
from rnnpose_ros.refinement.symmetric_pose import is_twin
from rnnpose_ros.tracking.engine import Engine, Glancer
from rnnpose_ros.tracking.renewal import worth
from rnnpose_ros.tracking.track import RECHECK_SOURCE
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.tracking.trust import doubted
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

_ANY_TURN_DEG = 180.0
_FINISHING_CYCLES = 2
"""For the rival that a glance made the most of."""
_LEAST_PROMISE = 0.2
"""Of the result's support at a glance, under which a rival is not worth finishing. Of 118 results in rendered clutter
that would have been believed, the rivals that spoke against one had 0.25 and more; 69 of 108 right ones had none."""


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
        if _may_be_believed(result, start, objects.get(start.label), config)
        and _has_rival(engine, frame, start, result, objects, config)
        else result
        for start, result in zip(starts, results, strict=True)
    ]


def _may_be_believed(
    result: RefinementResult, start: PoseHypothesis, model: ObjectModel | None, config: TrackingConfig
) -> bool:
    if model is None or config.rivals == 0 or result.measures is None or not result.by_network:
        return False
    judged = doubted(result, start, model, config, is_tracked=start.source == RECHECK_SOURCE)
    return worth(judged) >= config.recover_score


def _has_rival(
    engine: Engine,
    frame: ImageFrame,
    start: PoseHypothesis,
    result: RefinementResult,
    objects: Mapping[str, ObjectModel],
    config: TrackingConfig,
) -> bool:
    model = objects[start.label]
    poses = poses_around(result.T_camera_object, model, count=config.rivals + 1, within_deg=_ANY_TURN_DEG)
    hypotheses = [replace(start, T_camera_object=T) for T in poses]
    if isinstance(engine, Glancer):
        own, *others = engine.glance(frame, hypotheses, objects)
    else:
        own, *others = engine.refine(frame, hypotheses, objects, cycles=1)
    best = _best_other(others, result, model)
    if best is None or support(best) < _LEAST_PROMISE * support(own):
        return False
    rival = replace(start, T_camera_object=best.T_camera_object)
    last = _best_other(engine.refine(frame, [rival], objects, cycles=_FINISHING_CYCLES), result, model)
    return last is not None and support(last) >= config.rival_support * support(result)


def _best_other(
    found: Sequence[RefinementResult], result: RefinementResult, model: ObjectModel
) -> RefinementResult | None:
    others = [f for f in found if not is_twin(f.T_camera_object, result.T_camera_object, model)]
    return max(others, key=support, default=None)
