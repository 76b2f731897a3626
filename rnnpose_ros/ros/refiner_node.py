"""The refiner node: pictures and rough poses in, refined poses out.

Callbacks only put messages down. One worker takes the newest picture, and everything that computes is
called from there; the node itself holds no mathematics.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection3DArray

from rnnpose_ros.ros.camera_info import CameraReader
from rnnpose_ros.ros.diagnostics import DiagnosticsOutput, FrameLog, Status, statuses
from rnnpose_ros.ros.inputs import InitialPoseInbox, read_frame
from rnnpose_ros.ros.loading import load_engine, load_objects, picture_features, reconfigure, warm_up
from rnnpose_ros.ros.mailbox import Mailbox, MailboxCounts
from rnnpose_ros.ros.messages import stamp_ns
from rnnpose_ros.ros.outputs import PoseOutput
from rnnpose_ros.ros.pairing import Order, Pair, StampOrder, StampPairing
from rnnpose_ros.ros.parameters import NodeConfig, NodeParameters
from rnnpose_ros.ros.reasons import Reason, RefusedInputError, reason_lost
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.ros.running import RunnableNode, Worker, run_process
from rnnpose_ros.ros.subscriptions import MatchingSubscription
from rnnpose_ros.ros.visualization import DebugImages
from rnnpose_ros.tracking.tracker import TRACK_SOURCE, FrameOutcome, Tracker
from rnnpose_ros.types import ImageFrame, PoseHypothesis, RefinementResult


class RefinerNode(RunnableNode):
    """Subscribes ``image``, ``camera_info``, ``initial_detections``; publishes /tf, ``~/detections``, ``~/debug``."""

    def __init__(self, name: str = "rnnpose", **node_options: Any) -> None:
        """
        Args:
            name: Of the node.
            node_options: Go on to its base classes: context, parameter_overrides, ...
        """
        super().__init__(name, **node_options)
        self._settings = NodeParameters(self)
        self._config: NodeConfig = self._settings.current
        config = self._config
        self._objects = load_objects(config)
        self._engine = load_engine(config)
        if config.engine != "fake":
            warm_up(self._engine, self._objects)
        self._reporter = Reporter(self.get_logger())
        self._tracker = Tracker(config.tracking, config.initial_pose, objects=self._objects)
        self._poses = InitialPoseInbox(self._objects, self._reporter)
        self._pairing = StampPairing(
            depth=config.sync.queue,
            slop_s=config.sync.slop,
            use_latest_info=config.sync.camera_info_mode == "latest",
        )
        self._mailbox: Mailbox[Pair] = Mailbox()
        self._order = StampOrder()
        self._log = FrameLog()
        self._output = PoseOutput(self, self._objects)
        self._debug = DebugImages(self, self._objects, make_features=lambda: picture_features(self._engine, config))
        self._subscribe(config)
        self._worker = Worker(self, self._work)
        self.get_logger().info(f"ready: engine {config.engine}, objects {', '.join(self._objects)}")

    def close(self) -> bool:
        """End the worker; False when it is still busy after a while."""
        self._mailbox.close()
        return self._worker.join()

    @property
    def counts(self) -> dict[Reason, int]:
        """How often each reason came up; BUSY are pictures that a newer one replaced."""
        return {**self._reporter.counts, Reason.BUSY: self._mailbox.counts.dropped}

    @property
    def mailbox_counts(self) -> MailboxCounts:
        """What became of the pairs of image and camera info."""
        return self._mailbox.counts

    @property
    def initial_poses_received(self) -> int:
        """Messages of initial poses so far."""
        return self._poses.received

    def _subscribe(self, config: NodeConfig) -> None:
        group = MutuallyExclusiveCallbackGroup()
        reliability = config.qos.image_reliability
        image = MatchingSubscription(
            self, Image, "image", self._on_image, reliability=reliability, depth=8, callback_group=group
        )
        others = MutuallyExclusiveCallbackGroup()
        MatchingSubscription(
            self, CameraInfo, "camera_info", self._on_info, reliability=reliability, depth=8, callback_group=others
        )
        self.create_subscription(Detection3DArray, "initial_detections", self._poses.put, 10, callback_group=others)
        self._cameras = CameraReader(rectified=config.input_is_rectified, image_topic=image.topic)
        DiagnosticsOutput(self, self._account, callback_group=MutuallyExclusiveCallbackGroup())

    def _on_image(self, image: Image) -> None:
        self._hand_over(self._pairing.add_image(image, stamp_ns=stamp_ns(image.header.stamp)))

    def _on_info(self, info: CameraInfo) -> None:
        self._hand_over(self._pairing.add_info(info, stamp_ns=stamp_ns(info.header.stamp)))

    def _hand_over(self, pair: Pair | None) -> None:
        if pair is not None:
            self._mailbox.put(pair)

    def _work(self) -> None:
        while not self._mailbox.is_closed:
            pair = self._mailbox.take(timeout_s=1.0)
            if pair is None:
                self._explain_silence()
                continue
            try:
                self._process(pair)
            except RefusedInputError as error:
                self._reporter.refuse_error(error)

    def _process(self, pair: Pair) -> None:
        """One picture, from messages to messages."""
        started = time.perf_counter()
        self._take_up_changes()
        frame = read_frame(pair, self._cameras)
        if not self._is_next(frame):
            return
        config = self._config
        starts = self._tracker.begin_frame(
            frame.stamp_ns, self._poses.take(frame, max_age_s=config.initial_pose.max_age)
        )
        if not starts:
            self._reporter.count(Reason.NO_INITIAL_POSE)
        draws = self._debug.wanted(max_rate_hz=config.debug.max_rate)
        results = self._refine(frame, starts, trace=draws)
        outcome = self._tracker.end_frame(results)
        self._output.publish(outcome.tracked, header=pair.image.header, config=config)
        self._note(outcome, frame, engine_ms=1e3 * (time.perf_counter() - started))
        if draws:
            shown = [item.result for item in outcome.tracked]
            self._debug.publish(frame, shown, initial=starts, header=pair.image.header)

    def _refine(self, frame: ImageFrame, starts: Sequence[PoseHypothesis], *, trace: bool) -> list[RefinementResult]:
        """New objects by the full programme, tracked ones by the short one; in the order of the starts."""
        tracking = self._config.tracking
        known = [i for i, start in enumerate(starts) if start.source == TRACK_SOURCE]
        fresh = [i for i, start in enumerate(starts) if start.source != TRACK_SOURCE]
        by_index: dict[int, RefinementResult] = {}
        for indices, cycles, iterations in ((known, tracking.cycles, tracking.iterations), (fresh, None, None)):
            if indices:
                part = [starts[i] for i in indices]
                results = self._engine.refine(
                    frame, part, self._objects, cycles=cycles, iterations=iterations, trace=trace
                )
                by_index.update(zip(indices, results, strict=True))
        return [by_index[i] for i in range(len(starts))]

    def _is_next(self, frame: ImageFrame) -> bool:
        order = self._order.judge(frame.stamp_ns)
        if order is Order.RESTARTED:
            self.get_logger().warning("time went back: every object is forgotten")
            self._tracker.reset()
        if order is Order.OLD:
            self._reporter.refuse(Reason.OLD, "an image is not newer than the last one and is left out")
        return order is not Order.OLD

    def _take_up_changes(self) -> None:
        config = self._settings.current
        if config is not self._config:
            self._config = config
            self._engine = reconfigure(self._engine, config)
            self._tracker.tracking, self._tracker.initial_pose = config.tracking, config.initial_pose

    def _note(self, outcome: FrameOutcome, frame: ImageFrame, *, engine_ms: float) -> None:
        for item in outcome.lost:
            status = item.result.status
            self._reporter.refuse(
                reason_lost(status), f"{item.label} is not published: {status.value}, score {item.result.score:.2f}"
            )
        latency_ms = 1e-6 * (self.get_clock().now().nanoseconds - frame.stamp_ns)
        self._log.add(outcome, engine_ms=engine_ms, latency_ms=latency_ms)

    def _explain_silence(self) -> None:
        """Say why no picture comes, when messages do come."""
        counts = self._pairing.counts
        if counts.images and not counts.infos:
            self._reporter.refuse(Reason.NO_INFO, "images arrive but no camera_info; is its topic remapped?")
        elif counts.unpaired_images:
            offset = "none near" if counts.nearest_offset_s is None else f"nearest {counts.nearest_offset_s:.4f} s off"
            self._reporter.refuse(
                Reason.UNSYNCED,
                f"images arrive without a camera_info of their stamp ({offset}); "
                "set sync.slop, or sync.camera_info_mode: latest",
            )

    def _account(self) -> Sequence[Status]:
        return statuses(
            self._log, mailbox=self._mailbox.counts, pairing=self._pairing.counts, reasons=self._reporter.counts
        )


def main() -> None:
    """Run the refiner node."""
    run_process(RefinerNode)


if __name__ == "__main__":
    main()
