"""A camera that plays a recorded sequence: Image and CameraInfo at the sequence's rate.

Stamps are ``start + index / rate``. The facts of the run are on the latched topic ``sequence_info`` as
JSON (``start_ns fps n_frames first label lockstep``), so that others know which frame a stamp means. The node
ends after the last frame.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String
from vision_msgs.msg import Detection3DArray

from rnnpose_ros.config import param
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.ros.messages import camera_info_message, stamp_message, stamp_ns
from rnnpose_ros.ros.parameters import NodeParameters
from rnnpose_ros.ros.qos import LATCHED
from rnnpose_ros.ros.running import EXIT_FAILED, RunnableNode, Worker, run_process
from rnnpose_ros.sources.recorded import FrameClock
from rnnpose_ros.sources.sequence import Sequence, read_sequence

_ACK_S = 5.0


@dataclass(frozen=True, slots=True)
class PlayerConfig:
    """What is played, and how."""

    data: str = param("", doc="Folder of the sequence, a path or package://")
    mesh_scale: float = param(0.0, doc="Metres per unit of a bare mesh; 0 leaves it as it is", bounds=(0.0, 1000.0))
    rate: float = param(1.0, doc="Speed of playing, 1 is the sequence's own", bounds=(0.001, 1000.0))
    first: int = param(0, doc="Index of the first frame", bounds=(0, 10_000_000))
    count: int = param(0, doc="How many frames; 0 means all", bounds=(0, 10_000_000))
    frame_id: str = param("camera_color_optical_frame", doc="Frame of image and camera_info")
    wait_image: int = param(1, doc="Subscribers of image to wait for", bounds=(0, 100))
    wait_camera_info: int = param(1, doc="Subscribers of camera_info to wait for", bounds=(0, 100))
    wait_sequence_info: int = param(0, doc="Subscribers of sequence_info to wait for", bounds=(0, 100))
    wait_limit: float = param(30.0, doc="Longest wait for them; then the node fails", unit="s", bounds=(0.0, 600.0))
    lockstep: bool = param(False, doc="Send each frame only after ~/detections of the refiner answered the last")
    refiner: str = param("/rnnpose", doc="Full name of the refiner node, for lockstep")
    answer_limit: float = param(5.0, doc="Longest wait for an answer", unit="s", bounds=(0.01, 600.0))


class PlayerNode(RunnableNode):
    """Publishes ``image``, ``camera_info`` and ``sequence_info``."""

    def __init__(self, name: str = "player", **node_options: Any) -> None:
        """
        Args:
            name: Of the node.
            node_options: Go on to ``rclpy.node.Node``.
        """
        super().__init__(name, **node_options)
        self._config: PlayerConfig = NodeParameters(self, PlayerConfig).current
        if not self._config.data:
            raise ConfigError("no sequence: set the parameter data to a folder with camera.json and poses.json")
        self._sequence = read_sequence(self._config.data, mesh_scale=self._config.mesh_scale or None)
        self._indices = _chosen_frames(self._sequence, self._config)
        self._images = self.create_publisher(Image, "image", QoSProfile(depth=5))
        self._infos = self.create_publisher(CameraInfo, "camera_info", QoSProfile(depth=5))
        self._facts = self.create_publisher(String, "sequence_info", LATCHED)
        self._stopped = threading.Event()
        self._answered = threading.Event()
        self._sent_ns: int | None = None
        if self._config.lockstep:
            topic = f"{self._config.refiner.rstrip('/')}/detections"
            self.create_subscription(Detection3DArray, topic, self._on_answer, 10)
        self._worker = Worker(self, self._play)

    def close(self) -> bool:
        """Stop playing."""
        self._stopped.set()
        self._answered.set()
        return self._worker.join()

    def _play(self) -> None:
        if self._wait_for_subscribers():
            self._publish_all()
        self.context.try_shutdown()

    def _wait_for_subscribers(self) -> bool:
        """True once they are there; False, with the exit code set, when they do not come."""
        config = self._config
        wanted = {
            self._images: config.wait_image,
            self._infos: config.wait_camera_info,
            self._facts: config.wait_sequence_info,
        }
        waited = 0.0
        while missing := [p.topic_name for p, number in wanted.items() if p.get_subscription_count() < number]:
            if waited >= config.wait_limit:
                self.get_logger().fatal(f"not playing: too few subscribers of {', '.join(missing)} came")
                self.exit_code = EXIT_FAILED
                return False
            if self._stopped.wait(0.05):
                return False
            waited += 0.05
        return True

    def _publish_all(self) -> None:
        first, rate = self._indices[0], self._sequence.fps * self._config.rate
        clock = FrameClock(fps=rate, start_ns=self.get_clock().now().nanoseconds)
        self._publish_facts(clock, first)
        for index, rgb in self._sequence.frames(self._indices):
            due_ns = clock.stamp_ns(index - first)
            if not self._wait_until(due_ns):
                return
            header = Header(stamp=stamp_message(due_ns), frame_id=self._config.frame_id)
            self._infos.publish(camera_info_message(self._sequence.camera, header=header))
            self._images.publish(fill_message(Image(header=header), rgb.numpy(), encoding="rgb8"))
        # Leaving at once would take the last pictures along.
        for publisher in (self._images, self._infos):
            publisher.wait_for_all_acked(_seconds(_ACK_S))

    def _wait_until(self, due_ns: int) -> bool:
        """Wait for a frame's time, or in lockstep for the answer to the last one; False when stopped."""
        if not self._config.lockstep:
            return not self._stopped.wait(max(0.0, 1e-9 * (due_ns - self.get_clock().now().nanoseconds)))
        if self._sent_ns is not None and not self._answered.wait(self._config.answer_limit):
            self.get_logger().warning(f"no answer to frame {self._sent_ns} within {self._config.answer_limit:g} s")
        self._answered.clear()
        self._sent_ns = due_ns
        return not self._stopped.is_set()

    def _on_answer(self, message: Detection3DArray) -> None:
        if stamp_ns(message.header.stamp) == self._sent_ns:
            self._answered.set()

    def _publish_facts(self, clock: FrameClock, first: int) -> None:
        facts = {
            "start_ns": clock.start_ns,
            "fps": clock.fps,
            "first": first,
            "n_frames": len(self._indices),
            "label": self._sequence.object.label,
            "lockstep": self._config.lockstep,
        }
        self._facts.publish(String(data=json.dumps(facts)))


def _chosen_frames(sequence: Sequence, config: PlayerConfig) -> range:
    end = min(sequence.n_frames, config.first + config.count) if config.count else sequence.n_frames
    if config.first >= end:
        raise ConfigError(f"first: expected a frame below {sequence.n_frames}, got {config.first}")
    return range(config.first, end)


def _seconds(seconds: float) -> Any:
    from rclpy.duration import Duration

    return Duration(seconds=seconds)


def main() -> None:
    """Play a sequence."""
    run_process(PlayerNode, threads=2)


if __name__ == "__main__":
    main()
