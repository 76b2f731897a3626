"""What poses from outside are worth while objects are tracked."""

from __future__ import annotations

import pytest
import torch

from rnnpose_ros.tracking.track import RECHECK_SOURCE, TRACK_SOURCE
from rnnpose_ros.tracking.tracking_config import InitialPoseConfig, TrackingConfig

from .conftest import FRAME_NS, Run, box, detected, places

UNLESS_ALONE = TrackingConfig(max_instances_per_class=1)


def test_one_noisy_pose_costs_nothing() -> None:
    run = Run()
    run.frame(detected(0.0, name="a"))
    for _ in range(5):
        run.frame(detected(0.4, name="a"))
        assert run.sources == [TRACK_SOURCE]
        run.frame(detected(0.0, name="a"))
        assert run.sources == [TRACK_SOURCE]


@pytest.mark.parametrize("name", ["a", ""])
def test_a_contradiction_that_repeats_itself_is_checked_and_not_at_every_picture(name: str) -> None:
    run = Run(TrackingConfig(disagreements=3, max_instances_per_class=1), score=lambda T: 0.9 - float(T[0, 3]))
    run.frame(detected(0.0, name=name))
    checks = []
    for _ in range(9):
        run.frame(detected(0.3, name=name))
        checks.append(len(run.starts) - 1)
    assert checks == [0, 0, 1] * 3


@pytest.mark.parametrize("name", ["a", ""])
def test_when_the_track_was_wrong_the_contradiction_wins_and_the_number_stays(name: str) -> None:
    run = Run(UNLESS_ALONE, score=lambda T: 0.7 if float(T[0, 3]) < 0.2 else 0.9)
    first = run.frame(detected(0.0, name=name))
    for _ in range(3):
        last = run.frame(detected(0.4, name=name))
    assert [(t.number, t.instance_id) for t in first.tracked] == [(t.number, t.instance_id) for t in last.tracked]
    assert list(places(last).values()) == [0.4]


def test_pictures_without_poses_do_not_break_the_row() -> None:
    run = Run(UNLESS_ALONE)
    run.frame(detected(0.0))
    for i in range(3):
        run.frame()
        run.frame(detected(0.4))
        assert len(run.starts) == (2 if i == 2 else 1)


def test_strangers_at_ever_other_places_are_never_checked() -> None:
    run = Run()
    run.frame(detected(0.0))
    for i in range(1, 8):
        run.frame(detected(0.3 * i))
        assert run.sources == [TRACK_SOURCE]


def test_a_second_object_that_appears_later_is_taken_in() -> None:
    run = Run()
    run.frame(detected(0.0))
    for _ in range(3):
        outcome = run.frame(detected(0.0), detected(0.4))
    assert places(outcome) == {"cube_0": 0.0, "cube_1": 0.4}


def test_a_sure_newcomer_replaces_a_track_that_is_neither_sure_nor_confirmed() -> None:
    run = Run(score=lambda T: 0.45 if float(T[0, 3]) < 0.2 else 0.9)
    run.score = lambda T: 0.9
    run.frame(detected(0.0))
    run.score = lambda T: 0.45 if float(T[0, 3]) < 0.2 else 0.9
    for _ in range(3):
        outcome = run.frame(detected(0.4))
    assert places(outcome) == {"cube_0": 0.4}, "one object, found again, and not two"


def test_a_track_that_is_confirmed_in_the_same_picture_stays_beside_the_newcomer() -> None:
    run = Run()
    run.frame(detected(0.0))
    run.score = lambda T: 0.45 if float(T[0, 3]) < 0.2 else 0.9
    for _ in range(3):
        outcome = run.frame(detected(0.0), detected(0.4))
    assert places(outcome) == {"cube_0": 0.0, "cube_1": 0.4}


def test_names_that_wander_from_object_to_object_change_nothing() -> None:
    """A detector that numbers what it sees anew in every picture."""
    run = Run()
    run.frame(detected(0.0, name="0"), detected(0.5, name="1"))
    for i in range(6):
        order = (0.5, 0.0) if i % 2 else (0.0, 0.5)
        outcome = run.frame(*(detected(x, name=str(n)) for n, x in enumerate(order)))
        assert run.sources == [TRACK_SOURCE] * 2
        assert places(outcome) == {"0": 0.0, "1": 0.5}


def test_while_an_object_is_lost_every_pose_is_welcome() -> None:
    run = Run()
    run.frame(detected(0.0), detected(0.5))
    run.score = lambda T: 0.1 if float(T[0, 3]) < 0.2 else 0.9
    run.frame()
    outcome = run.frame(detected(0.9))
    assert len(run.starts) == 3
    assert places(outcome) == {"cube_0": 0.9, "cube_1": 0.5}


def test_a_recheck_refines_in_full_from_both_poses_after_its_period() -> None:
    run = Run(TrackingConfig(recheck_period=0.1))
    run.frame(detected(0.0))
    sources = []
    for _ in range(7):
        run.frame(detected(0.01))
        sources.append(tuple(run.sources))
    due, not_due = (RECHECK_SOURCE, "detector"), (TRACK_SOURCE,)
    assert sources == [not_due] * 3 + [due] + [not_due] * 3, "33 ms apart: every fourth picture"


def test_a_recheck_without_a_pose_from_outside_refines_the_own_one_in_full() -> None:
    run = Run(TrackingConfig(recheck_period=0.01))
    run.frame(detected(0.0))
    run.frame()
    assert run.sources == [RECHECK_SOURCE]


def test_a_recheck_corrects_a_drift_that_is_too_small_to_be_a_contradiction() -> None:
    run = Run(TrackingConfig(recheck_period=0.5), score=lambda T: 0.9 - float(T[0, 3].abs()))
    run.frame(detected(0.0))
    run.answer = lambda T: T + _shift(0.003)
    for _ in range(20):
        outcome = run.frame(detected(0.0))
    assert abs(float(outcome.tracked[0].result.T_camera_object[0, 3])) < 0.5 * 20 * 0.003


def _shift(x: float) -> torch.Tensor:
    shift = torch.zeros(4, 4, dtype=torch.float64)
    shift[0, 3] = x
    return shift


def test_two_tracks_that_end_on_one_object_become_one() -> None:
    run = Run(objects={"cube": box()})
    run.frame(detected(0.0), detected(0.3))
    run.answer = lambda T: T - _shift(0.3) if float(T[0, 3]) > 0.2 else T
    outcome = run.frame()
    assert places(outcome) == {"cube_0": 0.0}
    assert len(run.frame().tracked) == 1


def test_objects_that_stand_close_stay_two() -> None:
    run = Run(objects={"cube": box()})
    bounds = InitialPoseConfig(association_distance=0.03)
    run.tracker.initial_pose = bounds
    assert len(run.frame(detected(0.0), detected(0.1)).tracked) == 2
    assert len(run.frame().tracked) == 2


def test_a_lost_object_says_its_name_which_is_not_the_detectors() -> None:
    run = Run()
    (found,) = run.frame(detected(0.0, name="left")).tracked
    assert (found.name, found.instance_id) == ("cube_0", "left")
    run.score = lambda T: 0.1
    assert [item.name for item in run.frame().lost] == ["cube_0"]


def test_forgetting_everything_forgets_the_doubts_too() -> None:
    run = Run(UNLESS_ALONE)
    run.frame(detected(0.0))
    for _ in range(2):
        run.frame(detected(0.4))
    run.tracker.reset()
    run.frame(detected(0.0), after_ns=-10 * FRAME_NS)
    run.frame(detected(0.4))
    assert run.sources == [TRACK_SOURCE]
