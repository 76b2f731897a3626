"""The debug images: made only while somebody listens, and not more often than allowed."""

from __future__ import annotations

import time

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from rnnpose_ros.ros.debug_pictures import ENCODINGS, DebugPainter
from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.ros.pipeline import FrameAnswer
from rnnpose_ros.ros.qos import overridable


class DebugImages:
    """Publishes ``~/debug/overlay``, ``similarity``, ``similarity_color``, ``render`` and ``flow``.

    All have the header and size of the image.

    Args:
        node: Where the publishers live.
        painter: Draws.
    """

    def __init__(self, node: Node, painter: DebugPainter) -> None:
        self._node = node
        # Reliable: a best-effort image of this size hardly ever arrives whole on a default install.
        self._publishers = {
            kind: node.create_publisher(
                Image,
                f"~/debug/{kind}",
                QoSProfile(depth=2),
                qos_overriding_options=overridable(),
            )
            for kind in ENCODINGS
        }
        self._painter = painter
        self._is_prepared = False
        self._next_at = 0.0

    def wanted(self, *, max_rate_hz: float) -> bool:
        """True when somebody listens and the last images are old enough; the next call starts the count anew."""
        if not self._listened_to():
            return False
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + 1.0 / max_rate_hz
        return True

    def prepare(self) -> None:
        """Make what is drawn with, where somebody listens: for a moment in which no picture waits."""
        if not self._is_prepared and self._listened_to():
            self._painter.prepare()
            self._is_prepared = True

    def publish(self, answer: FrameAnswer) -> None:
        """Draw what was published about a picture, whose results carry their traces."""
        for kind in self._listened_to():
            picture = self._painter.draw(kind, answer)
            message = fill_message(Image(header=answer.header), picture, encoding=ENCODINGS[kind])
            self._publishers[kind].publish(message)

    def close(self) -> None:
        """Take the publishers from the graph."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)

    def _listened_to(self) -> list[str]:
        return [kind for kind, publisher in self._publishers.items() if publisher.get_subscription_count()]
