"""What tracking a sequence costs, picture by picture."""

from __future__ import annotations

import json
import math

import pytest

from rnnpose_ros.cli.bench_tracking import TrackedPicture, summary
from rnnpose_ros.cli.main import main
from rnnpose_ros.errors import InputError


def picture(programme: str, cpu_ms: float, *, is_tracked: bool = True, error_px: float | None = None) -> TrackedPicture:
    return TrackedPicture(programme, cpu_ms, 0.5 * cpu_ms, is_tracked, error_px)


def test_each_programme_has_its_costs_and_the_first_picture_does_not_count() -> None:
    found = summary(
        [
            picture("full", 900.0, error_px=1.0),
            *[picture("followed", 10.0 + i, error_px=6.0 if i == 3 else None) for i in range(8)],
            picture("short", 60.0, is_tracked=False, error_px=math.inf),
        ],
        fps=20.0,
    )
    assert (found["pictures"], found["tracked"], found["referenced"], found["near"]) == (10, 9, 3, 1)
    assert list(found["programmes"]) == ["followed", "short"]
    assert found["programmes"]["followed"]["cpu_mean_ms"] == 13.5
    assert (found["whole"]["pictures"], found["whole"]["over_period"], found["whole"]["cpu_p99_ms"]) == (9, 1, 60.0)


def test_one_picture_is_no_measurement() -> None:
    with pytest.raises(InputError, match="at least 2 pictures"):
        summary([picture("full", 1.0)], fps=30.0)


def test_the_packaged_sequence_is_tracked_without_ros(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("--set", "tracking.crop_size=96", "--set", "tracking.iterations=1", "--set", "refine.cycles=1")
    assert main(["bench", "--tracking", "--count", "6", "--json", *quick]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pictures"], facts["whole"]["pictures"]) == (6, 5)
    assert facts["tracked"] >= 5
    assert sum(part["pictures"] for part in facts["programmes"].values()) == 5


def test_impossible_rates_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--tracking", "--fps", "0"]) == 2
    assert "--fps" in capsys.readouterr().err
