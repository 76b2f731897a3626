"""The two ends of a measurement: a process that sends pictures as a camera driver does, and one that counts them.

``python -m rnnpose_ros.ros.transport_probe send|receive ...``; see :mod:`~rnnpose_ros.ros.transport_measurement`,
which starts both. Everything is waited for within ``--limit`` seconds, after which the end says what it has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.ros.messages import stamp_message, stamp_ns
from rnnpose_ros.ros.transport_measurement import ImageStream

_DONE_TOPIC = "transport_probe/done"
_DONE_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_LAST_S = 1.0
"""How long the last pictures of a stream may take after the sender has said how many there were."""
_POLL_S = 0.01


def image_qos(stream: ImageStream) -> QoSProfile:
    """Of a camera driver and of our node: a short queue."""
    best_effort = stream.reliability == "best_effort"
    return QoSProfile(
        depth=stream.depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
    )


class Sender:
    """Sends one stream after the other.

    Args:
        node: Where the publishers live.
        limit_s: For everything.
    """

    def __init__(self, node: Node, *, limit_s: float) -> None:
        self._node = node
        self._deadline = time.monotonic() + limit_s
        self._done = node.create_publisher(String, _DONE_TOPIC, _DONE_QOS)

    def send(self, stream: ImageStream, *, count: int, rate_hz: float) -> None:
        """Send pictures at an even rate once somebody listens, then say how many there were."""
        publisher = self._node.create_publisher(Image, stream.topic, image_qos(stream))
        image = fill_message(Image(), np.full((stream.height, stream.width, 3), 128, np.uint8), encoding="rgb8")
        sent = 0
        if self._wait(lambda: publisher.get_subscription_count() > 0):
            started = time.monotonic()
            while sent < count and time.monotonic() < self._deadline:
                time.sleep(max(0.0, started + sent / rate_hz - time.monotonic()))
                image.header.stamp = stamp_message(time.time_ns())
                publisher.publish(image)
                sent += 1
            if stream.reliability == "reliable":
                publisher.wait_for_all_acked(Duration(seconds=_LAST_S))
        self._done.publish(String(data=json.dumps({"topic": stream.topic, "sent": sent})))

    def wait_until_heard(self) -> None:
        """Until the receiver is gone, so that the last words reach it."""
        self._wait(lambda: self._done.get_subscription_count() == 0)

    def _wait(self, condition: Callable[[], bool]) -> bool:
        while not condition():
            if time.monotonic() >= self._deadline:
                return False
            time.sleep(_POLL_S)
        return True


class Receiver:
    """Counts what arrives of every stream.

    Args:
        node: Where the subscriptions live.
        streams: All that will be sent.
    """

    def __init__(self, node: Node, streams: list[ImageStream]) -> None:
        self._sent: dict[str, int] = {}
        self._delays_ms: dict[str, list[float]] = {stream.topic: [] for stream in streams}
        self._changed_at = time.monotonic()
        node.create_subscription(String, _DONE_TOPIC, self._on_done, _DONE_QOS)
        for stream in streams:
            node.create_subscription(Image, stream.topic, self._counter(stream.topic), image_qos(stream))

    @property
    def is_complete(self) -> bool:
        """True when everything sent has come, or nothing more comes."""
        if len(self._sent) < len(self._delays_ms):
            return False
        all_came = all(len(delays) >= self._sent[topic] for topic, delays in self._delays_ms.items())
        return all_came or time.monotonic() - self._changed_at > _LAST_S

    def counts(self) -> dict[str, Any]:
        """By topic: how many were sent (null where the sender was not heard) and received, and the median delay."""
        return {
            topic: {
                "sent": self._sent.get(topic),
                "received": len(delays),
                "delay_ms": statistics.median(delays) if delays else None,
            }
            for topic, delays in self._delays_ms.items()
        }

    def _on_done(self, message: String) -> None:
        facts = json.loads(message.data)
        self._sent[facts["topic"]] = facts["sent"]
        self._changed_at = time.monotonic()

    def _counter(self, topic: str) -> Callable[[Image], None]:
        def count(image: Image) -> None:
            self._delays_ms[topic].append(1e-6 * (time.time_ns() - stamp_ns(image.header.stamp)))
            self._changed_at = time.monotonic()

        return count


def _send(args: argparse.Namespace, streams: list[ImageStream]) -> None:
    sender = Sender(Node("transport_probe_sender"), limit_s=args.limit)
    for stream in streams:
        sender.send(stream, count=args.count, rate_hz=args.rate)
    sender.wait_until_heard()


def _receive(args: argparse.Namespace, streams: list[ImageStream]) -> None:
    node = Node("transport_probe_receiver")
    receiver = Receiver(node, streams)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    deadline = time.monotonic() + args.limit
    while not receiver.is_complete and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    print(json.dumps(receiver.counts()), flush=True)


def main() -> None:
    """One end of the measurement."""
    parser = argparse.ArgumentParser(description="One end of a measurement of image transport.")
    parser.add_argument("end", choices=("send", "receive"))
    parser.add_argument("streams", nargs="+", help="as 640x480:reliable or 1280x720:best_effort:20 (depth)")
    parser.add_argument("--count", type=int, default=45, help="pictures of each stream")
    parser.add_argument("--rate", type=float, default=30.0, help="pictures a second")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for everything")
    args = parser.parse_args()
    streams = [ImageStream.parse(text) for text in args.streams]
    rclpy.init(args=[])
    try:
        (_send if args.end == "send" else _receive)(args, streams)
    finally:
        rclpy.try_shutdown()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
