"""Which starts need the network, and what becomes of those that do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest
import torch

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.tracking.programme import refine_starts
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

FRAME = ImageFrame(
    rgb=torch.zeros(4, 4, 3, dtype=torch.uint8), camera=intrinsics(4.0, 4.0, 2.0, 2.0, width=4, height=4)
)


class Engine:
    """Finds every object where it was; counts how."""

    def __init__(self, *, agreement: float = 0.9, follows: bool = True) -> None:
        self.agreement, self.follows = agreement, follows
        self.refined = self.followed = 0

    def _answer(self, h: PoseHypothesis) -> RefinementResult:
        measures = (0.5, -3.0, -4.0, -4.0, self.agreement)
        return RefinementResult(h.label, h.T_camera_object, RefinementStatus.CONVERGED, 0.9, 0.5, measures=measures)

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
        self.refined += len(hypotheses)
        return [self._answer(h) for h in hypotheses]

    def follow(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        least_agreement: float,
    ) -> list[RefinementResult | None]:
        self.followed += len(hypotheses)
        return [dataclasses.replace(self._answer(h), by_network=False) if self.follows else None for h in hypotheses]


def play(engine: Engine, config: TrackingConfig, *, pictures: int = 10, trace: bool = False) -> int:
    """Pictures that showed the object, at ten a second."""
    tracker, shown = Tracker(config), 0
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.5
    for n in range(pictures):
        outside = [PoseHypothesis("cube", T, source="detector")] if n == 0 else []
        starts = tracker.begin_frame(10**9 + n * 10**8, outside)
        results = refine_starts(engine, FRAME, starts, {}, config, trace=trace)
        shown += len(tracker.end_frame(results).tracked)
    return shown


def test_an_object_whose_pictures_agree_is_followed_and_looked_at_by_the_network_now_and_then() -> None:
    engine = Engine()
    assert play(engine, TrackingConfig(network_period=0.3)) == 10
    assert (engine.refined, engine.followed) == (4, 6)


@pytest.mark.parametrize(
    ("engine", "config"),
    [
        (Engine(agreement=0.6), TrackingConfig()),
        (Engine(), TrackingConfig(network_period=0.0)),
        (Engine(), TrackingConfig(follow_agreement=1.0)),
    ],
    ids=["agrees little", "period of nothing", "never"],
)
def test_else_the_network_looks_at_every_picture(engine: Engine, config: TrackingConfig) -> None:
    assert play(engine, config) == 10
    assert (engine.refined, engine.followed) == (10, 0)


def test_what_cannot_be_followed_is_refined_on_the_same_picture() -> None:
    engine = Engine(follows=False)
    assert play(engine, TrackingConfig()) == 10
    assert (engine.refined, engine.followed) == (10, 9)


def test_a_trace_is_of_the_network() -> None:
    engine = Engine()
    assert play(engine, TrackingConfig(), trace=True) == 10
    assert (engine.refined, engine.followed) == (10, 0)
