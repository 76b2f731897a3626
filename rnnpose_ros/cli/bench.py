"""``rnnpose bench``: how long a refinement takes, stage by stage, and how much memory; two engines side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.cli.bench_facts import comparison, comparison_table, facts_of, table
from rnnpose_ros.cli.engine import add_engine_arguments, load_refiner, make_paper_refiner
from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from rnnpose_ros.refinement.refiner import Refiner
    from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

_STANDARD_OBJECT = "package://rnnpose_ros/models/sequences/tea_box"
_STANDARD_FACES = (5120, 20480)
_WHOLE_WORK = ("settled_px=0", "settled_step=0", "restarts.count=0", "opinions.count=0")
"""Every refinement does all of its cycles once, whatever it finds."""
_PLOT_OBJECTS = (1, 2, 4, 8, 16)
_PLOT_FACES = (1280, 5120, 20480, 81920)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("bench", help="time a refinement, stage by stage; compare two engines")
    parser.add_argument(
        "--network",
        choices=("small", "paper"),
        default="small",
        help="small: the packaged weights; paper: the published network, with random weights unless --weights "
        "names others",
    )
    parser.add_argument("--data", default=_STANDARD_OBJECT, help="sequence folder whose first referenced frame is used")
    parser.add_argument(
        "--faces",
        type=int,
        action="append",
        choices=_PLOT_FACES,
        help="take a ball of so many faces instead; may be repeated (paper always does: 5120 and 20480)",
    )
    parser.add_argument(
        "--objects", type=int, action="append", help="objects in the picture, the same one repeated (default: 1)"
    )
    parser.add_argument("--runs", type=int, default=20, help="timed refinements")
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="alternate two engines, as ENGINE or ENGINE:PRECISION; ratio is the time of B over that of A. eager is "
        "the yardstick, torch as it is: float32 where nothing else is said",
    )
    parser.add_argument("--profile", type=Path, metavar="FILE", help="write one refinement as a Chrome trace (JSON)")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="time 1 to 16 objects of 1k to 82k faces, and draw that (SVG)"
    )
    parser.add_argument(
        "--node",
        action="store_true",
        help="play --data through the node over ROS 2: pictures answered a second, latency from picture to /tf",
    )
    parser.add_argument(
        "--tracking",
        action="store_true",
        help="track --data from one pose without ROS, no picture dropped: processor time of every programme; --set "
        "takes the node's parameters, as with --node",
    )
    parser.add_argument(
        "--fps", type=float, default=30.0, help="of --node and --tracking, pictures a second (default: 30)"
    )
    parser.add_argument("--count", type=int, default=0, help="of --node and --tracking, number of pictures; 0: all")
    parser.add_argument(
        "--params-file", type=Path, metavar="FILE", help="of --node and --tracking, the node's parameters, YAML"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line a case instead of the table")
    add_engine_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Times and prints."""
    if args.fps <= 0 or args.count < 0:
        raise InputError(f"--fps and --count: expected more than 0 and at least 0, got {args.fps} and {args.count}")
    if args.tracking:
        from rnnpose_ros.cli.bench_tracking import run_tracking

        return run_tracking(args)
    if args.node:
        from rnnpose_ros.cli.bench_node import run_node

        return run_node(args)
    args.objects = args.objects or list(_PLOT_OBJECTS if args.plot else (1,))
    if args.plot:
        args.faces = args.faces or list(_PLOT_FACES)
    if min(args.objects) < 1 or args.runs < 1:
        raise InputError(f"--objects and --runs: expected at least 1, got {min(args.objects)} and {args.runs}")
    if args.compare and (args.plot or args.profile):
        raise InputError("--compare times two engines; --plot and --profile look at one (--engine)")
    return _compare(args) if args.compare else _time(args)


def _time(args: argparse.Namespace) -> int:
    from rnnpose_ros.evaluation.start_up import measure_start_up
    from rnnpose_ros.evaluation.timing import time_refinement

    cases = list(_cases(args))
    refiner, start_up = measure_start_up(lambda: _refiner(args, args.engine, args.precision), *cases[0].inputs(1))
    measured = []
    for case in cases:
        for objects in args.objects:
            timing = time_refinement(refiner, *case.inputs(objects), runs=args.runs)
            facts = facts_of(args, refiner, case.model, objects, timing, start_up)
            measured.append(facts)
            print(json.dumps(facts) if args.json else table(facts), flush=True)
    if args.profile:
        from rnnpose_ros.evaluation.profile import write_chrome_trace

        write_chrome_trace(args.profile, refiner, *cases[0].inputs(args.objects[0]))
    if args.plot:
        from rnnpose_ros.evaluation.cost_plot import write_cost_plot

        write_cost_plot(args.plot, {(f["objects"], f["faces"]): f["p50_ms"] for f in measured})
    return 0


def _compare(args: argparse.Namespace) -> int:
    from rnnpose_ros.evaluation.timing import time_alternately

    first, second = args.compare
    if first == second:
        raise InputError(f"--compare: expected two engines, got {first!r} twice")
    refiners = {name: _refiner(args, *_side(name, args.precision)) for name in (first, second)}
    for case in _cases(args):
        for objects in args.objects:
            timings = time_alternately(refiners, *case.inputs(objects), runs=args.runs)
            both = {
                name: facts_of(args, refiners[name], case.model, objects, timing) for name, timing in timings.items()
            }
            facts = comparison(first, second, both)
            print(json.dumps(facts) if args.json else comparison_table(facts), flush=True)
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What is refined."""

    frame: ImageFrame
    start: PoseHypothesis
    model: ObjectModel

    def inputs(self, objects: int) -> tuple[ImageFrame, list[PoseHypothesis], dict[str, ObjectModel]]:
        return self.frame, [self.start] * objects, {self.model.label: self.model}


def _side(name: str, precision: str) -> tuple[str, str]:
    """Engine and precision of one side of a comparison."""
    engine, _, own = name.partition(":")
    yardstick = "float32" if engine == "eager" and precision == "auto" else precision
    return engine, own or yardstick


def _refiner(args: argparse.Namespace, engine: str, precision: str) -> Refiner:
    settings: Any = {"device": args.device, "renderer": args.renderer, "settings": [*_WHOLE_WORK, *args.set]}
    settings |= {"precision": precision, "engine": engine, "threads": args.threads}
    make = make_paper_refiner if args.network == "paper" else load_refiner
    return make(args.weights, **settings)


def _cases(args: argparse.Namespace) -> Iterator[_Case]:
    if args.network == "paper" or args.faces:
        from rnnpose_ros.evaluation.standard_case import standard_case

        for faces in sorted(args.faces or _STANDARD_FACES):
            yield _Case(*standard_case(faces))
        return
    from rnnpose_ros.sources.sequence import read_sequence
    from rnnpose_ros.types import ImageFrame, PoseHypothesis

    sequence = read_sequence(args.data)
    index = min(sequence.poses)
    frame = ImageFrame(rgb=sequence.frame(index), camera=sequence.camera)
    yield _Case(frame, PoseHypothesis(sequence.object.label, sequence.poses[index]), sequence.object)
