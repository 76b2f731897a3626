"""``rnnpose evaluate traps``: how often something wrong would be published, on pictures made to tempt."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.cli.engine import add_engine_arguments, refiner_of

if TYPE_CHECKING:
    from rnnpose_ros.evaluation.traps import TrapPictureResult
    from rnnpose_ros.tracking.tracking_config import TrackingConfig

_WRITE_EVERY_S = 60.0


def add_traps(stages: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the stage."""
    parser = stages.add_parser("traps", help="count wrong poses that would be published, on pictures made to tempt")
    parser.add_argument("--pictures", type=int, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--published", type=int, help="go on until so many poses were published, instead")
    parser.add_argument(
        "--follow",
        type=int,
        default=0,
        help="as long as something is published, an episode of four pictures goes on for so many more at most; "
        "no answer is due for them (default: %(default)s)",
    )
    parser.add_argument("--mesh", type=Path, action="append", default=[], help="an object; default: random ones")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the counts and every answer as JSON")
    parser.add_argument(
        "--tracking", action="append", default=[], metavar="NAME=VALUE", help="the node's, e.g. recover_score=0.7"
    )
    add_engine_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plays the traps and prints the table."""
    from rnnpose_ros.cli.progress_line import ProgressLine, remaining_time
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.evaluation.trap_scenes import TrapScenes
    from rnnpose_ros.evaluation.traps import run_traps
    from rnnpose_ros.objects.library import load_object
    from rnnpose_ros.tracking.tracking_config import TrackingConfig

    config = build(TrackingConfig, parse_settings(args.tracking))
    refiner = refiner_of(args)
    scenes = TrapScenes(refiner.renderer, models=[load_object(path) for path in args.mesh], seed=args.seed)
    results: list[TrapPictureResult] = []
    began = written = time.monotonic()
    asked, done = args.published or args.pictures, 0
    pictures = sys.maxsize if args.published else args.pictures
    with ProgressLine("traps") as line:
        for result in run_traps(refiner, scenes, pictures=pictures, config=config, follow=args.follow):
            results.append(result)
            done += sum(answer.published for answer in result.answers) if args.published else 1
            line.show(f"{done}/{asked}{remaining_time(began, done=done, missing=asked - done)}")
            if time.monotonic() - written > _WRITE_EVERY_S:
                _write(args, results, config)
                written = time.monotonic()
            if done >= asked:
                break
    _write(args, results, config)
    print(_table(results))
    return 0


def _write(args: argparse.Namespace, results: Sequence[TrapPictureResult], config: TrackingConfig) -> None:
    """What was seen so far: a long run that is stopped has not run for nothing."""
    if args.out is None:
        return
    settings = {
        "seed": args.seed,
        "follow": args.follow,
        "tracking": dataclasses.asdict(config),
        "meshes": [str(m) for m in args.mesh],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(_report(results, settings), indent=1))


def _by_kind(results: Sequence[TrapPictureResult]) -> dict[str, list[TrapPictureResult]]:
    kinds: dict[str, list[TrapPictureResult]] = {}
    for result in results:
        kinds.setdefault(result.kind, []).append(result)
    return {**kinds, "all": list(results)}


def _report(results: Sequence[TrapPictureResult], settings: dict[str, Any]) -> dict[str, Any]:
    """What is written: numbers that are none become null."""
    from rnnpose_ros.evaluation.traps import summarize_traps

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, tuple):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    kinds = {}
    for kind, part in _by_kind(results).items():
        summary = summarize_traps(part)
        rates = {"availability": summary.availability, "coverage": summary.coverage}
        kinds[kind] = plain({**dataclasses.asdict(summary), **rates})
    answers = [plain(dataclasses.asdict(answer)) for result in results for answer in result.answers]
    trials = [plain(dataclasses.asdict(trial)) for result in results for trial in result.trials]
    return {"settings": settings, "kinds": kinds, "answers": answers, "trials": trials}


def _table(results: Sequence[TrapPictureResult]) -> str:
    from rnnpose_ros.evaluation.traps import summarize_traps

    lines = ["kind          pictures  published  wrong  availability  95 % ellipsoid"]
    for kind, part in _by_kind(results).items():
        s = summarize_traps(part)
        rates = [f"{100 * rate:.1f} %" if math.isfinite(rate) else "-" for rate in (s.availability, s.coverage)]
        lines.append(f"{kind:12}{s.pictures:10}{s.published:11}{s.wrong:7}{rates[0]:>14}{rates[1]:>16}")
    return "\n".join(lines)
