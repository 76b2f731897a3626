"""What the node's benchmark makes of a recording."""

from __future__ import annotations

import pytest
import torch

from rnnpose_ros.cli.bench_node import node_accuracy, node_timing
from rnnpose_ros.cli.main import main
from rnnpose_ros.errors import InputError
from rnnpose_ros.sources.recorded import FrameClock
from rnnpose_ros.sources.sequence import read_sequence

MS = 1_000_000


def lines(latencies_ms: list[float], *, period_ms: float = 40.0) -> list[dict[str, int]]:
    stamps = [round(i * period_ms * MS) for i in range(len(latencies_ms))]
    return [{"stamp_ns": s, "heard_ns": s + round(late * MS)} for s, late in zip(stamps, latencies_ms, strict=True)]


def test_rate_latency_and_growth_come_from_stamps_and_arrivals() -> None:
    timing = node_timing(lines([20.0] * 50 + [25.0] * 49 + [90.0]), played=120)
    assert (timing.played, timing.answered) == (120, 100)
    assert timing.fps == pytest.approx(99 / (99 * 0.040 + 0.070))
    assert (timing.latency_p50_ms, timing.latency_p99_ms) == (25.0, 90.0)
    assert timing.growth_ms == 5.0


def test_a_picture_counts_once_however_many_objects_are_in_it() -> None:
    twice = [line for line in lines([10.0] * 30) for _ in range(2)]
    twice[1] = {**twice[1], "heard_ns": twice[1]["heard_ns"] + 500 * MS}
    timing = node_timing(twice, played=30)
    assert timing.answered == 30
    assert timing.latency_p99_ms == 10.0, "the first transform of each picture"


def test_too_few_answers_are_no_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="only 3 pictures were answered"):
        node_timing(lines([10.0] * 3), played=100)
    assert main(["bench", "--node", "--fps", "0"]) == 2
    assert "--fps" in capsys.readouterr().err


def test_what_was_not_answered_is_not_near() -> None:
    sequence = read_sequence("package://rnnpose_ros/models/sequences/tea_box")
    clock = FrameClock(fps=30.0, start_ns=10**9)
    known = sorted(sequence.poses)[2:6]
    off = torch.eye(4, dtype=torch.float64)
    off[0, 3] = 0.05
    poses = [sequence.poses[known[0]], sequence.poses[known[1]], off @ sequence.poses[known[2]]]
    lines = [
        {"stamp_ns": clock.stamp_ns(index - known[0]), "T": T.tolist()} for index, T in zip(known, poses, strict=False)
    ]
    count = known[-1] - known[0] + 1
    found = node_accuracy(lines, sequence, clock=clock, first=known[0], count=count)
    assert found == {"referenced": 4, "near": 2}


@pytest.mark.slow
@pytest.mark.ros
def test_the_node_is_timed_over_ros(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--node", "--fps", "5", "--count", "40"]) == 0
    assert "a second" in capsys.readouterr().out
