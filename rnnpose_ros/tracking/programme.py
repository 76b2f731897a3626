"""How much work each start pose is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from rnnpose_ros.tracking.track import TRACK_SOURCE
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult


@runtime_checkable
class Engine(Protocol):
    """Refines; see ``refinement.refiner.Refiner``."""

    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        cycles: int | None = None,
        iterations: int | None = None,
        trace: bool = False,
    ) -> list[RefinementResult]:
        """One result per hypothesis, in order."""
        ...


@runtime_checkable
class Follower(Protocol):
    """An engine that can go on without its network; see ``refinement.refiner.Refiner``."""

    def follow(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        least_agreement: float,
    ) -> list[RefinementResult | None]:
        """One result per hypothesis, in order; None where the network is needed."""
        ...


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

    Tracked ones that may be followed without the network are, where that succeeds.

    Args:
        engine: With its weights.
        frame: The picture.
        starts: As :meth:`~rnnpose_ros.tracking.tracker.Tracker.begin_frame` gives them.
        objects: By label.
        config: The short programme.
        short: Runs the short programme; ``engine`` when None.
        trace: Keep in the results what debug pictures are drawn from.
    """
    by_index: dict[int, RefinementResult] = {}
    led, follower = [i for i, start in enumerate(starts) if start.measures is not None], short or engine
    if led and not trace and isinstance(follower, Follower):
        part = [starts[i] for i in led]
        followed = follower.follow(frame, part, objects, least_agreement=config.follow_agreement)
        by_index = {i: result for i, result in zip(led, followed, strict=True) if result is not None}
    known = [i for i, start in enumerate(starts) if start.source == TRACK_SOURCE and i not in by_index]
    fresh = [i for i, start in enumerate(starts) if start.source != TRACK_SOURCE and i not in by_index]
    programmes = ((known, short or engine, config.cycles, config.iterations), (fresh, engine, None, None))
    for indices, runs, cycles, iterations in programmes:
        if indices:
            part = [starts[i] for i in indices]
            results = runs.refine(frame, part, objects, cycles=cycles, iterations=iterations, trace=trace)
            by_index.update(zip(indices, results, strict=True))
    return [by_index[i] for i in range(len(starts))]
