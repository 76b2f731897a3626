"""A detector that is often wrong: the recorded poses of a sequence with noise, under the images' stamps.

It listens to ``camera_info`` for stamps and to ``sequence_info`` for which frame a stamp means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String
from vision_msgs.msg import Detection3DArray

from rnnpose_ros.config import param
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.ros.messages import detections_message, initial_pose_message, stamp_ns
from rnnpose_ros.ros.parameters import NodeParameters
from rnnpose_ros.ros.qos import LATCHED
from rnnpose_ros.ros.running import RunnableNode, run_process
from rnnpose_ros.sources.perturbed import PerturbedPoses
from rnnpose_ros.sources.recorded import FrameClock, RecordedPoses
from rnnpose_ros.sources.sequence import read_sequence

_CHECK_PERIOD_S = 0.05
_INSTANCE_ID = "0"
"""A sequence shows one object, so every pose means the same one."""


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Which poses are sent, how wrong, and how often."""

    data: str = param("", doc="Folder of the sequence, a path or package://")
    mesh_scale: float = param(0.0, doc="Metres per unit of a bare mesh; 0 leaves it as it is", bounds=(0.0, 1000.0))
    seed: int = param(0, doc="Of the noise", bounds=(0, 2**31 - 1))
    noise_scale: float = param(
        1.0, doc="Factor on the noise of 15 degrees per axis, 1 cm in x and y, 5 cm in z", bounds=(0.0, 100.0)
    )
    wait_subscribers: int = param(1, doc="Listeners to wait for before the camera is listened to", bounds=(0, 100))
    every: int = param(1, doc="Send each this many-th recorded pose; 0 means only the first", bounds=(0, 1_000_000))


class SourceNode(RunnableNode):
    """Publishes ``initial_detections``."""

    def __init__(self, name: str = "source", **node_options: Any) -> None:
        """
        Args:
            name: Of the node.
            node_options: Go on to ``rclpy.node.Node``.
        """
        super().__init__(name, **node_options)
        self._config: SourceConfig = NodeParameters(self, SourceConfig).current
        if not self._config.data:
            raise ConfigError("no sequence: set the parameter data to a folder with camera.json and poses.json")
        sequence = read_sequence(self._config.data, mesh_scale=self._config.mesh_scale or None)
        self._recorded = RecordedPoses(sequence.poses, label=sequence.object.label, clock=FrameClock(sequence.fps))
        self._poses = PerturbedPoses(
            self._recorded,
            clock=FrameClock(sequence.fps),
            seed=self._config.seed,
            scale=self._config.noise_scale,
        )
        self._stamps: FrameClock | None = None
        self._first = 0
        self._early: list[CameraInfo] = []
        self._recorded_seen = 0
        self._detections = self.create_publisher(Detection3DArray, "initial_detections", 10)
        self._waiting = self.create_timer(_CHECK_PERIOD_S, self._listen_when_heard)

    def _listen_when_heard(self) -> None:
        """Listen once there are listeners: a player that waits for this node then waits for them, too."""
        if self._detections.get_subscription_count() < self._config.wait_subscribers:
            return
        self.destroy_timer(self._waiting)
        self.create_subscription(String, "sequence_info", self._on_facts, LATCHED)
        self.create_subscription(CameraInfo, "camera_info", self._on_info, QoSProfile(depth=20))

    def _on_facts(self, message: String) -> None:
        facts = json.loads(message.data)
        self._stamps = FrameClock(fps=facts["fps"], start_ns=facts["start_ns"])
        self._first = facts["first"]
        early, self._early = self._early, []
        for info in early:
            self._on_info(info)

    def _on_info(self, info: CameraInfo) -> None:
        if self._stamps is None:
            # The facts are on another topic and may come a moment later.
            self._early = [*self._early[-19:], info]
            return
        index = self._first + self._stamps.index(stamp_ns(info.header.stamp))
        if not self._recorded.propose_at(index):
            return
        number, self._recorded_seen = self._recorded_seen, self._recorded_seen + 1
        if number % self._config.every if self._config.every else number:
            return
        detections = [
            initial_pose_message(hypothesis, header=info.header, instance_id=_INSTANCE_ID)
            for hypothesis in self._poses.propose_at(index)
        ]
        self._detections.publish(detections_message(detections, header=info.header))


def main() -> None:
    """Publish perturbed poses."""
    run_process(SourceNode, threads=1)


if __name__ == "__main__":
    main()
