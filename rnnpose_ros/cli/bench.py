"""``rnnpose bench``: how long a refinement takes, stage by stage, and how much memory."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnpose_ros.cli.engine import add_engine_arguments, make_paper_refiner, refiner_of
from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from rnnpose_ros.evaluation.timing import Timing
    from rnnpose_ros.refinement.refiner import Refiner
    from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

_STANDARD_OBJECT = "package://rnnpose_ros/models/sequences/tea_box"
_STANDARD_FACES = (5120, 20480)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("bench", help="time a refinement, stage by stage")
    parser.add_argument(
        "--network",
        choices=("small", "paper"),
        default="small",
        help="small: the packaged weights on a sequence; paper: the published network on balls of --faces, "
        "with random weights unless --weights names others",
    )
    parser.add_argument(
        "--data", default=_STANDARD_OBJECT, help="small: sequence folder whose first referenced frame is used"
    )
    parser.add_argument(
        "--faces",
        type=int,
        action="append",
        choices=(1280, 5120, 20480, 81920),
        help="paper: of the mesh; may be repeated (default: 5120 and 20480)",
    )
    parser.add_argument("--objects", type=int, default=1, help="objects in the picture (the same one repeated)")
    parser.add_argument("--runs", type=int, default=20, help="timed refinements")
    parser.add_argument("--json", action="store_true", help="print one JSON line a case instead of the table")
    add_engine_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Times and prints."""
    from rnnpose_ros.evaluation.timing import time_refinement

    if args.objects < 1 or args.runs < 1:
        raise InputError(f"--objects and --runs: expected at least 1, got {args.objects} and {args.runs}")
    refiner = _refiner(args)
    for case in _cases(args):
        timing = time_refinement(refiner, *case.inputs(args.objects), runs=args.runs)
        facts = _facts(args, refiner, case, timing)
        print(json.dumps(facts) if args.json else _table(facts), flush=True)
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What is refined."""

    frame: ImageFrame
    start: PoseHypothesis
    model: ObjectModel

    def inputs(self, objects: int) -> tuple[ImageFrame, list[PoseHypothesis], dict[str, ObjectModel]]:
        return self.frame, [self.start] * objects, {self.model.label: self.model}


def _refiner(args: argparse.Namespace) -> Refiner:
    if args.network == "paper":
        return make_paper_refiner(args.weights, device=args.device, renderer=args.renderer, settings=args.set)
    return refiner_of(args)


def _cases(args: argparse.Namespace) -> Iterator[_Case]:
    if args.network == "paper":
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


def _facts(args: argparse.Namespace, refiner: Refiner, case: _Case, timing: Timing) -> dict[str, Any]:
    import torch

    from rnnpose_ros.acceleration.engines import engine_of

    config = refiner.config
    return {
        "network": _family(refiner),
        "engine": engine_of(refiner.network),
        "device": args.device,
        "renderer": args.renderer,
        "precision": "bfloat16" if getattr(refiner.network, "mixed_precision", False) else "float32",
        "threads": torch.get_num_threads(),
        "objects": args.objects,
        "cycles": config.cycles,
        "iterations": config.iterations,
        "crop_px": config.crop_size,
        "vertices": len(case.model.mesh.vertices),
        "faces": len(case.model.mesh.faces),
        "runs": timing.runs,
        "p50_ms": round(timing.wall.p50_ms, 1),
        "p95_ms": round(timing.wall.p95_ms, 1),
        "cpu_p50_ms": round(timing.cpu.p50_ms, 1),
        "cpu_p95_ms": round(timing.cpu.p95_ms, 1),
        "stages_ms": {name: round(s.p50_ms, 1) for name, s in timing.stages.items()},
        "stages_p95_ms": {name: round(s.p95_ms, 1) for name, s in timing.stages.items()},
        "peak_rss_mb": round(timing.peak_rss_mb),
    }


def _family(refiner: Refiner) -> str:
    config: Any = getattr(refiner.network, "config", None)
    return "" if config is None else config.family


def _table(facts: dict[str, Any]) -> str:
    lines = [
        f"{facts['network']} on {facts['device']} ({facts['engine']}, {facts['threads']} threads, "
        f"{facts['precision']}, {facts['renderer']}), "
        f"{facts['objects']} object(s) of {facts['faces']} faces, "
        f"{facts['cycles']} cycles x {facts['iterations']} iterations, {facts['crop_px']} px crop, "
        f"{facts['runs']} runs",
        f"  {'':10}{'p50':>9}{'p95':>9}",
    ]
    for name, ms in facts["stages_ms"].items():
        lines.append(f"  {name:10}{ms:9.1f}{facts['stages_p95_ms'][name]:9.1f} ms")
    lines.append(f"  {'whole':10}{facts['p50_ms']:9.1f}{facts['p95_ms']:9.1f} ms")
    lines.append(f"  {'processor':10}{facts['cpu_p50_ms']:9.1f}{facts['cpu_p95_ms']:9.1f} ms, all threads together")
    lines.append(f"  peak memory {facts['peak_rss_mb']:7} MB resident, loading included")
    return "\n".join(lines)
