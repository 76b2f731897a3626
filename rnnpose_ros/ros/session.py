"""What the refiner node has between configure and cleanup: engine, objects, and the worker that refines.

Callbacks only put messages down. The worker takes the newest picture; whatever else touches the tracks is done by
the worker as well, between two pictures.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from rnnpose_ros.errors import InputError
from rnnpose_ros.objects.library import ObjectLibrary
from rnnpose_ros.ros.debug_pictures import DebugPainter
from rnnpose_ros.ros.frame_log import FrameLog
from rnnpose_ros.ros.loading import (
    check_same_weights,
    choose_device,
    load_engines,
    load_objects,
    own_weights,
    picture_features,
    warm_up_programmes,
)
from rnnpose_ros.ros.mailbox import Mailbox, MailboxCounts
from rnnpose_ros.ros.pairing import Pair, PairingCounts
from rnnpose_ros.ros.parameters import NodeConfig, NodeParameters
from rnnpose_ros.ros.pipeline import FrameAnswer, RefinementPipeline
from rnnpose_ros.ros.publishing import PoseOutput
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.ros.requests import BusyError, NextAnswer, WorkerRequests
from rnnpose_ros.ros.running import RunnableNode, Worker
from rnnpose_ros.ros.subscriptions import InputSubscriptions
from rnnpose_ros.ros.tf_listener import TfListener
from rnnpose_ros.ros.topic_report import TopicReport
from rnnpose_ros.ros.visualization import DebugImages
from rnnpose_ros.stages import stage_clock

_CLOSE_S = 15.0
"""Longest wait at cleanup for a picture that is being refined."""


class RefinerSession:
    """Loads at construction; works between :meth:`start` and :meth:`stop`; :meth:`close` lets go.

    Args:
        node: Where subscriptions and publishers live.
        settings: The node's configuration, looked up at every picture.
        reporter: Where refusals are said and counted.

    Raises:
        RnnposeError: Objects, weights or device cannot be used.
    """

    def __init__(self, node: RunnableNode, settings: NodeParameters, reporter: Reporter) -> None:
        self._node, self._settings, self._reporter = node, settings, reporter
        config: NodeConfig = settings.current
        self._objects = load_objects(config)
        self._engines = load_engines(config)
        self._own_weights = own_weights(config)
        self._warm_up(self._objects)
        self._tf = TfListener(
            node,
            timeout_s=lambda: settings.current.tf.timeout,
            callback_group=MutuallyExclusiveCallbackGroup(),
            reporter=reporter,
        )
        self.pipeline = self._make_pipeline()
        self._output = PoseOutput(node, self._objects, frames=self._tf.frames, reporter=reporter)
        self._painter = DebugPainter(
            self._objects,
            lambda: picture_features(self._engines.full, config),
            colormap=lambda: settings.current.debug.colormap,
        )
        self._debug = DebugImages(node, self._painter)
        self.log = FrameLog()
        self.last_answer: FrameAnswer | None = None
        self.is_enabled = True
        self.next_answer: NextAnswer[FrameAnswer] = NextAnswer()
        self._mailbox: Mailbox[Pair] = Mailbox()
        self._requests = WorkerRequests(self._mailbox.wake)
        self._life = threading.Lock()
        self._gate = threading.Lock()
        self._is_active = False
        self._inputs: InputSubscriptions | None = None
        self._worker = Worker(node, self._work)

    @property
    def labels(self) -> list[str]:
        """Of the objects that are served."""
        return list(self._objects)

    @property
    def mailbox_counts(self) -> MailboxCounts:
        """What became of the pairs of image and camera info."""
        return self._mailbox.counts

    @property
    def pairing_counts(self) -> PairingCounts:
        """What became of images and camera infos."""
        return self.pipeline.pairing.counts

    @property
    def topic_reports(self) -> list[TopicReport]:
        """What is known of the topics of images and camera infos; nothing while they are not listened to."""
        inputs = self._inputs
        return [] if inputs is None else inputs.reports()

    @property
    def poses_received(self) -> int:
        """Messages of initial poses so far."""
        return self.pipeline.poses.received

    def start(self) -> None:
        """Listen and refine, beginning with no object."""
        with self._life:
            self._requests.post(self.pipeline.reset)
            with self._gate:
                self._is_active = True
            self._listen()

    def stop(self) -> None:
        """Listen and publish no longer; a picture that is being refined is not published any more."""
        with self._life:
            with self._gate:
                self._is_active = False
            self._listen_no_longer()
            self._mailbox.clear()
            self.next_answer.cancel()

    def close(self, *, timeout_s: float = _CLOSE_S) -> None:
        """Stop for ever, and leave nothing on the graph.

        Raises:
            BusyError: The engine does not end its picture.
        """
        self.stop()
        if not self.abandon(timeout_s=timeout_s):
            raise BusyError(f"the engine has not ended its picture within {timeout_s:g} s; try again later")
        self._tf.close()
        self._output.close()
        self._debug.close()

    def abandon(self, *, timeout_s: float) -> bool:
        """End the worker; False when it is still busy after a while."""
        self._mailbox.close()
        self._tf.stop_waiting()
        has_ended = self._worker.join(timeout_s=timeout_s)
        # Only now: the worker hands it work.
        self.pipeline.close()
        return has_ended

    def reset(self, *, timeout_s: float) -> None:
        """Forget every object.

        Raises:
            BusyError: The worker does not come to it in time.
        """
        self._requests.ask(self.pipeline.reset, timeout_s=timeout_s)

    def refine_once(self, *, timeout_s: float) -> FrameAnswer:
        """The answer to the next picture, also while refining is not enabled.

        Raises:
            InputError: The node is not active, no picture came, or the next one was refused.
        """
        if not self._is_active:
            raise InputError(f"the node is not active: ros2 lifecycle set {self._node.get_name()} activate")
        return self.next_answer.wait(timeout_s=timeout_s)

    def reload_objects(self, *, timeout_s: float) -> None:
        """Read the objects anew and serve those; on an error the old ones stay.

        Raises:
            RnnposeError: They cannot be read.
            BusyError: The worker does not come to it in time.
        """
        check_same_weights(self._settings.current, self._own_weights)
        objects = load_objects(self._settings.current)
        self._requests.ask(lambda: self._warm_up(objects), timeout_s=timeout_s)
        with self._life:
            self._listen_no_longer()
            try:
                self._requests.ask(lambda: self._serve(objects), timeout_s=timeout_s)
            finally:
                if self._is_active:
                    self._listen()

    def _warm_up(self, objects: ObjectLibrary) -> None:
        if self._settings.current.engine != "fake":
            warm_up_programmes(self._engines, self._settings.current, objects)

    def _serve(self, objects: ObjectLibrary) -> None:
        self._objects = objects
        self.pipeline.close()
        self.pipeline = self._make_pipeline()
        self._output.serve(objects)
        self._painter.serve(objects)

    def _make_pipeline(self) -> RefinementPipeline:
        return RefinementPipeline(
            self._settings.current,
            self._engines,
            self._objects,
            image_topic=self._node.resolve_topic_name("image"),
            reporter=self._reporter,
            frames=self._tf.frames,
            looks_beside=choose_device(self._settings.current.device).type == "cpu",
        )

    def _listen(self) -> None:
        self._inputs = InputSubscriptions(self._node, self.pipeline, self._settings.current, on_pair=self._hand_over)

    def _listen_no_longer(self) -> None:
        inputs, self._inputs = self._inputs, None
        if inputs is not None:
            inputs.close()

    def _hand_over(self, pair: Pair | None) -> None:
        if pair is None:
            return
        if self.is_enabled or self.next_answer.is_awaited:
            self._mailbox.put(pair)
        else:
            self._reporter.count(Reason.DISABLED)

    def _work(self) -> None:
        while not self._mailbox.is_closed:
            pair = self._mailbox.take(timeout_s=1.0)
            self._requests.do_all()
            if pair is None:
                self._idle()
                continue
            try:
                self._process(pair)
            except RefusedInputError as error:
                self._reporter.refuse_error(error)
                self.next_answer.refuse(error)

    def _idle(self) -> None:
        if self._is_active and self.is_enabled:
            self.pipeline.explain_silence()
            self._debug.prepare()

    def _process(self, pair: Pair) -> None:
        """One picture, from messages to messages."""
        config: NodeConfig = self._settings.current
        self._check_age(pair, max_age_s=config.max_latency)
        if config is not self.pipeline.config:
            self.pipeline.reconfigure(config)
        draws = self._debug.wanted(max_rate_hz=config.debug.max_rate)
        with stage_clock() as clock:
            answer = self._refine(pair, trace=draws)
        if answer is None:
            return
        with self._gate:
            if not self._is_active:
                return
            self._publish(answer, config, clock.seconds)
            if draws:
                self._debug.publish(answer)
        self.last_answer = answer
        self.next_answer.give(answer)
        with _memory_for_a_picture():
            self.pipeline.look_again()

    def _check_age(self, pair: Pair, *, max_age_s: float) -> None:
        """
        Raises:
            RefusedInputError: The picture is too old to be worth the time; so is none while simulated time is silent.
        """
        now_ns = self._node.get_clock().now().nanoseconds
        age_s = 1e-9 * (now_ns - pair.stamp_ns)
        # A stamp of 0 is refused as such.
        if now_ns and pair.stamp_ns and 0.0 < max_age_s < age_s:
            raise RefusedInputError(
                Reason.LATE,
                f"an image is {age_s:.3g} s old when its turn comes; max_latency is {max_age_s:g} s (a recording or a "
                "simulation: set use_sim_time; a camera with a clock of its own: set max_latency to 0)",
            )

    def _refine(self, pair: Pair, *, trace: bool) -> FrameAnswer | None:
        with _memory_for_a_picture():
            return self.pipeline.process(pair, trace=trace)

    def _publish(self, answer: FrameAnswer, config: NodeConfig, stages_s: Mapping[str, float]) -> None:
        self._output.publish(answer.outcome.tracked, header=answer.header, config=config)
        latency_ms = 1e-6 * (self._node.get_clock().now().nanoseconds - answer.frame.stamp_ns)
        self.log.add(
            answer.outcome,
            stamp_ns=answer.frame.stamp_ns,
            engine_ms=answer.engine_ms,
            latency_ms=latency_ms,
            stages_ms={name: 1e3 * seconds for name, seconds in stages_s.items() if seconds},
        )


@contextmanager
def _memory_for_a_picture() -> Iterator[None]:
    """What runs out of the device's memory inside is refused; what can be freed is freed."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise RefusedInputError(
            Reason.OOM, f"no memory for a picture: lower refine.max_batch, or free the device ({error})"
        ) from error
