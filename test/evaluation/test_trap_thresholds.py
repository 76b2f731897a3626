"""Thresholds judged anew on recorded trials: what they let pass, what they cost, which serve better."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from rnnpose_ros.cli.main import main
from rnnpose_ros.evaluation.trap_thresholds import best_thresholds, judge_trials, trials_from
from rnnpose_ros.evaluation.trap_trials import TrapTrial
from rnnpose_ros.tracking.tracking_config import TrackingConfig

CONFIG = TrackingConfig(max_uncertainty=0.1)
RIGHT = TrapTrial(
    kind="clear",
    episode=0,
    picture=0,
    is_fair=True,
    is_track=False,
    is_usable=True,
    score=0.9,
    uncertainty=0.05,
    moved_m=0.05,
    turned_rad=0.3,
    error_diameters=0.02,
    mahalanobis_squared=5.0,
    measures=None,
)
UNSURE = dataclasses.replace(RIGHT, uncertainty=0.15)
WRONG = dataclasses.replace(RIGHT, is_fair=False, kind="wrong start", score=0.7, error_diameters=0.5)
ABSENT = dataclasses.replace(WRONG, kind="absent", error_diameters=math.nan)


def one_by_one(*trials: TrapTrial) -> list[TrapTrial]:
    """Each in an episode of its own."""
    return [dataclasses.replace(trial, episode=i) for i, trial in enumerate(trials)]


@pytest.mark.parametrize(
    ("trial", "cost"),
    [
        (RIGHT, "answered"),
        (UNSURE, "unsure"),
        (dataclasses.replace(RIGHT, uncertainty=math.nan), "unsure"),
        (dataclasses.replace(RIGHT, is_usable=False), "failed"),
        (dataclasses.replace(RIGHT, score=0.5), "low_score"),
        (dataclasses.replace(RIGHT, moved_m=0.3), "ran_away"),
        (dataclasses.replace(RIGHT, turned_rad=1.0), "ran_away"),
        (dataclasses.replace(RIGHT, error_diameters=0.2), "refined_wrong"),
    ],
)
def test_every_fair_picture_without_an_answer_has_its_reason(trial: TrapTrial, cost: str) -> None:
    losses = judge_trials([trial], CONFIG).losses
    assert {field.name: getattr(losses, field.name) for field in dataclasses.fields(losses)} == {
        **dict.fromkeys((field.name for field in dataclasses.fields(losses)), 0),
        "fair": 1,
        cost: 1,
    }


def test_what_is_followed_needs_the_lower_score_only() -> None:
    weak = dataclasses.replace(RIGHT, picture=1, score=0.4)
    assert judge_trials([RIGHT, weak], CONFIG).losses.answered == 2
    assert judge_trials([dataclasses.replace(RIGHT, score=0.5), weak], CONFIG).losses.answered == 0
    assert judge_trials(one_by_one(RIGHT, weak), CONFIG).losses.answered == 1


def test_what_cannot_be_seen_is_wrong_wherever_it_is_said_to_be() -> None:
    outcome = judge_trials(one_by_one(RIGHT, WRONG, ABSENT), CONFIG)
    assert (outcome.published, outcome.wrong, outcome.losses.fair, outcome.availability) == (3, 2, 1, 1.0)


def test_the_best_thresholds_keep_the_wrong_out_and_let_the_right_through() -> None:
    trials = one_by_one(RIGHT, UNSURE, WRONG, ABSENT, dataclasses.replace(WRONG, score=0.89, uncertainty=0.4))
    front = best_thresholds(trials, CONFIG)
    assert (front[0].wrong, front[0].availability) == (0, 1.0)
    assert front[0].config.recover_score == 0.9
    assert front[0].config.max_uncertainty == 0.15
    assert front[0].config.lost_score == CONFIG.lost_score
    assert len(front) == 1, "more wrong poses bring nothing here"
    harder = [*trials, *(dataclasses.replace(t, episode=9) for t in (dataclasses.replace(UNSURE, is_fair=False,
              error_diameters=0.3),))]  # fmt: skip
    assert [(o.wrong, o.availability) for o in best_thresholds(harder, CONFIG)] == [(0, 0.5), (1, 1.0)]


def test_recordings_are_read_back_and_judged_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [dataclasses.asdict(trial) for trial in one_by_one(RIGHT, ABSENT)]
    for row in rows:
        row["error_diameters"] = row["error_diameters"] if math.isfinite(row["error_diameters"]) else None
    assert trials_from(rows)[0] == RIGHT
    assert math.isnan(trials_from(rows)[1].error_diameters)
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path in paths:
        path.write_text(json.dumps({"trials": rows}))
    assert main(["evaluate", "thresholds", *map(str, paths), "--tracking", "recover_score=0.8"]) == 0
    said = capsys.readouterr().out
    assert "2 pictures that an answer is due for; 2 published, 0 wrong" in said
    assert main(["evaluate", "thresholds", str(tmp_path / "none.json")]) == 2
