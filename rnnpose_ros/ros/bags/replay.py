"""A recording's messages, handed to the refiner in the order in which they were recorded.

Every picture waits for its turn here: nothing is dropped for lack of time, so a replay says what a refiner without
haste would have said. Transforms are read a little ahead of the pictures, by as much as a node would wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rnnpose_ros.ros.bags.bag_file import BagMessageError, BagReader, BagRecord
from rnnpose_ros.ros.bags.bag_messages import BagMessageMaker
from rnnpose_ros.ros.bags.topics import ChosenTopics
from rnnpose_ros.ros.frame_lookups import take_in
from rnnpose_ros.ros.messages import camera_info_message, detections_message, initial_pose_message
from rnnpose_ros.ros.pairing import Pair
from rnnpose_ros.ros.pipeline import FrameAnswer, RefinementPipeline
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.tracking.transform_tree import HISTORY_S, TransformTree
from rnnpose_ros.types import CameraIntrinsics, PoseHypothesis

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ReplaySettings:
    """Which part of a recording, and what stands in for what it lacks."""

    start_s: float = 0.0
    """After the first message."""
    duration_s: float | None = None
    """None for all."""
    every: int = 1
    """Take every so many-th picture."""
    camera: CameraIntrinsics | None = None
    """Instead of camera infos: of straight pictures, B = 1."""
    pose: PoseHypothesis | None = None
    """Where an object is in the first picture."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplayedPicture:
    """A picture of the recording and what the refiner says about it."""

    received_ns: int
    """When its last message was recorded."""
    answer: FrameAnswer | None
    """None where it was refused."""


class BagReplay:
    """Reads a recording through a pipeline.

    Args:
        bag: Opened.
        topics: What is read of it, beside /tf and /tf_static.
        pipeline: Fresh.
        frames: The pipeline's own.
        settings: Which part.
    """

    def __init__(
        self,
        bag: BagReader,
        topics: ChosenTopics,
        pipeline: RefinementPipeline,
        frames: TransformTree,
        settings: ReplaySettings,
    ) -> None:
        self._bag = bag
        self._topics = topics
        self._pipeline = pipeline
        self._settings = settings
        self._frames = frames
        self._make = BagMessageMaker()
        self._pairs = 0
        self._first_pose = settings.pose

    def pictures(self, wants_trace: Callable[[int], bool]) -> Iterator[ReplayedPicture]:
        """One by one, as they are refined.

        Args:
            wants_trace: Whether debug pictures will be drawn, by the time of recording.

        Raises:
            InputError: The recording is damaged from here on.
        """
        begin_ns, _ = self._bag.span_ns
        self._feed_frames(self._bag.records(["/tf_static"]), is_static=True)
        start_ns = begin_ns + round(self._settings.start_s * _NS_PER_S)
        duration_s = self._settings.duration_s
        stop_ns = None if duration_s is None else start_ns + round(duration_s * _NS_PER_S)
        moving = _UpTo(self._bag.records(["/tf"], start_ns=start_ns - round(HISTORY_S * _NS_PER_S)))
        for record in self._bag.records(self._topics.names, start_ns=start_ns, stop_ns=stop_ns):
            pair = self._take(record)
            if pair is not None and self._is_wanted():
                patience_ns = round(self._pipeline.config.tf.timeout * _NS_PER_S)
                self._feed_frames(moving.until(record.received_ns + patience_ns), is_static=False)
                yield ReplayedPicture(record.received_ns, self._refine(pair, trace=wants_trace(record.received_ns)))
        if not self._pairs:
            self._pipeline.explain_silence()

    def _take(self, record: BagRecord) -> Pair | None:
        """Hand one message over; returns the pair that it completes."""
        is_image = record.topic == self._topics.image.name
        is_info = self._topics.camera_info is not None and record.topic == self._topics.camera_info.name
        try:
            message = self._bag.decode(record)
        except BagMessageError as error:
            reason = Reason.BAD_ENCODING if is_image else Reason.BAD_INFO if is_info else Reason.POSE_INVALID
            self._pipeline.reporter.refuse(reason, str(error))
            return None
        if is_image:
            return self._take_image(message)
        if is_info:
            return self._pipeline.add_info(message)
        self._pipeline.poses.put(message)
        return None

    def _take_image(self, image: Any) -> Pair | None:
        if self._first_pose is not None:
            pose = initial_pose_message(self._first_pose, header=image.header, instance_id="", make=self._make)
            self._pipeline.poses.put(detections_message([pose], header=image.header, make=self._make))
            self._first_pose = None
        if self._settings.camera is not None:
            info = camera_info_message(self._settings.camera, header=image.header, make=self._make)
            self._pipeline.add_info(info)
        return self._pipeline.add_image(image)

    def _feed_frames(self, records: Iterable[BagRecord], *, is_static: bool) -> None:
        for record in records:
            try:
                message = self._bag.decode(record)
            except BagMessageError as error:
                self._pipeline.reporter.refuse(Reason.TF_UNAVAILABLE, str(error))
                continue
            take_in(self._frames, message.transforms, is_static=is_static, reporter=self._pipeline.reporter)

    def _is_wanted(self) -> bool:
        self._pairs += 1
        return (self._pairs - 1) % self._settings.every == 0

    def _refine(self, pair: Pair, *, trace: bool) -> FrameAnswer | None:
        try:
            return self._pipeline.process(pair, trace=trace)
        except RefusedInputError as error:
            self._pipeline.reporter.refuse_error(error)
            return None


class _UpTo:
    """Gives a stream of records out piece by piece."""

    def __init__(self, records: Iterator[BagRecord]) -> None:
        self._records = records
        self._next: BagRecord | None = next(records, None)

    def until(self, received_ns: int) -> Iterator[BagRecord]:
        """Those up to a time that were not given out yet."""
        while self._next is not None and self._next.received_ns <= received_ns:
            yield self._next
            self._next = next(self._records, None)
