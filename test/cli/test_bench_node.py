"""What the node's benchmark makes of a recording."""

from __future__ import annotations

import pytest

from rnnpose_ros.cli.bench_node import node_timing
from rnnpose_ros.cli.main import main
from rnnpose_ros.errors import InputError

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


@pytest.mark.slow
@pytest.mark.ros
def test_the_node_is_timed_over_ros(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--node", "--fps", "5", "--count", "40"]) == 0
    assert "a second" in capsys.readouterr().out
