"""``rnnpose bench``: how long a refinement takes, stage by stage."""

from __future__ import annotations

import argparse
import json

from rnnpose_ros.cli.engine import add_engine_arguments, load_refiner

_STANDARD_OBJECT = "package://rnnpose_ros/models/sequences/tea_box"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("bench", help="time a refinement, stage by stage")
    parser.add_argument("--data", default=_STANDARD_OBJECT, help="sequence folder whose first referenced frame is used")
    parser.add_argument("--objects", type=int, default=1, help="objects in the picture (the same one repeated)")
    parser.add_argument("--runs", type=int, default=20, help="timed refinements")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of the table")
    add_engine_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Times and prints."""
    import torch

    from rnnpose_ros.evaluation.benchmark import time_refinement
    from rnnpose_ros.sources.sequence import read_sequence
    from rnnpose_ros.types import ImageFrame, PoseHypothesis

    sequence = read_sequence(args.data)
    refiner = load_refiner(args.weights, device=args.device, precision=args.precision, settings=args.set)
    index = min(sequence.poses)
    frame = ImageFrame(rgb=sequence.frame(index), camera=sequence.camera)
    label = sequence.object.label
    hypotheses = [PoseHypothesis(label, sequence.poses[index])] * args.objects
    timing = time_refinement(refiner, frame, hypotheses, {label: sequence.object}, runs=args.runs)
    config = refiner.config
    facts = {
        "network": refiner.network.config.family,
        "device": args.device,
        "precision": "bfloat16" if getattr(refiner.network, "mixed_precision", False) else "float32",
        "threads": torch.get_num_threads(),
        "objects": args.objects,
        "cycles": config.cycles,
        "iterations": config.iterations,
        "crop_px": config.crop_size,
        "faces": len(sequence.object.mesh.faces),
        "p50_ms": round(timing.p50_ms, 1),
        "p95_ms": round(timing.p95_ms, 1),
        "stages_ms": {name: round(ms, 1) for name, ms in timing.stages_ms.items()},
    }
    if args.json:
        print(json.dumps(facts))
        return 0
    print(
        f"{facts['network']} on {args.device} ({facts['threads']} threads, {facts['precision']}), "
        f"{args.objects} object(s), "
        f"{facts['faces']} faces, {config.cycles} cycles x {config.iterations} iterations, {config.crop_size} px crop"
    )
    for name, ms in timing.stages_ms.items():
        print(f"  {name:8}{ms:8.1f} ms")
    print(f"  {'whole':8}{timing.p50_ms:8.1f} ms (p50), {timing.p95_ms:.1f} ms (p95) over {timing.runs} runs")
    return 0
