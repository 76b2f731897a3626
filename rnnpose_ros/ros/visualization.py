"""The two debug images: made only while somebody listens, and not more often than allowed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.refinement.pictures import overlay, similarity_map
from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult


class DebugImages:
    """Publishes ``~/debug/overlay`` (rgb8) and ``~/debug/similarity`` (32FC1, 0..1), in image coordinates.

    Args:
        node: Where the publishers live.
        objects: By label.
        make_features: Called when the first overlay is drawn.
    """

    def __init__(
        self, node: Node, objects: Mapping[str, ObjectModel], *, make_features: Callable[[], FeatureCache]
    ) -> None:
        # Reliable: a best-effort image of this size hardly ever arrives whole on a default install.
        qos = QoSProfile(depth=2)
        self._overlay = node.create_publisher(Image, "~/debug/overlay", qos)
        self._similarity = node.create_publisher(Image, "~/debug/similarity", qos)
        self._objects = objects
        self._make_features = make_features
        self._features: FeatureCache | None = None
        self._next_at = 0.0

    def wanted(self, *, max_rate_hz: float) -> bool:
        """True when somebody listens and the last images are old enough; the next call starts the count anew."""
        if not (self._overlay.get_subscription_count() or self._similarity.get_subscription_count()):
            return False
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + 1.0 / max_rate_hz
        return True

    def publish(
        self,
        frame: ImageFrame,
        results: Sequence[RefinementResult],
        *,
        initial: Sequence[PoseHypothesis],
        header: Header,
    ) -> None:
        """Draw what was published about this picture.

        Args:
            frame: The picture.
            results: Results of the tracked objects, with their traces.
            initial: The poses they started from.
            header: The image's own.
        """
        if self._overlay.get_subscription_count():
            if self._features is None:
                self._features = self._make_features()
            picture = overlay(frame, results, self._objects, self._features, initial=initial)
            self._overlay.publish(fill_message(Image(header=header), picture, encoding="rgb8"))
        if self._similarity.get_subscription_count():
            values = similarity_map(frame, results)
            self._similarity.publish(fill_message(Image(header=header), values, encoding="32FC1"))
