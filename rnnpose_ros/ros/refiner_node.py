"""The refiner node: pictures and rough poses in, refined poses out.

Callbacks only put messages down. One worker takes the newest picture, and everything that computes is
called from there; the node itself holds no mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from rnnpose_ros.ros.diagnostics import DiagnosticsOutput, FrameLog, Status, statuses
from rnnpose_ros.ros.loading import load_engine, load_objects, picture_features, warm_up
from rnnpose_ros.ros.mailbox import Mailbox, MailboxCounts
from rnnpose_ros.ros.pairing import Pair
from rnnpose_ros.ros.parameters import NodeConfig, NodeParameters
from rnnpose_ros.ros.pipeline import RefinementPipeline
from rnnpose_ros.ros.publishing import PoseOutput
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.ros.running import RunnableNode, Worker, run_process
from rnnpose_ros.ros.subscriptions import InputSubscriptions
from rnnpose_ros.ros.tf_listener import TfListener
from rnnpose_ros.ros.visualization import DebugImages


class RefinerNode(RunnableNode):
    """Subscribes pictures, their camera infos, rough poses and /tf; publishes /tf, ``~/detections``, ``~/debug``."""

    def __init__(self, name: str = "rnnpose", **node_options: Any) -> None:
        """
        Args:
            name: Of the node.
            node_options: Go on to its base classes: context, parameter_overrides, ...
        """
        super().__init__(name, **node_options)
        self._settings = NodeParameters(self)
        config: NodeConfig = self._settings.current
        objects = load_objects(config)
        engine = load_engine(config)
        if config.engine != "fake":
            warm_up(engine, objects)
        self._reporter = Reporter(self.get_logger())
        self._tf = TfListener(
            self,
            timeout_s=lambda: self._settings.current.tf.timeout,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self._pipeline = RefinementPipeline(
            config,
            engine,
            objects,
            image_topic=self.resolve_topic_name("image"),
            reporter=self._reporter,
            frames=self._tf.frames,
        )
        self._mailbox: Mailbox[Pair] = Mailbox()
        self._log = FrameLog()
        self._output = PoseOutput(self, objects)
        self._debug = DebugImages(self, objects, make_features=lambda: picture_features(engine, config))
        InputSubscriptions(self, self._pipeline, config, on_pair=self._hand_over)
        DiagnosticsOutput(self, self._account, callback_group=MutuallyExclusiveCallbackGroup())
        self._worker = Worker(self, self._work)
        self.get_logger().info(f"ready: engine {config.engine}, objects {', '.join(objects)}")

    def close(self) -> bool:
        """End the worker; False when it is still busy after a while."""
        self._mailbox.close()
        self._tf.close()
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
        return self._pipeline.poses.received

    def _hand_over(self, pair: Pair | None) -> None:
        if pair is not None:
            self._mailbox.put(pair)

    def _work(self) -> None:
        while not self._mailbox.is_closed:
            pair = self._mailbox.take(timeout_s=1.0)
            if pair is None:
                self._pipeline.explain_silence()
                continue
            try:
                self._process(pair)
            except RefusedInputError as error:
                self._reporter.refuse_error(error)

    def _process(self, pair: Pair) -> None:
        """One picture, from messages to messages."""
        config = self._settings.current
        if config is not self._pipeline.config:
            self._pipeline.reconfigure(config)
        draws = self._debug.wanted(max_rate_hz=config.debug.max_rate)
        answer = self._pipeline.process(pair, trace=draws)
        if answer is None:
            return
        tracked = answer.outcome.tracked
        self._output.publish(tracked, header=answer.header, config=config)
        latency_ms = 1e-6 * (self.get_clock().now().nanoseconds - answer.frame.stamp_ns)
        self._log.add(answer.outcome, engine_ms=answer.engine_ms, latency_ms=latency_ms)
        if draws:
            shown = [item.result for item in tracked]
            self._debug.publish(answer.frame, shown, initial=answer.starts, header=answer.header)

    def _account(self) -> Sequence[Status]:
        return statuses(
            self._log,
            mailbox=self._mailbox.counts,
            pairing=self._pipeline.pairing.counts,
            reasons=self._reporter.counts,
        )


def main() -> None:
    """Run the refiner node."""
    run_process(RefinerNode)


if __name__ == "__main__":
    main()
