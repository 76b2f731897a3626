"""Listens to what a refiner says and writes it down; publishes nothing.

Into its folder go ``sequence.json`` (the player's facts), ``counts.json`` at the end, ``transforms.jsonl``,
``detections.jsonl``, ``initial.jsonl`` (one message a line, stamps in nanoseconds, poses as 4 x 4
matrices, with the time of hearing), ``overlay/<stamp>.jpg`` and ``similarity/<stamp>.png`` (8 bits, 255 is 1).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from rnnpose_ros.config import param
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.ros.images import float_from_message, rgb_from_message
from rnnpose_ros.ros.messages import header_fields, matrix_from_pose, matrix_from_transform
from rnnpose_ros.ros.parameters import NodeParameters
from rnnpose_ros.ros.qos import LATCHED
from rnnpose_ros.ros.running import EXIT_FAILED, RunnableNode, run_process

_CHECK_PERIOD_S = 0.2
_SUFFIX = {"overlay": "jpg", "similarity": "png"}


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Where to, from whom, and until when."""

    folder: str = param("", doc="Where the files go; it is made")
    refiner: str = param("/rnnpose", doc="Full name of the refiner node")
    prefix: str = param("rnnpose/", doc="Transforms of which children are kept")
    quiet_time: float = param(2.0, doc="Silence after the player is gone that ends it", unit="s", bounds=(0.1, 60.0))
    wait_limit: float = param(60.0, doc="Longest wait for the player", unit="s", bounds=(0.1, 3600.0))


class RecorderNode(RunnableNode):
    """Subscribes /tf, ``initial_detections``, and the refiner's detections and debug images."""

    def __init__(self, name: str = "recorder", **node_options: Any) -> None:
        """
        Args:
            name: Of the node.
            node_options: Go on to ``rclpy.node.Node``.
        """
        super().__init__(name, **node_options)
        self._config: RecorderConfig = NodeParameters(self, RecorderConfig).current
        if not self._config.folder:
            raise ConfigError("no folder: set the parameter folder to where the files go")
        self._folder = Path(self._config.folder)
        for kind in _SUFFIX:
            (self._folder / kind).mkdir(parents=True, exist_ok=True)
        self._counts: Counter[str] = Counter()
        self._files: dict[str, Any] = {}
        self._born_at = self._heard_at = time.monotonic()
        self._player: Any = None
        self._player_seen = False
        self._subscribe()
        self.create_timer(_CHECK_PERIOD_S, self._watch_player)

    def close(self) -> bool:
        """Write down the counts."""
        for file in self._files.values():
            file.close()
        (self._folder / "counts.json").write_text(json.dumps(dict(self._counts)))
        return True

    def _subscribe(self) -> None:
        refiner = self._config.refiner.rstrip("/")
        many = QoSProfile(depth=100)
        self.create_subscription(TFMessage, "/tf", self._on_transforms, many)
        self.create_subscription(Detection3DArray, f"{refiner}/detections", self._detections("detections"), many)
        self.create_subscription(Detection3DArray, "initial_detections", self._detections("initial"), many)
        few = QoSProfile(depth=10)
        self.create_subscription(Image, f"{refiner}/debug/overlay", self._on_overlay, few)
        self.create_subscription(Image, f"{refiner}/debug/similarity", self._on_similarity, few)

    def _listen_to_player(self) -> None:
        """Once the refiner can be heard: a player that waits for this node then waits for it, too."""
        if self.count_publishers(f"{self._config.refiner.rstrip('/')}/detections"):
            self._player = self.create_subscription(String, "sequence_info", self._on_facts, LATCHED)

    def _on_facts(self, message: String) -> None:
        (self._folder / "sequence.json").write_text(message.data)
        self._player_seen = True

    def _on_transforms(self, message: TFMessage) -> None:
        for transform in message.transforms:
            if transform.child_frame_id.startswith(self._config.prefix):
                line = header_fields(transform.header)
                line["child"] = transform.child_frame_id
                line["T"] = matrix_from_transform(transform).tolist()
                self._write("transforms", line)

    def _detections(self, kind: str) -> Callable[[Detection3DArray], None]:
        def write(message: Detection3DArray) -> None:
            line = header_fields(message.header)
            line["detections"] = [
                {
                    "label": detection.results[0].hypothesis.class_id,
                    "id": detection.id,
                    "score": detection.results[0].hypothesis.score,
                    "T": matrix_from_pose(detection.results[0].pose.pose).tolist(),
                }
                for detection in message.detections
                if detection.results
            ]
            self._write(kind, line)

        return write

    def _on_overlay(self, message: Image) -> None:
        self._draw("overlay", message, cv2.cvtColor(np.ascontiguousarray(rgb_from_message(message)), cv2.COLOR_RGB2BGR))

    def _on_similarity(self, message: Image) -> None:
        values = float_from_message(message)
        self._draw("similarity", message, np.rint(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8))

    def _draw(self, kind: str, message: Image, picture: np.ndarray) -> None:
        stamp = header_fields(message.header)["stamp_ns"]
        cv2.imwrite(str(self._folder / kind / f"{stamp}.{_SUFFIX[kind]}"), picture)
        self._heard(kind)

    def _write(self, kind: str, line: dict[str, Any]) -> None:
        if kind not in self._files:
            # Line by line, so that whoever watches the run sees how far it is.
            self._files[kind] = (self._folder / f"{kind}.jsonl").open("w", buffering=1)
        line["heard_ns"] = self.get_clock().now().nanoseconds
        self._files[kind].write(json.dumps(line) + "\n")
        self._heard(kind)

    def _heard(self, kind: str) -> None:
        self._counts[kind] += 1
        self._heard_at = time.monotonic()

    def _watch_player(self) -> None:
        now = time.monotonic()
        if self._player is None:
            self._listen_to_player()
        if not self._player_seen:
            if now - self._born_at > self._config.wait_limit:
                self.get_logger().fatal(f"no player came within {self._config.wait_limit:g} s")
                self.exit_code = EXIT_FAILED
                self.context.try_shutdown()
        elif self.count_publishers("sequence_info"):
            self._heard_at = now
        elif now - self._heard_at > self._config.quiet_time:
            self.context.try_shutdown()


def main() -> None:
    """Record a run."""
    run_process(RecorderNode, threads=1)


if __name__ == "__main__":
    main()
