"""The two soaks: a node process, a camera in this process, and what is measured of both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import theilslopes

from rnnpose_ros.cli.progress_line import ProgressLine
from rnnpose_ros.cli.soak_node import STOP_LIMIT_S, NodeProcess, domain_id, namespace
from rnnpose_ros.ros.soak_camera import SoakCamera
from rnnpose_ros.sources.perturbed import PerturbedPoses
from rnnpose_ros.sources.recorded import FrameClock, RecordedPoses
from rnnpose_ros.sources.sequence import Sequence, read_sequence
from rnnpose_ros.types import ImageFrame, PoseHypothesis

_STOP_GOAL_S = 2.0
_GROWTH_GOAL_KB_MIN = 10.0
_CYCLE_FRAMES = 6
_CYCLE_RATE_HZ = 20.0
_MOST_FRAMES = 60
_POSE_EVERY = 25
_WARM_UP_SHARE = 0.25
_REST_SPANS = 20
_MEMORY_PERIOD_S = 1.0
"""Readings come before a picture is sent, so that some find the node at rest, its free memory given back."""


@dataclass(frozen=True, slots=True)
class CyclesReport:
    """Of many starts and stops."""

    cycles: int
    slowest_stop_s: float
    median_stop_s: float
    median_start_s: float
    slow_stops: int
    """Longer than two seconds."""
    bad_codes: int
    """Ended with another code than 0."""
    tracebacks: int
    unanswered: int
    """Answered no picture before they were interrupted."""

    @property
    def holds(self) -> bool:
        """Every one ended in time, with code 0 and without a traceback, after it had worked."""
        return not (self.slow_stops or self.bad_codes or self.tracebacks or self.unanswered)


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Of a long replay; memory is the node's, after the warm-up."""

    minutes: float
    images: int
    unsent: int
    answers: int
    tracked: int
    """Answers with an object."""
    objects_per_answer: float
    latency_p50_s: float
    latency_p99_s: float
    memory_start_mb: float
    memory_end_mb: float
    growth_kb_min: float
    """See :func:`memory_growth_kb_min`."""
    newer_than_image: int
    tracebacks: int
    stop_s: float
    exit_code: int

    @property
    def holds(self) -> bool:
        """Nothing failed, nothing grew, and it ended in time."""
        is_clean = self.exit_code == 0 and not self.tracebacks and not self.newer_than_image
        return is_clean and self.answers > 0 and self.growth_kb_min < _GROWTH_GOAL_KB_MIN and self.stop_s < _STOP_GOAL_S


def soak_cycles(data: str, count: int, *, engine: str, out: Path | None, preloaded: bool = False) -> CyclesReport:
    """Start the node, feed it, interrupt it while it works; ``count`` times.

    Args:
        data: Folder of the sequence.
        count: How many times.
        engine: Of the node, see its parameter.
        out: The log of the last one goes beside this file.
        preloaded: Fork the node from a process that has imported its modules, which is many times faster.

    Raises:
        SoakError: It does not come up at all.
    """
    sequence = read_sequence(data)
    frames, label = _first_frames(sequence, 1), sequence.object.label
    starts_s, stops_s, codes, logs, unanswered = [], [], [], [], 0
    camera = SoakCamera(domain_id(), namespace())
    try:
        with ProgressLine("soak") as line:
            for i in range(count):
                node = NodeProcess(sequence, labels=[label], engine=engine, out=out, preloaded=preloaded)
                starts_s.append(node.wait_until_up(camera))
                before = camera.counts().answers
                for k in range(_CYCLE_FRAMES):
                    camera.send(frames[0], _said(sequence, 0, [label]) if k == 0 else [])
                    time.sleep(1.0 / _CYCLE_RATE_HZ)
                unanswered += not _answers_beyond(camera, before)
                stops_s.append(node.stop())
                codes.append(node.exit_code)
                logs.append(node.log_text())
                camera.wait_until_gone(timeout_s=STOP_LIMIT_S)
                line.show(f"{i + 1} of {count}, slowest stop {max(stops_s):.2f} s")
    finally:
        camera.close()
    return CyclesReport(
        cycles=count,
        slowest_stop_s=round(max(stops_s), 3),
        median_stop_s=round(float(np.median(stops_s)), 3),
        median_start_s=round(float(np.median(starts_s)), 3),
        slow_stops=sum(stop_s >= _STOP_GOAL_S for stop_s in stops_s),
        bad_codes=sum(code != 0 for code in codes),
        tracebacks=sum("Traceback" in log for log in logs),
        unanswered=unanswered,
    )


