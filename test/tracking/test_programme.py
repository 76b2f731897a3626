"""Which starts need the network, and what becomes of those that do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.tracking.programme import refine_starts
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

from .conftest import box, pose

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
        if looks := tracker.begin_look():
            tracker.end_look(refine_starts(engine, FRAME, looks, {}, config))
        told += ("n" if tracked[0].result.by_network else "f") if tracked else "-"
    return told


def at_once(**settings: Any) -> TrackingConfig:
    """The network's answer is waited for, and published."""
    return TrackingConfig(publish_first=False, **settings)


def play(engine: Engine, config: TrackingConfig, *, trace: bool = False) -> int:
    """Of ten pictures those that showed the object."""
    return 10 - shown(engine, config, trace=trace).count("-")


def test_an_object_whose_pictures_agree_is_followed_and_looked_at_by_the_network_now_and_then() -> None:
    engine = Engine()
    assert play(engine, at_once(network_period=0.3)) == 10
    assert (engine.refined, engine.followed) == (4, 6)


@pytest.mark.parametrize(
    ("engine", "config"),
    [
        (Engine(agreement=0.6), at_once(doubt_period=0.0)),
        (Engine(agreement=0.35), at_once(doubt_period=1.0)),
        (Engine(), at_once(network_period=0.0)),
        (Engine(), at_once(follow_agreement=1.0)),
    ],
    ids=["agrees little", "agrees hardly", "period of nothing", "never"],
)
def test_else_the_network_looks_at_every_picture(engine: Engine, config: TrackingConfig) -> None:
    assert play(engine, config) == 10
    assert (engine.refined, engine.followed) == (10, 0)


def test_what_cannot_be_followed_is_refined_on_the_same_picture() -> None:
    engine = Engine(follows=False)
    assert play(engine, at_once()) == 10
    assert (engine.refined, engine.followed) == (10, 9)


def test_a_trace_is_of_the_network() -> None:
    engine = Engine()
    assert play(engine, at_once(), trace=True) == 10
    assert (engine.refined, engine.followed) == (10, 0)


def test_where_the_pictures_agree_less_the_network_looks_more_often() -> None:
    engine = Engine(agreement=0.6)
    assert play(engine, at_once(doubt_period=0.3)) == 10
    assert (engine.refined, engine.followed) == (4, 6)


@pytest.mark.parametrize(
    ("agreement", "asked"), [(0.95, 0.7), (0.72, 0.65), (0.62, 0.55), (0.42, 0.4)], ids="at {}".format
)
def test_a_followed_object_must_agree_nearly_as_before(agreement: float, asked: float) -> None:
    engine = Engine(agreement=agreement)
    assert play(engine, at_once(doubt_period=0.3)) == 10
    assert engine.asked_agreements == [pytest.approx(asked)] * engine.followed


def test_an_object_that_the_network_does_not_find_may_be_followed_for_a_few_pictures_only() -> None:
    """What is followed is published; the network's score is too low each time it looks."""
    engine = Engine(network_scores=[0.9, 0.9, *[0.1] * 100])
    tracked = shown(engine, at_once(network_period=0.3, doubt_period=0.3), pictures=20)
    assert tracked[:4] == "nffn"
    assert tracked.startswith("nffnff-ff-ff-"), "three times, then"
    assert set(tracked[13:]) == {"-"}


def test_the_network_may_look_after_publishing() -> None:
    engine = Engine()
    assert shown(engine, TrackingConfig(network_period=0.3)) == "n" + 9 * "f"
    assert (engine.refined, engine.followed) == (4, 9)


@pytest.mark.parametrize(("period", "doubted"), [(0.3, "nfff-"), (0.1, "nf-")])
def test_what_it_says_then_counts_from_the_next_picture_on(period: float, doubted: str) -> None:
    """Its score is too low; what is followed meanwhile does not reach the score of what is found again."""
    engine = Engine(network_scores=[0.96, *[0.1] * 100])
    config = TrackingConfig(network_period=period, doubt_period=period, recover_score=0.95)
    assert shown(engine, config).startswith(doubted)


def test_a_second_look_leaves_how_fast_the_object_moves() -> None:
    objects, engine = {"box": box("box")}, Engine()
    config = TrackingConfig(network_period=0.1, rivals=0)
    tracker = Tracker(config, objects=objects)
    T = torch.eye(4, dtype=torch.float64)
    for n in range(3):
        T[:3, 3] = torch.tensor([0.01 * n, 0.0, 0.5])
        starts = tracker.begin_frame(10**9 + n * 10**8, [PoseHypothesis("box", T, source="detector")][: n == 0])
        moved = [dataclasses.replace(start, T_camera_object=T.clone()) for start in starts]
        tracker.end_frame(refine_starts(engine, FRAME, moved, objects, config))
        looks = tracker.begin_look()
        assert len(looks) == (n > 0)
        tracker.end_look(refine_starts(engine, FRAME, looks, objects, config))
    (start,) = tracker.begin_frame(10**9 + 3 * 10**8, [])
    assert 0.02 < float(start.T_camera_object[0, 3]) <= 0.03


