"""Who is who, when an object is lost, and what a refinement starts from."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from rnnpose_ros.errors import ConfigError
from rnnpose_ros.tracking.track import RECHECK_SOURCE, TRACK_SOURCE
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import InitialPoseConfig, TrackingConfig
from rnnpose_ros.types import PoseHypothesis, RefinementResult, RefinementStatus

FRAME_NS = 33_000_000


def pose_at(x: float, z: float = 0.5) -> Tensor:
    T = torch.eye(4, dtype=torch.float64)
    T[0, 3], T[2, 3] = x, z
    return T


def detected(x: float, *, name: str = "", label: str = "cube", score: float = 1.0) -> PoseHypothesis:
    return PoseHypothesis(label, pose_at(x), score=score, source="detector", instance_id=name)


class Run:
    """Plays pictures through a tracker; results are the starts with a given score and offset."""

    def __init__(self, tracking: TrackingConfig | None = None, initial_pose: InitialPoseConfig | None = None) -> None:
        self.tracker = Tracker(tracking, initial_pose)
        self.stamp_ns = 10**9
        self.starts: list[PoseHypothesis] = []

    def frame(self, *hypotheses: PoseHypothesis, score=0.9, after_ns: int = FRAME_NS, move: float = 0.0):
        self.stamp_ns += after_ns
        self.starts = self.tracker.begin_frame(self.stamp_ns, hypotheses)
        scores = score if isinstance(score, list) else [score] * len(self.starts)
        results = []
        for start, s in zip(self.starts, scores, strict=True):
            T = start.T_camera_object.clone()
            T[0, 3] += move
            results.append(RefinementResult(start.label, T, RefinementStatus.CONVERGED, s, 0.5))
        return self.tracker.end_frame(results)


def test_a_track_starts_from_its_own_last_result() -> None:
    run = Run()
    run.frame(detected(0.0), move=0.01)
    run.frame(move=0.01)
    assert [start.source for start in run.starts] == [TRACK_SOURCE]
    assert float(run.starts[0].T_camera_object[0, 3]) == pytest.approx(0.01)


def test_a_pose_near_a_healthy_track_is_not_used() -> None:
    run = Run()
    run.frame(detected(0.0))
    run.frame(detected(0.02))
    assert [start.source for start in run.starts] == [TRACK_SOURCE]


def test_nothing_is_returned_for_a_lost_object_and_it_recovers_only_at_the_higher_score() -> None:
    run = Run()
    run.frame(detected(0.0))
    assert len(run.frame(score=0.4).tracked) == 1, "above lost_score it stays"
    lost = run.frame(score=0.3)
    assert not lost.tracked
    assert [item.label for item in lost.lost] == ["cube"]
    assert not run.frame(score=0.5).tracked, "between the two scores a lost object stays lost"
    assert run.frame(score=0.6).tracked[0].number == 0


def test_a_lost_object_is_looked_for_twice_by_the_short_programme_then_by_the_full_one() -> None:
    run = Run()
    sources = []
    for score in (0.9, 0.1, 0.1, 0.1, 0.9, 0.9):
        run.frame(*([] if sources else [detected(0.0)]), score=score)
        sources.append(run.starts[0].source)
    assert sources == ["detector", *[TRACK_SOURCE] * 3, RECHECK_SOURCE, TRACK_SOURCE]


@pytest.mark.parametrize("rate_hz", [60.0, 10.0, 2.0])
def test_a_lost_object_is_looked_for_as_long_at_any_rate(rate_hz: float) -> None:
    period_ns = round(1e9 / rate_hz)
    run = Run(TrackingConfig(max_lost_time=1.2))
    run.frame(detected(0.0), after_ns=period_ns)
    run.frame(score=0.1, after_ns=period_ns)
    lost_ns = run.stamp_ns
    while run.starts:
        run.frame(score=0.1, after_ns=period_ns)
    looked_s = 1e-9 * (run.stamp_ns - period_ns - lost_ns)
    assert 1.2 < looked_s <= 1.2 + 1.0 / rate_hz + 1e-6


def test_a_lost_object_is_looked_for_once_at_least() -> None:
    run = Run(TrackingConfig(max_lost_time=0.0))
    run.frame(detected(0.0))
    run.frame(score=0.1)
    assert run.frame(score=0.9).tracked
    run.frame(score=0.1)
    run.frame(score=0.1)
    run.frame(score=0.9)
    assert run.starts == [], "and then forgotten"


def test_an_unusable_result_is_lost_whatever_its_score() -> None:
    run = Run()
    run.frame(detected(0.0))
    starts = run.tracker.begin_frame(run.stamp_ns + FRAME_NS, [])
    bad = RefinementResult("cube", starts[0].T_camera_object, RefinementStatus.OUT_OF_VIEW, 0.99, float("nan"))
    assert not run.tracker.end_frame([bad]).tracked


def test_a_lost_track_takes_the_new_pose_and_keeps_its_number() -> None:
    run = Run()
    run.frame(detected(0.0))
    run.frame(score=0.1)
    outcome = run.frame(detected(0.3), score=[0.1, 0.9])
    assert [(item.number, item.instance_id) for item in outcome.tracked] == [(0, "cube_0")]
    assert float(outcome.tracked[0].result.T_camera_object[0, 3]) == pytest.approx(0.3)


@pytest.mark.parametrize(("own", "other", "winner_x"), [(0.9, 0.6, 0.0), (0.6, 0.9, 0.4)])
def test_when_a_named_pose_disagrees_the_better_score_wins(own: float, other: float, winner_x: float) -> None:
    run = Run(TrackingConfig(disagreements=1))
    run.frame(detected(0.0, name="a"))
    outcome = run.frame(detected(0.4, name="a"), score=[own, other])
    assert len(run.starts) == 2
    assert [item.instance_id for item in outcome.tracked] == ["a"]
    assert float(outcome.tracked[0].result.T_camera_object[0, 3]) == pytest.approx(winner_x)


def test_two_instances_keep_their_numbers_in_any_order() -> None:
    run = Run()
    run.frame(detected(0.0), detected(0.5))
    outcome = run.frame(detected(0.5), detected(0.0))
    places = {item.number: float(item.result.T_camera_object[0, 3]) for item in outcome.tracked}
    assert places == pytest.approx({0: 0.0, 1: 0.5})


def test_a_pose_that_ends_on_a_track_makes_no_second_one() -> None:
    run = Run(TrackingConfig(disagreements=1), InitialPoseConfig(association_distance=0.05))
    run.frame(detected(0.0))
    run.stamp_ns += FRAME_NS
    starts = run.tracker.begin_frame(run.stamp_ns, [detected(0.08)])
    assert len(starts) == 2
    both_at_zero = [RefinementResult("cube", pose_at(0.0), RefinementStatus.CONVERGED, 0.8, 0.5) for _ in starts]
    outcome = run.tracker.end_frame(both_at_zero)
    assert [item.number for item in outcome.tracked] == [0]
    assert outcome.lost == ()


def test_a_full_class_lets_in_only_what_is_better() -> None:
    run = Run(TrackingConfig(max_instances_per_class=1, disagreements=1))
    run.frame(detected(0.0), score=0.7)
    assert len(run.frame(detected(0.5), score=[0.7, 0.6]).tracked) == 1
    outcome = run.frame(detected(0.5), score=[0.7, 0.8])
    assert [float(item.result.T_camera_object[0, 3]) for item in outcome.tracked] == pytest.approx([0.5])


def test_classes_do_not_mix() -> None:
    run = Run()
    outcome = run.frame(detected(0.0), detected(0.0, label="can"))
    assert sorted(item.instance_id for item in outcome.tracked) == ["can_0", "cube_0"]


def test_after_a_gap_a_track_must_prove_itself_again() -> None:
    run = Run(TrackingConfig(max_gap=0.5))
    run.frame(detected(0.0))
    assert not run.frame(score=0.5, after_ns=600_000_000).tracked
    run = Run(TrackingConfig(max_gap=0.5))
    run.frame(detected(0.0))
    assert run.frame(score=0.9, after_ns=600_000_000).tracked


def test_without_tracking_every_picture_needs_a_pose() -> None:
    run = Run(TrackingConfig(enabled=False))
    assert run.frame(detected(0.0)).tracked
    assert not run.frame().tracked
    assert run.starts == []


def test_time_that_goes_back_ends_every_track() -> None:
    run = Run()
    run.frame(detected(0.0))
    assert run.tracker.begin_frame(run.stamp_ns - 1, []) == []


def test_results_must_match_the_starts() -> None:
    tracker = Tracker()
    tracker.begin_frame(1, [detected(0.0)])
    with pytest.raises(ValueError, match="expected 1 results"):
        tracker.end_frame([])


def test_scores_that_would_flicker_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"recover_score \(0\.2\) must not lie under"):
        dataclasses.replace(TrackingConfig(), recover_score=0.2)
