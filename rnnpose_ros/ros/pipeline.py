"""What the refiner does with messages, whoever brings them: a live graph or a recording.

No ROS is needed here. Whoever uses it hands over images, camera infos and initial poses as they come, calls
:meth:`RefinementPipeline.process` for the pairs it has time for, and sends what comes back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from rnnpose_ros.ros.camera_info import CameraReader
from rnnpose_ros.ros.frame_lookups import FrameLookups
from rnnpose_ros.ros.inputs import InitialPoseInbox, read_frame
from rnnpose_ros.ros.loading import Engines
from rnnpose_ros.ros.messages import stamp_ns
from rnnpose_ros.ros.pairing import Order, Pair, StampOrder, StampPairing
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.reasons import Reason, reason_lost
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.tracking.programme import refine_starts
from rnnpose_ros.tracking.track import FrameOutcome, LostObject
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.transform_tree import TransformTree
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult


@dataclass(frozen=True, slots=True, eq=False)
class FrameAnswer:
    """What the refiner says about one picture."""

    frame: ImageFrame
    header: Any
    """The image message's own."""
    starts: tuple[PoseHypothesis, ...]
    """What was refined, from outside and from the tracks."""
    outcome: FrameOutcome
    """Only what is tracked may be published."""
    engine_ms: float
    """From messages to outcome."""


