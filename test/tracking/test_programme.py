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

    def __init__(self, *, agreement: float = 0.9, follows: bool = True, network_scores: Sequence[float] = ()) -> None:
        self.agreement, self.follows, self.network_scores = agreement, follows, list(network_scores)
        self.refined = self.followed = 0
        self.asked_agreements: list[float] = []

    def _answer(self, h: PoseHypothesis, score: float = 0.9) -> RefinementResult:
        measures = (0.5, -3.0, -4.0, -4.0, self.agreement)
        return RefinementResult(h.label, h.T_camera_object, RefinementStatus.CONVERGED, score, 0.5, measures=measures)

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
        score = self.network_scores.pop(0) if self.network_scores else 0.9
        return [self._answer(h, score) for h in hypotheses]

    def follow(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        least_agreement: float,
    ) -> list[RefinementResult | None]:
        self.followed += len(hypotheses)
        self.asked_agreements.append(least_agreement)
        return [dataclasses.replace(self._answer(h), by_network=False) if self.follows else None for h in hypotheses]


def shown(engine: Engine, config: TrackingConfig, *, pictures: int = 10, trace: bool = False) -> str:
    """Ten pictures a second: n where the network found the object, f where it was followed, - where it was lost."""
    tracker, told = Tracker(config), ""
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.5
    for n in range(pictures):
        outside = [PoseHypothesis("cube", T, source="detector")] if n == 0 else []
        starts = tracker.begin_frame(10**9 + n * 10**8, outside)
        results = refine_starts(engine, FRAME, starts, {}, config, trace=trace)
        tracked = tracker.end_frame(results).tracked
        told += ("n" if tracked[0].result.by_network else "f") if tracked else "-"
    return told


def play(engine: Engine, config: TrackingConfig, *, trace: bool = False) -> int:
    """Of ten pictures those that showed the object."""
    return 10 - shown(engine, config, trace=trace).count("-")


def test_an_object_whose_pictures_agree_is_followed_and_looked_at_by_the_network_now_and_then() -> None:
    engine = Engine()
    assert play(engine, TrackingConfig(network_period=0.3)) == 10
    assert (engine.refined, engine.followed) == (4, 6)


@pytest.mark.parametrize(
    ("engine", "config"),
    [
        (Engine(agreement=0.6), TrackingConfig(doubt_period=0.0)),
        (Engine(agreement=0.35), TrackingConfig(doubt_period=1.0)),
        (Engine(), TrackingConfig(network_period=0.0)),
        (Engine(), TrackingConfig(follow_agreement=1.0)),
    ],
    ids=["agrees little", "agrees hardly", "period of nothing", "never"],
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


def test_where_the_pictures_agree_less_the_network_looks_more_often() -> None:
    engine = Engine(agreement=0.6)
    assert play(engine, TrackingConfig(doubt_period=0.3)) == 10
    assert (engine.refined, engine.followed) == (4, 6)


@pytest.mark.parametrize(
    ("agreement", "asked"), [(0.95, 0.7), (0.72, 0.65), (0.62, 0.55), (0.42, 0.4)], ids="at {}".format
)
def test_a_followed_object_must_agree_nearly_as_before(agreement: float, asked: float) -> None:
    engine = Engine(agreement=agreement)
    assert play(engine, TrackingConfig(doubt_period=0.3)) == 10
    assert engine.asked_agreements == [pytest.approx(asked)] * engine.followed


def test_an_object_that_the_network_does_not_find_may_be_followed_for_a_few_pictures_only() -> None:
    """What is followed is published; the network's score is too low each time it looks."""
    engine = Engine(network_scores=[0.9, 0.9, *[0.1] * 100])
    tracked = shown(engine, TrackingConfig(network_period=0.3, doubt_period=0.3), pictures=20)
    assert tracked[:4] == "nffn"
    assert tracked.startswith("nffnff-ff-ff-"), "three times, then"
    assert set(tracked[13:]) == {"-"}
