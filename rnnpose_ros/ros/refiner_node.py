"""The refiner node: pictures and rough poses in, refined poses out.

A lifecycle node. Configuring loads mesh, weights and engine and warms up (:mod:`~rnnpose_ros.ros.session`), activating
begins to listen. The node itself holds no mathematics.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import torch
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from rnnpose_ros.errors import InputError
from rnnpose_ros.ros.account import Account, Reading, Status
from rnnpose_ros.ros.diagnostics import DiagnosticsOutput, memory_in_use
from rnnpose_ros.ros.frame_log import FrameSnapshot
from rnnpose_ros.ros.lifecycle import ManagedNode
from rnnpose_ros.ros.mailbox import MailboxCounts
from rnnpose_ros.ros.pairing import PairingCounts
from rnnpose_ros.ros.parameters import NodeParameters
from rnnpose_ros.ros.pipeline import RefinementPipeline
from rnnpose_ros.ros.reasons import Reason
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.ros.running import run_process
from rnnpose_ros.ros.services import RefinerServices
from rnnpose_ros.ros.session import RefinerSession

_END_S = 1.5
"""How long a picture may hold up the end of the process."""


class RefinerNode(ManagedNode):
    """Subscribes pictures, their camera infos, rough poses and /tf; publishes /tf, ``~/detections``, ``~/debug``."""

    def __init__(self, name: str = "rnnpose", **node_options: Any) -> None:
        """
        Args:
            name: Of the node.
            node_options: Go on to its base classes: context, parameter_overrides, ...
        """
        super().__init__(name, **node_options)
        self._session: RefinerSession | None = None
        self._settings = NodeParameters(self, is_configured=lambda: self._session is not None or self.is_changing)
        self._reporter = Reporter(self.get_logger())
        self._accounts = Account()
        DiagnosticsOutput(self, self._account, callback_group=MutuallyExclusiveCallbackGroup())
        RefinerServices(self, self._configured, self._settings)
        if self._settings.current.autostart:
            self.start_by_itself()

    def configure(self) -> None:
        """Load objects and engine, and warm up."""
        self._session = RefinerSession(self, self._settings, self._reporter)
        config = self._settings.current
        self.get_logger().info(f"configured: engine {config.engine}, objects {', '.join(self._session.labels)}")

    def activate(self) -> None:
        """Listen and refine."""
        self._configured().start()
        self.get_logger().info("ready")

    def deactivate(self) -> None:
        """Listen and publish no longer."""
        self._configured().stop()

    def cleanup(self) -> None:
        """Free engine, objects and whatever is on the graph for them."""
        if self._session is not None:
            self._session.close()
            self._session = None
        # Networks hang in cycles; a GPU's memory is to be free when this returns.
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def close(self) -> bool:
        """End the worker; False when it is still busy after a while."""
        if self._session is not None:
            return self._session.abandon(timeout_s=_END_S)
        return not self.is_changing

    @property
    def counts(self) -> dict[Reason, int]:
        """How often each reason came up; BUSY are pictures that a newer one replaced."""
        return {**self._reporter.counts, Reason.BUSY: self.mailbox_counts.dropped}

    @property
    def mailbox_counts(self) -> MailboxCounts:
        """What became of the pairs of image and camera info."""
        session = self._session
        return MailboxCounts(0, 0, 0) if session is None else session.mailbox_counts

    @property
    def initial_poses_received(self) -> int:
        """Messages of initial poses so far."""
        session = self._session
        return 0 if session is None else session.poses_received

    @property
    def pipeline(self) -> RefinementPipeline:
        """What works on the messages; raises an ``InputError`` while the node is not configured."""
        return self._configured().pipeline

    def _configured(self) -> RefinerSession:
        """
        Raises:
            InputError: The node is not configured.
        """
        session = self._session
        if session is None:
            raise InputError(f"the node is {self.state_label}: ros2 lifecycle set {self.get_name()} configure")
        return session

    def _account(self) -> Sequence[Status]:
        session, config = self._session, self._settings.current
        topics = [] if session is None else session.topic_reports
        reading = Reading(
            state=self.state_label,
            is_enabled=session is not None and session.is_enabled,
            frames=FrameSnapshot() if session is None else session.log.snapshot(),
            mailbox=self.mailbox_counts,
            pairing=PairingCounts(0, 0, 0, None) if session is None else session.pairing_counts,
            poses=self.initial_poses_received,
            reasons=self._reporter.counts,
            topics=topics,
            memory=memory_in_use(),
            device=config.device,
            clock_is_silent=not self.get_clock().now().nanoseconds,
        )
        return self._accounts.statuses(reading, config.diagnostics)


def main() -> None:
    """Run the refiner node."""
    run_process(RefinerNode)


if __name__ == "__main__":
    main()
