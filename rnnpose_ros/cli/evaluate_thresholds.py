"""``rnnpose evaluate thresholds``: what the tracker's thresholds cost and save, from what traps have recorded."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from rnnpose_ros.evaluation.trap_thresholds import ThresholdOutcome
    from rnnpose_ros.evaluation.trap_trials import TrapTrial


def add_thresholds(stages: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the stage."""
    parser = stages.add_parser(
        "thresholds", help="which of the tracker's thresholds cost availability, from rnnpose evaluate traps --out"
    )
    parser.add_argument("records", type=Path, nargs="+", metavar="FILE", help="written by rnnpose evaluate traps --out")
    parser.add_argument(
        "--tracking", action="append", default=[], metavar="NAME=VALUE", help="what is judged, e.g. recover_score=0.7"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judges the recorded trials and prints two tables."""
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.evaluation.trap_thresholds import best_thresholds, judge_trials, trials_from
    from rnnpose_ros.tracking.tracking_config import TrackingConfig

    trials: list[TrapTrial] = []
    for path in args.records:
        found = trials_from(_read(path))
        # Episodes of several recordings must not run into each other.
        first = 1 + max((trial.episode for trial in trials), default=-1)
        trials += [dataclasses.replace(trial, episode=first + trial.episode) for trial in found]
    config = build(TrackingConfig, parse_settings(args.tracking))
    print(_losses(judge_trials(trials, config)))
    print()
    print(_front(best_thresholds(trials, config)))
    return 0


def _read(path: Path) -> list[dict[str, Any]]:
    """
    Raises:
        InputError: The file is none of ours.
    """
    try:
        trials: list[dict[str, Any]] = json.loads(path.read_text())["trials"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected what rnnpose evaluate traps --out writes ({error})") from error
    return trials


def _losses(outcome: ThresholdOutcome) -> str:
    config, losses = outcome.config, outcome.losses
    rows = [
        ("right and published", losses.answered),
        ("refined wrong: no threshold helps", losses.refined_wrong),
        ("right, but failed or under refine.min_score", losses.failed),
        (f"right, under recover_score {config.recover_score:g} or lost_score {config.lost_score:g}", losses.low_score),
        (f"right, but above max_uncertainty {config.max_uncertainty:g}", losses.unsure),
        (f"right, but above max_translation {config.max_translation:g} or max_rotation {config.max_rotation:g}",
         losses.ran_away),
    ]  # fmt: skip
    lines = [f"{losses.fair} pictures that an answer is due for; {outcome.published} published, {outcome.wrong} wrong"]
    return "\n".join(
        lines + [f"{number:6} {100 * number / max(1, losses.fair):5.1f} %  {text}" for text, number in rows]
    )


def _front(outcomes: list[ThresholdOutcome]) -> str:
    lines = ["wrong  published  availability  recover_score  lost_score  max_uncertainty"]
    for o in outcomes:
        c = o.config
        lines.append(
            f"{o.wrong:5}{o.published:11}{100 * o.availability:12.1f} %{c.recover_score:15g}{c.lost_score:12g}"
            f"{c.max_uncertainty:17g}"
        )
    return "\n".join(lines)
