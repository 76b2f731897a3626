"""``rnnpose bench --node``: the node itself over ROS 2, from the picture's stamp to its transform on ``/tf``."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.cli.bench_tracking import NEAR_PX, error_px
from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from rnnpose_ros.sources.recorded import FrameClock
    from rnnpose_ros.sources.sequence import Sequence as PictureSequence

_QUIET_DEBUG = {"debug.max_rate": 0.01}
"""The recorder listens to debug pictures; drawing them is not what is measured."""
_LEAST_ANSWERS = 10


@dataclass(frozen=True, slots=True)
class NodeTiming:
    """What came out of the node while pictures went in."""

    played: int
    answered: int
    """Pictures that got a transform."""
    fps: float
    """Answered pictures a second, from the first answer to the last."""
    latency_p50_ms: float
    latency_p99_ms: float
    """From the picture's stamp, when it is due to be sent, to the arrival of its transform at another process."""
    growth_ms: float
    """Median latency of the last third of the answers, less that of the first: a queue that builds up shows here."""


def run_node(args: argparse.Namespace) -> int:
    """Plays the sequence through the node, and prints what it measured."""
    from rnnpose_ros.cli.demo_graph import DemoSettings, play
    from rnnpose_ros.cli.settings import node_settings
    from rnnpose_ros.sources.recorded import FrameClock
    from rnnpose_ros.sources.sequence import read_sequence

    sequence = read_sequence(args.data)
    settings = DemoSettings(
        weights=str(args.weights or ""),
        device=args.device,
        every=0,
        noise_scale=0.2,
        rate=args.fps / sequence.fps,
        first=min(sequence.poses),
        count=args.count,
        engine=args.engine,
        refiner={
            **_QUIET_DEBUG,
            "threads": args.threads,
            "precision": args.precision,
            **node_settings(args.params_file, args.set),
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        recording = play(sequence, Path(folder), settings=settings)
        transforms = _lines(recording / "transforms.jsonl")
        sent = json.loads((recording / "sequence.json").read_text())
    played = args.count or sequence.n_frames - settings.first
    timing = node_timing(transforms, played=played)
    clock = FrameClock(fps=sent["fps"], start_ns=sent["start_ns"])
    facts = {
        "engine": args.engine,
        "data": str(args.data),
        "sent_fps": args.fps,
        **_rounded(timing),
        **node_accuracy(transforms, sequence, clock=clock, first=settings.first, count=played),
    }
    print(json.dumps(facts) if args.json else _table(facts), flush=True)
    return 0


def node_timing(transforms: Sequence[Mapping[str, Any]], *, played: int) -> NodeTiming:
    """From the recorder's lines.

    Args:
        transforms: With ``stamp_ns`` of the picture and ``heard_ns`` of the arrival, in order.
        played: Pictures that were sent.

    Raises:
        InputError: Too few transforms came to say anything.
    """
    from rnnpose_ros.evaluation.timing import spread

    first = {line["stamp_ns"]: line["heard_ns"] for line in reversed(transforms)}
    heard = sorted((stamp, arrived) for stamp, arrived in first.items())
    if len(heard) < _LEAST_ANSWERS:
        raise InputError(f"only {len(heard)} pictures were answered: the node lost the object, or did not keep up")
    latencies = [1e-6 * (arrived - stamp) for stamp, arrived in heard]
    whole, third = spread(latencies), len(latencies) // 3
    duration_s = 1e-9 * (heard[-1][1] - heard[0][1])
    return NodeTiming(
        played=played,
        answered=len(heard),
        fps=(len(heard) - 1) / max(duration_s, 1e-9),
        latency_p50_ms=whole.p50_ms,
        latency_p99_ms=whole.p99_ms,
        growth_ms=spread(latencies[-third:]).p50_ms - spread(latencies[:third]).p50_ms,
    )


def node_accuracy(
    transforms: Sequence[Mapping[str, Any]], sequence: PictureSequence, *, clock: FrameClock, first: int, count: int
) -> dict[str, int]:
    """How many pictures with a known pose were played, and how many of them were answered within 5 px of it.

    Args:
        transforms: The recorder's lines, with ``stamp_ns`` of the picture and the pose ``T``.
        sequence: What was played.
        clock: By which the player stamped it.
        first: Index of the first picture that was played.
        count: Of pictures.
    """
    import torch

    found = {first + clock.index(line["stamp_ns"]): torch.tensor(line["T"], dtype=torch.float64) for line in transforms}
    known = {index for index in sequence.poses if first <= index < first + count}
    errors = [error_px(found.get(index), sequence, index) for index in known]
    return {"referenced": len(known), "near": sum(error is not None and error < NEAR_PX for error in errors)}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _rounded(timing: NodeTiming) -> dict[str, Any]:
    return {
        "played": timing.played,
        "answered": timing.answered,
        "fps": round(timing.fps, 1),
        "latency_p50_ms": round(timing.latency_p50_ms, 1),
        "latency_p99_ms": round(timing.latency_p99_ms, 1),
        "latency_growth_ms": round(timing.growth_ms, 1),
    }


def _table(facts: Mapping[str, Any]) -> str:
    return (
        f"node ({facts['engine']}) on {facts['data']}, {facts['played']} pictures sent at {facts['sent_fps']:g} Hz\n"
        f"  answered {facts['answered']}, {facts['fps']:.1f} a second\n"
        f"  picture to /tf: p50 {facts['latency_p50_ms']:.1f} ms, p99 {facts['latency_p99_ms']:.1f} ms, "
        f"growth over the run {facts['latency_growth_ms']:.1f} ms\n"
        f"  within {NEAR_PX:g} px in {facts['near']} of {facts['referenced']} with a known pose, not answered ones too"
    )