def test_as_many_results_as_looks_are_asked_for() -> None:
    tracker = Tracker()
    with pytest.raises(ValueError, match="expected 0 results"):
        tracker.end_look([Engine()._answer(PoseHypothesis("cube", torch.eye(4)))])


SURE = 1e-8 * torch.eye(6, dtype=torch.float64)


class Looking:
    """Pictures of a box that is followed; the network is due at each of them, and moves it by 5 mm along x."""

    def __init__(self) -> None:
        self.objects = {"box": box("box")}
        self.config = TrackingConfig(network_period=0.1, doubt_period=0.1, rivals=0, prediction=0.0)
        self.tracker = Tracker(self.config, objects=self.objects)
        self.engine = Engine()
        self.n = -1

    def picture(self, *, moved: float = 0.0) -> list[PoseHypothesis]:
        """Judge the next one, in which the object moved so far along x."""
        self.n += 1
        outside = [PoseHypothesis("box", pose(), source="detector")] if self.n == 0 else []
        starts = self.tracker.begin_frame(10**9 + self.n * 10**8, outside)
        shift = torch.eye(4, dtype=torch.float64)
        shift[0, 3] = moved
        moved_on = [dataclasses.replace(start, T_camera_object=shift @ start.T_camera_object) for start in starts]
        results = refine_starts(self.engine, FRAME, moved_on, self.objects, self.config)
        self.outcome = self.tracker.end_frame([dataclasses.replace(r, covariance=SURE) for r in results])
        return starts

    def seen(self, looks: Sequence[PoseHypothesis]) -> list[RefinementResult]:
        """What the network says of the looks."""
        found = self.engine.refine(FRAME, looks, self.objects)
        shift = torch.eye(4, dtype=torch.float64)
        shift[0, 3] = 0.005
        return [dataclasses.replace(r, T_camera_object=r.T_camera_object @ shift) for r in found]

    @property
    def variance_x(self) -> float:
        """Of the last picture's answer, square metres."""
        (tracked,) = self.outcome.tracked
        assert tracked.result.covariance is not None
        return float(tracked.result.covariance[0, 0])

    @property
    def x(self) -> float:
        """Where the object is believed to be, metres."""
        return float(self.picture()[0].T_camera_object[0, 3])


def test_what_a_late_look_moved_is_carried_along() -> None:
    looking = Looking()
    looking.picture()
    looking.picture()
    looks = looking.tracker.begin_look()
    assert len(looks) == 1
    looking.picture(moved=0.02)
    assert looking.tracker.end_look(looking.seen(looks)) == ()
    assert looking.x == pytest.approx(0.025)


def test_what_is_followed_is_as_unsure_as_the_network_contradicts_it() -> None:
    looking = Looking()
    looking.picture()
    looking.picture()
    assert looking.variance_x == pytest.approx(1e-8), "nobody contradicted yet"
    looking.tracker.end_look(looking.seen(looking.tracker.begin_look()))
    looking.picture()
    assert looking.variance_x == pytest.approx(1e-8 + 0.005**2)
    looks = looking.tracker.begin_look()
    looking.tracker.end_look(looking.engine.refine(FRAME, looks, looking.objects))
    looking.picture()
    assert looking.variance_x == pytest.approx(1e-8 + 0.5 * 0.005**2), "the next look agrees"


def test_what_second_opinions_said_of_a_new_object_holds_until_the_network_looks_again() -> None:
    looking = Looking()
    apart = 1e-4 * torch.eye(6, dtype=torch.float64)
    refine = looking.engine.refine
    looking.engine.refine = lambda *a, **k: [dataclasses.replace(r, dissent=apart) for r in refine(*a, **k)]
    looking.picture()
    looking.engine.refine = refine
    looking.picture()
    assert looking.variance_x == pytest.approx(1e-8 + 1e-4)
    looking.tracker.end_look(looking.seen(looking.tracker.begin_look()))
    looking.picture()
    assert looking.variance_x == pytest.approx(1e-8 + 0.5 * (1e-4 + 0.005**2))


def test_a_late_look_says_nothing_of_what_was_lost_or_looked_at_meanwhile() -> None:
    for follows in (False, True):
        looking = Looking()
        looking.picture()
        looking.picture()
        looks = looking.tracker.begin_look()
        seen = looking.seen(looks)
        looking.engine.follows = False
        if follows:
            looking.engine.network_scores = [0.1]
        looking.picture()
        looking.engine.follows = True
        assert looking.tracker.end_look(seen) == ()
        assert looking.x == pytest.approx(0.0)


def test_a_look_that_finds_nothing_is_said() -> None:
    looking = Looking()
    looking.picture()
    looking.picture()
    looks = looking.tracker.begin_look()
    (lost,) = looking.tracker.end_look([dataclasses.replace(r, score=0.1) for r in looking.seen(looks)])
    assert (lost.label, lost.name) == ("box", "box_0")
