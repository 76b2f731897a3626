"""``rnnpose soak``: the refiner started and stopped many times, or fed for a long time."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from rnnpose_ros.errors import InputError
from rnnpose_ros.paths import resolve_path

_SEQUENCE = "package://rnnpose_ros/models/sequences/tea_box"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("soak", help="start and stop the refiner node many times, or feed it for long")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    cycles = kinds.add_parser("cycles", help="start the node, feed it, interrupt it; does it end in time, every time?")
    cycles.add_argument("--count", type=int, default=1000, help="how many times")
    cycles.add_argument(
        "--preloaded", action="store_true", help="fork the node from a process that has imported its modules: faster"
    )
    replay = kinds.add_parser("replay", help="play a sequence to and fro; does memory grow, is anything late?")
    replay.add_argument("--minutes", type=float, default=30.0, help="how long; the first quarter is to warm up")
    replay.add_argument("--objects", type=int, default=3, help="how many, all with the sequence's mesh")
    replay.add_argument("--rate", type=float, default=5.0, help="pictures a second")
    for kind in (cycles, replay):
        default = "fake" if kind is cycles else "auto"
        kind.add_argument("--engine", default=default, help="of the node, see its parameter engine")
        kind.add_argument("--data", default=_SEQUENCE, help="folder of the sequence that is played")
        kind.add_argument(
            "--out",
            type=Path,
            help="write the report here as JSON, the node's log and the memory over time (CSV) beside it",
        )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Soaks and prints; 0 when everything held."""
    from rnnpose_ros.cli.soak_runs import soak_cycles, soak_replay
    from rnnpose_ros.ros.fastdds_profile import PACKAGED_PROFILE, profile_in_use, profile_variable

    if not profile_in_use(os.environ):
        os.environ[profile_variable(os.environ)] = str(resolve_path(PACKAGED_PROFILE))
    if args.kind == "cycles":
        if args.count < 1:
            raise InputError(f"--count: expected at least 1, got {args.count}")
        report: Any = soak_cycles(args.data, args.count, engine=args.engine, out=args.out, preloaded=args.preloaded)
    else:
        if not (args.minutes > 0 and args.rate > 0):
            raise InputError(f"--minutes and --rate: expected more than 0, got {args.minutes:g} and {args.rate:g}")
        if args.objects < 1:
            raise InputError(f"--objects: expected at least 1, got {args.objects}")
        report = soak_replay(
            args.data,
            minutes=args.minutes,
            rate_hz=args.rate,
            objects=args.objects,
            engine=args.engine,
            out=args.out,
        )
    facts = {**dataclasses.asdict(report), "holds": report.holds}
    if args.out is not None:
        args.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))
    return 0 if report.holds else 1
