"""How much work each start pose is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rnnpose_ros.refinement.status import SCORE_MEASURES
from rnnpose_ros.tracking.engine import Engine, Follower
from rnnpose_ros.tracking.rivals import against_rivals
from rnnpose_ros.tracking.track import TRACK_SOURCE
from rnnpose_ros.tracking.tracking_config import LEAST_AGREEMENT, TrackingConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult

_SLACK = 0.05
"""Loss of correlation from one picture to the next at which an object is still followed: it turns, light changes."""


def refine_starts(
    engine: Engine,
    frame: ImageFrame,
    starts: Sequence[PoseHypothesis],
    objects: Mapping[str, ObjectModel],
    config: TrackingConfig,
    *,
    short: Engine | None = None,
    trace: bool = False,
) -> list[RefinementResult]:
    """New objects by the full programme, tracked ones by the short one; in the order of the starts.

    New ones have to stand out among poses turned otherwise, see :mod:`.rivals`. Tracked ones that may be followed
    without the network are, where that succeeds.

    Args:
        engine: With its weights.
        frame: The picture.
        starts: As :meth:`~rnnpose_ros.tracking.tracker.Tracker.begin_frame` or ``begin_look`` give them.
        objects: By label.
        config: The short programme, and how many rivals a new object's result has.
        short: Runs the short programme; ``engine`` when None.
        trace: Keep in the results what debug pictures are drawn from.
    """
    by_index: dict[int, RefinementResult] = {}
    follower = short or engine
    if not trace and isinstance(follower, Follower):
        by_index = _follow(follower, frame, starts, objects, config)
    known = [i for i, start in enumerate(starts) if start.source == TRACK_SOURCE and i not in by_index]
    fresh = [i for i, start in enumerate(starts) if start.source != TRACK_SOURCE and i not in by_index]
    programmes = ((known, short or engine, config.cycles, config.iterations), (fresh, engine, None, None))
    for indices, runs, cycles, iterations in programmes:
        if indices:
            part = [starts[i] for i in indices]
            results = runs.refine(frame, part, objects, cycles=cycles, iterations=iterations, trace=trace)
            if indices is fresh:
                results = against_rivals(engine, frame, part, results, objects, config)
            by_index.update(zip(indices, results, strict=True))
    return [by_index[i] for i in range(len(starts))]


def _follow(
    follower: Follower,
    frame: ImageFrame,
    starts: Sequence[PoseHypothesis],
    objects: Mapping[str, ObjectModel],
    config: TrackingConfig,
) -> dict[int, RefinementResult]:
    """What could be followed of the starts that may be, by index."""
    needed = {i: _agreement_needed(s.measures, config) for i, s in enumerate(starts) if s.measures is not None}
    found: dict[int, RefinementResult] = {}
    for least in sorted(set(needed.values())):
        indices = [i for i in needed if needed[i] == least]
        results = follower.follow(frame, [starts[i] for i in indices], objects, least_agreement=least)
        found.update((i, r) for i, r in zip(indices, results, strict=True) if r is not None)
    return found


def _agreement_needed(measures: Sequence[float], config: TrackingConfig) -> float:
    """Nearly what it was in the last picture, in few steps so that objects go together."""
    last = measures[SCORE_MEASURES.index("agreement")]
    steps = math.floor((last - _SLACK) / _SLACK)
    return min(config.follow_agreement, max(LEAST_AGREEMENT, steps * _SLACK))