def soak_replay(
    data: str, *, minutes: float, rate_hz: float, engine: str, out: Path | None, objects: int = 1
) -> ReplayReport:
    """Play a sequence to and fro, and watch the node's memory and the age of its answers.

    Args:
        data: Folder of the sequence.
        minutes: How long.
        rate_hz: Of the pictures.
        engine: Of the node, see its parameter.
        out: Log and memory over time go beside this file.
        objects: As many objects are tracked, all with the sequence's mesh and in its place.

    Raises:
        SoakError: The node does not come up.
    """
    sequence = read_sequence(data)
    frames = _first_frames(sequence, _MOST_FRAMES)
    camera = SoakCamera(domain_id(), namespace())
    labels = [f"{sequence.object.label}_{name}" for name in range(objects)]
    node = NodeProcess(sequence, labels=labels, engine=engine, out=out)
    readings: list[tuple[float, float]] = []
    try:
        node.wait_until_up(camera)
        _play(camera, sequence, frames, node, readings, labels=labels, seconds=60.0 * minutes, rate_hz=rate_hz)
        stop_s = node.stop()
    finally:
        node.kill()
        camera.close()
    if out is not None:
        lines = [f"{second:.1f},{kilobytes:.0f}" for second, kilobytes in readings]
        out.with_suffix(".csv").write_text("\n".join(["seconds,resident_kb", *lines]) + "\n")
    counts = camera.counts()
    ages_s = np.array(counts.latencies_s or (np.nan,))
    warm = np.array(readings[int(_WARM_UP_SHARE * len(readings)) :])
    return ReplayReport(
        minutes=minutes,
        images=counts.images,
        unsent=counts.unsent,
        answers=counts.answers,
        tracked=counts.tracked,
        objects_per_answer=round(counts.objects / max(1, counts.answers), 3),
        latency_p50_s=round(float(np.percentile(ages_s, 50)), 3),
        latency_p99_s=round(float(np.percentile(ages_s, 99)), 3),
        memory_start_mb=round(float(warm[0, 1]) / 1024, 1),
        memory_end_mb=round(float(warm[-1, 1]) / 1024, 1),
        growth_kb_min=round(memory_growth_kb_min(warm[:, 0], warm[:, 1]), 2),
        newer_than_image=counts.newer_than_image,
        tracebacks=node.log_text().count("Traceback"),
        stop_s=round(stop_s, 3),
        exit_code=node.exit_code,
    )


def memory_growth_kb_min(seconds: np.ndarray, kilobytes: np.ndarray) -> float:
    """How fast memory grows that is kept between pictures.

    Of each of twenty spans the least reading counts, since a picture in the works holds tens of megabytes; of these the
    median of the slopes between all pairs, so that single steps of an allocator do not count.
    """
    spans = np.array_split(np.stack([seconds / 60.0, kilobytes]), min(_REST_SPANS, len(seconds)), axis=1)
    if len(spans) < 2:
        return 0.0
    minutes, least = zip(*((span[0].mean(), span[1].min()) for span in spans), strict=True)
    return float(theilslopes(least, minutes).slope)


def _play(
    camera: SoakCamera,
    sequence: Sequence,
    frames: list[ImageFrame],
    node: NodeProcess,
    readings: list[tuple[float, float]],
    *,
    labels: list[str],
    seconds: float,
    rate_hz: float,
) -> None:
    began = time.monotonic()
    next_reading = began
    with ProgressLine("soak") as line:
        for number, index in enumerate(_to_and_fro(len(frames))):
            now = time.monotonic()
            if now - began >= seconds or not node.is_running:
                return
            if now >= next_reading:
                memory_kb = node.memory_kb()
                if memory_kb is not None:
                    readings.append((now - began, memory_kb))
                next_reading += max(_MEMORY_PERIOD_S, seconds / 4000.0) if seconds > 60.0 else seconds / 20.0
                line.show(f"{now - began:.0f} of {seconds:.0f} s, {camera.counts().answers} answers")
            camera.send(frames[index], _said(sequence, index, labels) if number % _POSE_EVERY == 0 else [])
            time.sleep(max(0.0, began + (number + 1) / rate_hz - time.monotonic()))


def _said(sequence: Sequence, index: int, labels: list[str]) -> list[PoseHypothesis]:
    """A wrong pose of each object, where the picture's is known."""
    clock = FrameClock(sequence.fps)
    said: list[PoseHypothesis] = []
    for seed, label in enumerate(labels):
        recorded = RecordedPoses(sequence.poses, label=label, clock=clock)
        said += PerturbedPoses(recorded, clock=clock, seed=seed, scale=0.5).propose_at(index)
    return said


def _first_frames(sequence: Sequence, most: int) -> list[ImageFrame]:
    indices = range(min(most, sequence.n_frames))
    return [ImageFrame(rgb=rgb, camera=sequence.camera) for _, rgb in sequence.frames(indices)]


def _to_and_fro(number: int) -> Iterator[int]:
    """0 1 2 1 0 1 2 ...: the object never jumps."""
    while True:
        yield from range(number)
        yield from range(number - 2, 0, -1)


def _answers_beyond(camera: SoakCamera, before: int) -> bool:
    deadline = time.monotonic() + STOP_LIMIT_S
    while time.monotonic() < deadline:
        if camera.counts().answers > before:
            return True
        time.sleep(0.02)
    return False
