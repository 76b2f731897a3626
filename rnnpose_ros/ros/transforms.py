"""Poses on /tf: through tf2_ros where the machine has it, else as the same message by our own hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage

from rnnpose_ros.ros.messages import stamp_ns

_BROADCASTER_QOS = QoSProfile(
    depth=100,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)


class TransformOutput:
    """Sends transforms, one message for all of a picture, and none twice for one child and stamp."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher, self._send = _sender(node)
        self._last_stamp_ns: dict[str, int] = {}

    def send(self, transforms: Sequence[TransformStamped]) -> int:
        """Send what is new; returns how many were left out because listeners have them already."""
        fresh = [t for t in transforms if self._last_stamp_ns.get(t.child_frame_id) != stamp_ns(t.header.stamp)]
        self._last_stamp_ns.update({t.child_frame_id: stamp_ns(t.header.stamp) for t in fresh})
        if fresh:
            self._send(fresh)
        return len(transforms) - len(fresh)

    def close(self) -> None:
        """Take the publisher from the graph."""
        self._node.destroy_publisher(self._publisher)


def _sender(node: Node) -> tuple[Publisher, Callable[[list[TransformStamped]], None]]:
    try:
        from tf2_ros import TransformBroadcaster
    except ImportError:
        publisher = node.create_publisher(TFMessage, "/tf", _BROADCASTER_QOS)
        return publisher, lambda transforms: publisher.publish(TFMessage(transforms=transforms))
    broadcaster = TransformBroadcaster(node)
    return broadcaster.pub_tf, broadcaster.sendTransform
