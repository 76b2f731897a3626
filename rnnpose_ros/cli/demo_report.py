"""From a recording of the graph to the report: what was sent, what came back, what is true."""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from rnnpose_ros.cli.demo_graph import DemoSettings
from rnnpose_ros.evaluation.metrics import visible_points
from rnnpose_ros.evaluation.report import DemoRecord, DemoSummary, ErrorSummary, write_report
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.sources.recorded import FrameClock
from rnnpose_ros.sources.sequence import Sequence


def report(recording: Path, sequence: Sequence, out: Path, *, settings: DemoSettings) -> tuple[DemoSummary, str]:
    """Write the report; returns the figures and a short table.

    A record is made of every picture that the node answered from the first initial pose on, also of those
    it had nothing to say about. Pictures that it left out because it was busy are counted, not judged.

    Args:
        recording: The recorder's folder.
        sequence: What was played.
        out: Where the report goes.
        settings: How it was played.
    """
    records, played = _records(recording, sequence)
    facts = {
        "frames played": str(played),
        "frames answered": str(len(records)),
        "engine": settings.engine,
        "weights": settings.weights or "packaged small network",
        "speed of playing": "lockstep" if settings.lockstep else f"{settings.rate:g} x {sequence.fps:g} Hz",
        "machine": f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}",
    }
    summary = write_report(
        out,
        records,
        title=f"Refining {sequence.object.label} over ROS 2",
        model=sequence.object,
        camera=sequence.camera,
        facts=facts,
    )
    return summary, _table(summary, played=played, out=out)


def _records(recording: Path, sequence: Sequence) -> tuple[list[DemoRecord], int]:
    facts = json.loads((recording / "sequence.json").read_text())
    clock = FrameClock(fps=facts["fps"], start_ns=facts["start_ns"])
    visible = _VisibleSurface(sequence)
    initial = {line["stamp_ns"]: line for line in _lines(recording / "initial.jsonl")}
    transforms = {line["stamp_ns"]: line for line in _lines(recording / "transforms.jsonl")}
    since_ns = min(initial, default=math.inf)
    records = []
    for answer in _lines(recording / "detections.jsonl"):
        stamp_ns = answer["stamp_ns"]
        if stamp_ns < since_ns:
            continue
        index = facts["first"] + clock.index(stamp_ns)
        sent, found = initial.get(stamp_ns), transforms.get(stamp_ns)
        scores = [detection["score"] for detection in answer["detections"]]
        records.append(
            DemoRecord(
                index=index,
                stamp_ns=stamp_ns,
                T_initial=_pose(sent["detections"][0]) if sent and sent["detections"] else None,
                T_refined=_pose(found),
                T_reference=sequence.poses.get(index),
                status="tracked" if found else "not published",
                score=scores[0] if scores else math.nan,
                latency_ms=1e-6 * (found["heard_ns"] - stamp_ns) if found and not facts["lockstep"] else math.nan,
                overlay=_overlay(recording, stamp_ns),
                similarity=_similarity(recording, stamp_ns),
                visible_points=visible.at(index),
            )
        )
    return sorted(records, key=lambda record: record.stamp_ns), int(facts["n_frames"])


class _VisibleSurface:
    """The part of the object that the camera sees at each reference pose."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._renderer = WarpRenderer("cpu")
        self._mesh = self._renderer.upload(sequence.object.mesh)

    def at(self, index: int) -> Tensor | None:
        """Points in the object frame, metres; None where the frame has no reference pose."""
        T = self._sequence.poses.get(index)
        if T is None:
            return None
        camera = self._sequence.camera
        depth = self._renderer.render([self._mesh], T[None], camera).depth[0]
        return visible_points(depth, T, camera)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def _pose(line: dict[str, Any] | None) -> Tensor | None:
    return None if line is None else torch.tensor(line["T"], dtype=torch.float64)


def _overlay(recording: Path, stamp_ns: int) -> Path | None:
    path = recording / "overlay" / f"{stamp_ns}.jpg"
    return path if path.is_file() else None


def _similarity(recording: Path, stamp_ns: int) -> np.ndarray | None:
    path = recording / "similarity" / f"{stamp_ns}.png"
    if not path.is_file():
        return None
    values = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return None if values is None else values.astype(np.float32) / 255.0


def _table(summary: DemoSummary, *, played: int, out: Path) -> str:
    lines = [f"{summary.object}: {'':12}  median px   < 2 px   < 5 px   median mm   median deg"]
    lines += [_row("initial", summary.initial, summary.object), _row("refined", summary.refined, summary.object)]
    lines += [
        f"{played} frames played, {summary.frames} answered, {summary.frames_refined} poses on /tf "
        f"({summary.rate_hz:.1f} Hz), latency p50 {summary.latency_p50_ms:.0f} ms",
        summary.verdict,
        f"report: {out / 'report.html'}",
    ]
    return "\n".join(lines)


def _row(name: str, errors: ErrorSummary, label: str) -> str:
    return (
        f"{name:>{len(label) + 14}}  {errors.median_px:9.2f} {100 * errors.share_under_2px:7.1f}% "
        f"{100 * errors.share_under_5px:7.1f}% {errors.median_mm:11.2f} {errors.median_deg:12.2f}"
    )
