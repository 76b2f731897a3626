"""``rnnpose bench --tracking``: a sequence tracked picture by picture, without ROS and without dropping one."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from rnnpose_ros.ros.parameters import NodeConfig
    from rnnpose_ros.sources.sequence import Sequence as PictureSequence
    from rnnpose_ros.types import PoseHypothesis, RefinementResult

_NS_PER_S = 1e9
_START_NOISE = 0.2
"""Of the first pose, in units of N1."""
NEAR_PX = 5.0


@dataclass(frozen=True, slots=True)
class TrackedPicture:
    """What one picture cost, and what came of it."""

    programme: str
    """What was done: full, short, followed, "followed in vain, short", "followed, then short", or nothing."""
    cpu_ms: float
    """Of all threads together."""
    answer_ms: float
    """The part of it before the answer could be published."""
    is_tracked: bool
    error_px: float | None
    """Projection error over all vertices; infinite where nothing is tracked, None where no pose is known."""


def run_tracking(args: argparse.Namespace) -> int:
    """Tracks the sequence, and prints what each programme cost."""
    from rnnpose_ros.cli.settings import node_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.ros.parameters import NodeConfig
    from rnnpose_ros.sources.sequence import read_sequence

    sequence = read_sequence(args.data)
    asked = {"engine": args.engine, "device": args.device, "threads": args.threads, "precision": args.precision}
    weights = {"weights": str(args.weights)} if args.weights else {}
    given = node_settings(args.params_file, args.set)
    config = build(NodeConfig, {**asked, **weights, "renderer": args.renderer, **given})
    pictures = list(track_sequence(sequence, config, fps=args.fps, count=args.count))
    facts = {"engine": args.engine, "data": str(args.data), "fps": args.fps, **summary(pictures, fps=args.fps)}
    print(json.dumps(facts) if args.json else _table(facts), flush=True)
    return 0


def track_sequence(
    sequence: PictureSequence, config: NodeConfig, *, fps: float, count: int = 0
) -> Iterator[TrackedPicture]:
    """Tracks from one pose, that of the first picture with a known one.

    Args:
        sequence: Pictures and what is known of them.
        config: The node's.
        fps: Pictures a second, for what the tracker does by time.
        count: Of pictures; 0: all.
    """
    from rnnpose_ros.ros.loading import load_engines, warm_up_programmes
    from rnnpose_ros.sources.perturbed import PerturbedPoses
    from rnnpose_ros.sources.recorded import FrameClock, RecordedPoses
    from rnnpose_ros.tracking.programme import refine_starts
    from rnnpose_ros.tracking.tracker import Tracker
    from rnnpose_ros.types import ImageFrame

    model, first, clock = sequence.object, min(sequence.poses), FrameClock(fps)
    objects = {model.label: model}
    engines = load_engines(config)
    warm_up_programmes(engines, config, objects)

    def refine(frame: ImageFrame, starts: Sequence[PoseHypothesis]) -> list[RefinementResult]:
        return refine_starts(engines.full, frame, starts, objects, config.tracking, short=engines.short)

    tracker = Tracker(config.tracking, config.initial_pose, objects=objects)
    recorded = RecordedPoses(sequence.poses, label=model.label, clock=clock)
    begin = PerturbedPoses(recorded, clock=clock, seed=0, scale=_START_NOISE).propose_at(first)
    end = min(sequence.n_frames, first + count) if count else sequence.n_frames
    for index, rgb in sequence.frames(range(first, end)):
        frame = ImageFrame(rgb=rgb, camera=sequence.camera)
        started = time.process_time()
        starts = tracker.begin_frame(round(_NS_PER_S * (1.0 + index / fps)), begin if index == first else [])
        results = refine(frame, starts)
        outcome = tracker.end_frame(results)
        answered = time.process_time()
        looks = tracker.begin_look()
        if looks:
            tracker.end_look(refine(frame, looks))
        yield TrackedPicture(
            programme=_programme(starts, results) + (", then short" if looks else ""),
            cpu_ms=1e3 * (time.process_time() - started),
            answer_ms=1e3 * (answered - started),
            is_tracked=bool(outcome.tracked),
            error_px=error_px(next((o.result.T_camera_object for o in outcome.tracked), None), sequence, index),
        )


def _programme(starts: Sequence[PoseHypothesis], results: Sequence[RefinementResult]) -> str:
    """The dearest that was done."""
    from rnnpose_ros.tracking.track import TRACK_SOURCE

    if not starts:
        return "nothing"
    if any(start.source != TRACK_SOURCE for start in starts):
        return "full"
    if not any(result.by_network for result in results):
        return "followed"
    return "short" if all(start.measures is None for start in starts) else "followed in vain, short"


def error_px(T_camera_object: Tensor | None, sequence: PictureSequence, index: int) -> float | None:
    """Projection error over all vertices; infinite where no pose was found, None where none is known."""
    from rnnpose_ros.evaluation.metrics import pose_errors

    if index not in sequence.poses:
        return None
    if T_camera_object is None:
        return math.inf
    found, truth = T_camera_object[None], sequence.poses[index][None]
    return float(pose_errors(found, truth, model=sequence.object, camera=sequence.camera).projection_px[0])


def summary(pictures: Sequence[TrackedPicture], *, fps: float) -> dict[str, Any]:
    """What all of it came to; processor times without the first picture, which is an object's first.

    Args:
        pictures: In order.
        fps: Pictures a second; a picture that takes longer than one of them is counted.

    Raises:
        InputError: There are too few to say anything.
    """

    if len(pictures) < 2:
        raise InputError(f"expected at least 2 pictures from the first known pose on, got {len(pictures)}")
    costs: dict[str, list[float]] = {}
    for picture in pictures[1:]:
        costs.setdefault(picture.programme, []).append(picture.cpu_ms)
    whole = [cost for part in costs.values() for cost in part]
    errors = [picture.error_px for picture in pictures if picture.error_px is not None]
    return {
        "pictures": len(pictures),
        "tracked": sum(picture.is_tracked for picture in pictures),
        "referenced": len(errors),
        "near": sum(error < NEAR_PX for error in errors),
        "programmes": {name: _costs(part, fps) for name, part in sorted(costs.items(), key=lambda item: -len(item[1]))},
        "whole": _costs(whole, fps),
        "answer": _costs([picture.answer_ms for picture in pictures[1:]], fps),
    }


def _costs(milliseconds: Sequence[float], fps: float) -> dict[str, Any]:
    from rnnpose_ros.evaluation.timing import spread

    found, period_ms = spread(milliseconds), 1e3 / fps
    return {
        "pictures": len(milliseconds),
        "cpu_mean_ms": round(sum(milliseconds) / len(milliseconds), 1),
        "cpu_p50_ms": round(found.p50_ms, 1),
        "cpu_p95_ms": round(found.p95_ms, 1),
        "cpu_p99_ms": round(found.p99_ms, 1),
        "over_period": sum(cost > period_ms for cost in milliseconds),
    }


def _table(facts: Mapping[str, Any]) -> str:
    period_ms = 1e3 / facts["fps"]
    lines = [
        f"tracking ({facts['engine']}) on {facts['data']}, {facts['pictures']} pictures as at {facts['fps']:g} Hz",
        f"  tracked in {facts['tracked']}, within {NEAR_PX:g} px in {facts['near']} of {facts['referenced']} with a "
        "known pose",
        f"  {'processor, ms':24}{'pictures':>9}{'mean':>8}{'p50':>8}{'p95':>8}{'p99':>8}{f'> {period_ms:.0f}':>8}",
    ]
    for name, c in {**facts["programmes"], "whole": facts["whole"], "to the answer": facts["answer"]}.items():
        lines.append(
            f"  {name:24}{c['pictures']:9}{c['cpu_mean_ms']:8.1f}{c['cpu_p50_ms']:8.1f}{c['cpu_p95_ms']:8.1f}"
            f"{c['cpu_p99_ms']:8.1f}{c['over_period']:8}"
        )
    return "\n".join(lines)
