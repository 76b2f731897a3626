"""What our own tree of frames does beyond the rules it shares with tf2 (see test/ros/test_transform_lookups.py)."""

from __future__ import annotations

import math
import sys
import threading

import pytest
import torch

from rnnpose_ros.tracking.frame_history import MAX_SAMPLES, FrameHistory, FrameSample
from rnnpose_ros.tracking.transform_tree import LookupProblem, TransformLookupError, TransformTree

T0 = 1_700_000_000_000_000_000
S = 1_000_000_000


def at(x: float, parent: str = "map") -> FrameSample:
    return FrameSample(parent, (x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def x_of(tree: TransformTree, stamp_ns: int, frame: str = "base") -> float:
    return float(tree.lookup("map", frame, stamp_ns)[0, 3])


def test_when_time_begins_again_the_frames_old_future_is_forgotten() -> None:
    tree = TransformTree()
    for i in range(20):
        tree.add("base", at(100.0 + i), stamp_ns=T0 + i * S)
    tree.add("base", at(0.0), stamp_ns=T0)
    tree.add("base", at(1.0), stamp_ns=T0 + S // 2)
    assert x_of(tree, T0 + S // 4) == pytest.approx(0.5)
    with pytest.raises(TransformLookupError) as error:
        tree.lookup("map", "base", T0 + 19 * S)
    assert error.value.problem is LookupProblem.FUTURE


def test_a_sample_that_comes_late_finds_its_place() -> None:
    tree = TransformTree()
    for i in (0, 2, 1):
        tree.add("base", at(float(i * i)), stamp_ns=T0 + i * S // 10)
    assert x_of(tree, T0 + S // 20) == pytest.approx(0.5)


def test_a_stamp_that_is_known_already_changes_nothing() -> None:
    tree = TransformTree()
    assert tree.add("base", at(1.0), stamp_ns=T0)
    assert not tree.add("base", at(2.0), stamp_ns=T0)
    assert x_of(tree, T0) == 1.0


@pytest.mark.parametrize(
    ("child", "sample"),
    [
        ("", at(0.0)),
        ("base", at(0.0, parent="")),
        ("base", at(0.0, parent="/base")),
        ("base", at(math.nan)),
        ("base", FrameSample("map", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))),
        ("base", FrameSample("map", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1e300))),
        ("base", FrameSample("map", (0.0, 0.0, 0.0), (0.0, math.inf, 0.0, 1.0))),
    ],
)
def test_what_cannot_be_is_not_taken_in(child: str, sample: FrameSample) -> None:
    tree = TransformTree()
    assert not tree.add(child, sample, stamp_ns=T0)
    with pytest.raises(TransformLookupError) as error:
        tree.lookup("map", "base", T0)
    assert error.value.problem is LookupProblem.UNKNOWN_FRAME


def test_a_loop_of_frames_ends_in_an_error() -> None:
    tree = TransformTree()
    tree.add("a", at(0.0, parent="b"), stamp_ns=T0)
    tree.add("b", at(0.0, parent="a"), stamp_ns=T0)
    tree.add("base", at(0.0), stamp_ns=T0)
    with pytest.raises(TransformLookupError, match="is its own ancestor") as error:
        tree.lookup("map", "a", T0)
    assert error.value.problem is LookupProblem.NOT_CONNECTED


def test_a_frame_that_changes_its_parent_is_not_interpolated_across_it() -> None:
    tree = TransformTree()
    tree.add("other", at(10.0), stamp_ns=T0, is_static=True)
    tree.add("tool", at(1.0), stamp_ns=T0)
    tree.add("tool", at(1.0, parent="other"), stamp_ns=T0 + S)
    assert [x_of(tree, T0 + dt, "tool") for dt in (0, S // 2, S)] == [1.0, 1.0, 11.0]


def test_clearing_keeps_what_is_static() -> None:
    tree = TransformTree()
    tree.add("base", at(1.0), stamp_ns=T0)
    tree.add("camera", at(2.0), stamp_ns=0, is_static=True)
    tree.clear()
    assert x_of(tree, T0, "camera") == 2.0
    with pytest.raises(TransformLookupError):
        x_of(tree, T0)


def test_memory_is_bounded_however_fast_and_long_samples_come() -> None:
    history = FrameHistory(history_ns=10 * S)
    longest = 0
    for i in range(3000):
        history.add(T0 + i * S // 100, at(float(i)))
        longest = max(longest, len(history))
    assert longest <= 1001 * 4 / 3 + 2, "ten seconds at 100 Hz, cut in blocks"
    assert history.newest_ns - history.oldest_ns >= 10 * S
    for i in range(MAX_SAMPLES + 10):
        history.add(T0 + 30 * S + i, at(float(i)))
    assert len(history) <= MAX_SAMPLES


def test_more_frames_than_any_robot_has_are_not_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["rnnpose_ros.tracking.transform_tree"]
    monkeypatch.setattr(module, "MAX_FRAMES", 3)
    tree = TransformTree()
    assert [tree.add(f"frame_{i}", at(0.0), stamp_ns=T0) for i in range(4)] == [True, True, True, False]
    assert tree.add("frame_0", at(0.0), stamp_ns=T0 + 1), "a known one goes on"


def test_lookups_are_consistent_while_another_thread_writes() -> None:
    tree = TransformTree()
    tree.add("base", at(0.0), stamp_ns=T0)
    stop = threading.Event()

    def write() -> None:
        i = 1
        while not stop.is_set():
            tree.add("base", at(float(i)), stamp_ns=T0 + i * 1000)
            i += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            newest = tree.latest_common_ns("map", "base")
            assert newest is not None
            assert x_of(tree, newest) == pytest.approx((newest - T0) / 1000)
    finally:
        stop.set()
        writer.join(5.0)
    last = tree.latest_common_ns("base", "map")
    assert last is not None
    assert torch.isfinite(tree.lookup("base", "map", last)).all()
