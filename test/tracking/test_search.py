"""What is lost does not hold up what is tracked."""

from __future__ import annotations

import itertools

import pytest

from rnnpose_ros.tracking.search import SHORT_TRIES
from rnnpose_ros.tracking.track import RECHECK_SOURCE, TRACK_SOURCE
from rnnpose_ros.tracking.tracking_config import TrackingConfig

from .conftest import FRAME_NS, Run, detected

SECOND = 10**9


def lost_beside_tracked(config: TrackingConfig, *, pictures: int, lost: int = 1) -> list[list[str]]:
    """Sources of the starts of the lost ones, picture by picture; an object at x = 0 is tracked all the time."""
    is_hidden = False
    run = Run(config, score=lambda T: 0.1 if is_hidden and float(T[0, 3]) > 0.1 else 0.9)
    others = [detected(0.5 * (1 + n), label=f"other{n}") for n in range(lost)]
    assert len(run.frame(detected(0.0), *others).tracked) == 1 + lost
    is_hidden = True
    told = []
    for _ in range(pictures):
        assert len(run.frame().tracked) == 1
        told.append([start.source for start in run.starts if start.label != "cube"])
    return told


def test_while_another_object_is_tracked_the_full_programme_looks_once_in_a_period() -> None:
    told = lost_beside_tracked(TrackingConfig(search_period=0.5, max_lost_time=10.0), pictures=60)
    searched = [n for n, sources in enumerate(told) if RECHECK_SOURCE in sources]
    assert searched[0] == SHORT_TRIES + 1
    gaps = {b - a for a, b in itertools.pairwise(searched)}
    assert gaps == {-(-SECOND // 2 // FRAME_NS)}, "in between the short programme looks"
    assert all(sources == [TRACK_SOURCE] for n, sources in enumerate(told) if n not in searched)


def test_several_lost_objects_share_the_period_and_take_turns() -> None:
    told = lost_beside_tracked(TrackingConfig(search_period=0.2, max_lost_time=10.0), pictures=40, lost=3)
    searched = [sources.index(RECHECK_SOURCE) for sources in told if RECHECK_SOURCE in sources]
    assert all(sources.count(RECHECK_SOURCE) <= 1 for sources in told)
    assert searched[:6] == [0, 1, 2, 0, 1, 2]


def test_where_nothing_else_is_tracked_every_third_picture_is_searched_in_full() -> None:
    shows = True
    run = Run(TrackingConfig(search_period=60.0), score=lambda T: 0.9 if shows else 0.1)
    run.frame(detected())
    shows, sources = False, []
    for _ in range(10):
        run.frame()
        sources += run.sources
    assert sources == [TRACK_SOURCE, *[TRACK_SOURCE, TRACK_SOURCE, RECHECK_SOURCE] * 3]


def test_after_a_gap_the_full_programme_looks_at_once() -> None:
    run = Run(TrackingConfig(max_gap=0.5))
    run.frame(detected())
    run.frame(after_ns=SECOND)
    assert run.sources == [RECHECK_SOURCE]


@pytest.mark.parametrize(("period", "tried"), [(0.5, 2), (0.0, 20)])
def test_a_detector_that_errs_all_the_time_costs_a_refinement_a_period(period: float, tried: int) -> None:
    run = Run(TrackingConfig(search_period=period), score=lambda T: 0.9 if float(T[0, 3]) < 0.1 else 0.1)
    run.frame(detected(0.0))
    count = 0
    for _ in range(20):
        assert len(run.frame(detected(0.6, label="ghost")).tracked) == 1
        count += run.sources.count("detector")
    assert count == tried


def test_a_new_object_is_refined_at_once_whatever_else_is_tracked() -> None:
    run = Run()
    run.frame(detected(0.0))
    assert len(run.frame(detected(0.5, label="can")).tracked) == 2
    assert len(run.frame(detected(1.0, label="mug")).tracked) == 3


def test_one_that_was_found_is_refined_at_once_again() -> None:
    """Only what was refined in vain waits."""
    run = Run(TrackingConfig(disagreements=1), score=lambda T: 0.9)
    run.frame(detected(0.0), detected(0.0, label="can"))
    for x in (0.5, 1.0):
        run.frame(detected(x, label="can"))
        assert "detector" in run.sources
