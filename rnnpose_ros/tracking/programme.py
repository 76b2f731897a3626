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

    Args:
        engine: With its weights.
        frame: The picture.
        starts: As :meth:`~rnnpose_ros.tracking.tracker.Tracker.begin_frame` gives them.
        objects: By label.
        config: The short programme.
        short: Runs the short programme; ``engine`` when None.
        trace: Keep in the results what debug pictures are drawn from.
    """
    known = [i for i, start in enumerate(starts) if start.source == TRACK_SOURCE]
    fresh = [i for i, start in enumerate(starts) if start.source != TRACK_SOURCE]
    by_index: dict[int, RefinementResult] = {}
    programmes = ((known, short or engine, config.cycles, config.iterations), (fresh, engine, None, None))
    for indices, runs, cycles, iterations in programmes:
        if indices:
            part = [starts[i] for i in indices]
            results = runs.refine(frame, part, objects, cycles=cycles, iterations=iterations, trace=trace)
            by_index.update(zip(indices, results, strict=True))
    return [by_index[i] for i in range(len(starts))]
