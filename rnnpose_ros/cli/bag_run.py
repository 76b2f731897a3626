"""Works through a recording: reads, refines, writes, reports."""

from __future__ import annotations

import logging
import platform
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rnnpose_ros.cli.progress_line import ProgressLine
from rnnpose_ros.errors import InputError
from rnnpose_ros.evaluation.bag_report import BagSummary, PictureRecord, write_bag_report
from rnnpose_ros.ros.bags.bag_file import BagReader, BagWriter
from rnnpose_ros.ros.bags.output import BagOutput
from rnnpose_ros.ros.bags.replay import BagReplay, ReplaySettings
from rnnpose_ros.ros.bags.topics import ChosenTopics, TopicWishes, choose_topics
from rnnpose_ros.ros.debug_pictures import DebugPainter
from rnnpose_ros.ros.loading import load_engines, load_objects, picture_features
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.pipeline import FrameAnswer, RefinementPipeline
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.tracking.track import FrameOutcome
from rnnpose_ros.tracking.transform_tree import TransformTree

logger = logging.getLogger(__name__)

_REPORT_PICTURES = 24
"""Overlays drawn for the report, evenly over the recording; it shows a dozen of those with poses."""
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class BagRun:
    """What ``rnnpose bag`` was asked for; see its ``--help``."""

    recording: Path
    out: Path
    config: NodeConfig
    wishes: TopicWishes = TopicWishes()
    settings: ReplaySettings = ReplaySettings()
    storage: str = "mcap"
    writes_pictures: bool = False
    name: str = "/rnnpose"
    overwrites: bool = False


def list_topics(recording: Path) -> str:
    """A table of a recording's topics."""
    with BagReader(recording) as bag:
        topics = sorted(bag.topics.values(), key=lambda topic: topic.name)
        begin_ns, end_ns = bag.span_ns
    lines = [f"{topic.count:8d}  {topic.name}  {topic.kind}" for topic in topics]
    return "\n".join([*lines, f"{(end_ns - begin_ns) / _NS_PER_S:.1f} s"])


def refine_recording(run: BagRun) -> BagSummary:
    """Refine every picture; write ``poses/`` (a recording), ``report.html``, ``poses.csv``, ``summary.json``.

    An interrupt ends the work early, and what was done is written.

    Raises:
        InputError: The recording cannot be used, or is damaged; what came before the damage is written.
        RnnposeError: Objects, weights or device cannot be used.
    """
    with BagReader(run.recording) as bag:
        topics = choose_topics(bag.topics, run.wishes)
        roles = _roles(topics)
        for role, name in roles.items():
            print(f"{role}: {name}", file=sys.stderr)
        objects = load_objects(run.config)
        engines = load_engines(run.config)
        reporter = Reporter(logger)
        frames = TransformTree()
        pipeline = RefinementPipeline(
            run.config, engines, objects, image_topic=topics.image_name, reporter=reporter, frames=frames
        )
        replay = BagReplay(bag, topics, pipeline, frames, run.settings)
        painter = DebugPainter(objects, lambda: picture_features(engines.full, run.config))
        started = time.perf_counter()
        with BagWriter(_folder_of_results(run), storage=run.storage) as writer:
            output = BagOutput(writer, objects, run.config, name=run.name)
            loop = _Loop(run, bag, replay, output, painter)
            damage = loop.work()
    summary = write_bag_report(
        run.out,
        loop.records,
        recording=run.recording.name,
        run_s=time.perf_counter() - started,
        reasons={reason.value: count for reason, count in reporter.counts.items() if count},
        topics=roles,
        facts=_facts(run, loop),
    )
    print(_table(summary, run.out))
    if damage is not None:
        raise InputError(f"{damage}; what came before is in {run.out}") from damage
    return summary