class RefinementPipeline:
    """Pairs messages, refines the poses of a picture, and knows which object is where.

    Handing over is safe between threads; :meth:`process`, :meth:`reconfigure` and :meth:`reset` belong to one thread.

    Args:
        config: Of the node.
        engines: Refine.
        objects: By label.
        image_topic: Resolved name; tells rectified pictures where the configuration says auto.
        reporter: Where refusals are said and counted.
        frames: Where frames are in each other; when None, poses come in the camera's own frame.
        looks_beside: A thread looks again (:meth:`look_again`) while the next pictures are processed. What comes out
            then depends on how fast it is.
    """

    def __init__(
        self,
        config: NodeConfig,
        engines: Engines,
        objects: Mapping[str, ObjectModel],
        *,
        image_topic: str,
        reporter: Reporter,
        frames: FrameLookups | None = None,
        looks_beside: bool = False,
    ) -> None:
        self.config = config
        self.engines = engines
        self.reporter = reporter
        self._frames = TransformTree() if frames is None else frames
        self.poses = InitialPoseInbox(objects, config.initial_pose, frames=self._frames, reporter=reporter)
        self.pairing = StampPairing(
            depth=config.sync.queue,
            slop_s=config.sync.slop,
            use_latest_info=config.sync.camera_info_mode == "latest",
        )
        self._explained = self.pairing.counts
        self._objects = objects
        self._cameras = CameraReader(rectified=config.input_is_rectified, image_topic=image_topic)
        self._order = StampOrder()
        self._tracker = Tracker(config.tracking, config.initial_pose, objects=objects)
        self._last_frame: ImageFrame | None = None
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="look") if looks_beside else None
        self._look: Future[list[RefinementResult]] | None = None

    def add_image(self, image: Any) -> Pair | None:
        """The pair that this image completes, or None while its info is missing."""
        return self.pairing.add_image(image, stamp_ns=stamp_ns(image.header.stamp))

    def add_info(self, info: Any) -> Pair | None:
        """The pair that this info completes, or None while its image is missing."""
        return self.pairing.add_info(info, stamp_ns=stamp_ns(info.header.stamp))

    def reconfigure(self, config: NodeConfig) -> None:
        """Take up changed dynamic parameters, from the next picture on."""
        self.config = config
        self.engines = self.engines.under(config)
        self._tracker.tracking, self._tracker.initial_pose = config.tracking, config.initial_pose
        self.poses.config = config.initial_pose

    def reset(self) -> None:
        """Forget every object and the poses that wait."""
        self._forget_objects()
        self.poses.clear()

    def close(self) -> None:
        """Look no more; a look that goes on is not waited for."""
        if self._beside is not None:
            self._beside.shutdown(wait=False, cancel_futures=True)

    def process(self, pair: Pair, *, trace: bool = False) -> FrameAnswer | None:
        """One picture; None where it is not newer than the last one.

        What is left of the one before is done first, see :meth:`look_again`.

        Args:
            pair: An image and its info.
            trace: Keep in the results what debug pictures are drawn from.

        Raises:
            RefusedInputError: Header, encoding, or camera info cannot be used.
        """
        self._end_look()
        self.look_again()
        started = time.perf_counter()
        frame = read_frame(pair, self._cameras)
        if not self._is_next(frame):
            return None
        poses = self.poses.take(frame, fixed_frame=self.config.tf.fixed_frame)
        starts = self._tracker.begin_frame(frame.stamp_ns, poses)
        if not starts:
            self.reporter.count(Reason.NO_INITIAL_POSE)
        results = self._refine(frame, starts, trace=trace)
        outcome = self._tracker.end_frame(results)
        self._last_frame = frame
        self._say_lost(outcome.lost)
        engine_ms = 1e3 * (time.perf_counter() - started)
        return FrameAnswer(frame, pair.image.header, tuple(starts), outcome, engine_ms)

    def look_again(self) -> None:
        """Let the network look at what was followed without it in the last picture, where it is due.

        To be called once the answer is on its way: it is not waited for, and what the network says counts from the next
        picture on, or from a later one where another thread looks.
        """
        frame, self._last_frame = self._last_frame, None
        if frame is None or self._look is not None:
            return
        looks = self._tracker.begin_look()
        if looks:
            look = partial(self._refine, frame, looks)
            if self._beside is not None:
                self._look = self._beside.submit(look)
            else:
                self._say_lost(self._tracker.end_look(look()))

    def _refine(
        self, frame: ImageFrame, starts: Sequence[PoseHypothesis], *, trace: bool = False
    ) -> list[RefinementResult]:
        engines, tracking = self.engines, self.config.tracking
        return refine_starts(engines.full, frame, starts, self._objects, tracking, short=engines.short, trace=trace)

    def _end_look(self) -> None:
        """Take what another thread found, once it is there."""
        look = self._look
        if look is not None and look.done():
            self._look = None
            self._say_lost(self._tracker.end_look(look.result()))

    def _say_lost(self, lost: Sequence[LostObject]) -> None:
        for item in lost:
            status = item.result.status
            self.reporter.refuse(
                reason_lost(status), f"{item.label} is not published: {status.value}, score {item.result.score:.2f}"
            )

    def explain_silence(self) -> None:
        """Say why there was no picture to process since the last time this was asked."""
        counts, before = self.pairing.counts, self._explained
        self._explained = counts
        if counts.images == before.images:
            if counts.images:
                self.reporter.refuse(Reason.NO_IMAGE, "no image comes any more; is the camera still there?")
        elif not counts.infos:
            self.reporter.refuse(Reason.NO_INFO, "images arrive but no camera_info; is its topic remapped?")
        elif counts.unpaired_images > before.unpaired_images:
            offset = "none near" if counts.nearest_offset_s is None else f"nearest {counts.nearest_offset_s:.4f} s off"
            self.reporter.refuse(
                Reason.UNSYNCED,
                f"images arrive without a camera_info of their stamp ({offset}); "
                "set sync.slop, or sync.camera_info_mode: latest",
            )

    def _forget_objects(self) -> None:
        """And the look at them that goes on: nobody waits for what it finds."""
        self._tracker.reset()
        self._last_frame = self._look = None

    def _is_next(self, frame: ImageFrame) -> bool:
        order = self._order.judge(frame.stamp_ns)
        if order is Order.RESTARTED:
            self.reporter.say("time went back: every object is forgotten")
            self._forget_objects()
            self._frames.forget_after(frame.stamp_ns)
        if order is Order.OLD:
            self.reporter.refuse(Reason.OLD, "an image is not newer than the last one and is left out")
        return order is not Order.OLD