class _Loop:
    """One picture after the other."""

    def __init__(
        self, run: BagRun, bag: BagReader, replay: BagReplay, output: BagOutput, painter: DebugPainter
    ) -> None:
        self.records: list[PictureRecord] = []
        self.was_interrupted = False
        self._replay = replay
        self._output = output
        self._painter = painter
        self._begin_ns, end_ns = bag.span_ns
        self._duration_s = (end_ns - self._begin_ns) / _NS_PER_S
        self._report_pace = _Pace(self._duration_s / _REPORT_PICTURES)
        self._topic_pace = _Pace(1.0 / run.config.debug.max_rate) if run.writes_pictures else None
        self._draws_for_topics = False

    def work(self) -> InputError | None:
        """Until the end, an interrupt, or damage, which is returned."""
        try:
            with ProgressLine("bag") as line:
                for picture in self._replay.pictures(self._decide_to_draw):
                    if picture.answer is not None:
                        self._keep(picture.answer, picture.received_ns)
                    line.show(self._progress(picture.received_ns))
        except KeyboardInterrupt:
            self.was_interrupted = True
        except InputError as error:
            return error
        return None

    def _decide_to_draw(self, received_ns: int) -> bool:
        """Whether the picture that comes next is drawn for the debug topics, as the similarity needs a trace."""
        self._draws_for_topics = self._topic_pace is not None and self._topic_pace.take(received_ns)
        return self._draws_for_topics

    def _keep(self, answer: FrameAnswer, received_ns: int) -> None:
        self._output.write_poses(answer, received_ns=received_ns)
        record = PictureRecord(
            stamp_ns=answer.frame.stamp_ns,
            frame_id=answer.frame.frame_id,
            outcome=_without_traces(answer.outcome),
            engine_ms=answer.engine_ms,
            overlay=self._draw(answer, received_ns),
        )
        self.records.append(record)

    def _draw(self, answer: FrameAnswer, received_ns: int) -> np.ndarray | None:
        """Write debug pictures where they are due; returns the overlay that the report shows."""
        is_for_report = bool(answer.outcome.tracked) and self._report_pace.take(received_ns)
        if not (is_for_report or self._draws_for_topics):
            return None
        overlay = self._painter.overlay(answer)
        if self._draws_for_topics:
            self._output.write_picture("overlay", overlay, encoding="rgb8", answer=answer, received_ns=received_ns)
            similarity = self._painter.similarity(answer)
            self._output.write_picture(
                "similarity", similarity, encoding="32FC1", answer=answer, received_ns=received_ns
            )
        return overlay if is_for_report else None

    def _progress(self, received_ns: int) -> str:
        done_s = (received_ns - self._begin_ns) / _NS_PER_S
        with_poses = sum(bool(record.outcome.tracked) for record in self.records)
        return f"{done_s:.1f} of {self._duration_s:.1f} s, {len(self.records)} pictures, {with_poses} with poses"


class _Pace:
    """Lets through what comes at least a period after the last that it let through."""

    def __init__(self, period_s: float) -> None:
        self._period_ns = round(period_s * _NS_PER_S)
        self._next_ns = 0

    def take(self, now_ns: int) -> bool:
        """True when it is time; the next period begins then."""
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._period_ns
        return True


def _without_traces(outcome: FrameOutcome) -> FrameOutcome:
    """Traces hold whole pictures; a report of an hour does not."""
    return FrameOutcome(
        tuple(replace(item, result=replace(item.result, trace=None)) for item in outcome.tracked),
        tuple(replace(item, result=replace(item.result, trace=None)) for item in outcome.lost),
    )


def _folder_of_results(run: BagRun) -> Path:
    folder = run.out / "poses"
    if folder.exists() and not run.overwrites:
        raise InputError(f"{folder} is there already: give another --out, or --overwrite")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        run.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {run.out}: {error.strerror}") from None
    return folder


def _roles(topics: ChosenTopics) -> dict[str, str]:
    """What each topic is taken for."""
    roles = {"pictures": topics.image, "camera info": topics.camera_info}
    roles.update({f"rough poses{f' {i}' if i > 1 else ''}": topic for i, topic in enumerate(topics.poses, start=1)})
    return {role: f"{topic.name} ({topic.count} x {topic.kind})" for role, topic in roles.items() if topic is not None}


def _facts(run: BagRun, loop: _Loop) -> dict[str, str]:
    facts = {
        "engine": run.config.engine,
        "weights": run.config.weights or "packaged small network",
        "objects": run.config.objects_file,
        "machine": f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}",
    }
    return {**facts, "ended": "early, by an interrupt"} if loop.was_interrupted else facts


def _table(summary: BagSummary, out: Path) -> str:
    lines = [f"{'object':20} {'poses':>7} {'first s':>8} {'last s':>8} {'score':>6} {'std mm':>7}"]
    lines += [
        f"{name:20} {o.poses:7d} {o.first_s:8.1f} {o.last_s:8.1f} {o.median_score:6.2f} {o.median_std_mm:7.2f}"
        for name, o in summary.objects.items()
    ]
    lines += [f"{count:7d} x {reason}" for reason, count in summary.reasons.items()]
    lines += [
        f"{summary.recording_s:.1f} s of {summary.pictures} pictures in {summary.run_s:.1f} s "
        f"({summary.speed:.2f} x real time), {summary.engine_ms_p50:.0f} ms a picture",
        summary.verdict,
        f"recording: {out / 'poses'}, report: {out / 'report.html'}",
    ]
    return "\n".join(lines)
