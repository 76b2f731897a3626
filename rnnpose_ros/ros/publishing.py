"""The node's own publishers of poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Header, String
from vision_msgs.msg import Detection3DArray, VisionInfo
from visualization_msgs.msg import MarkerArray

from rnnpose_ros.ros.frame_lookups import FrameLookups
from rnnpose_ros.ros.frame_owner import FrameOwner
from rnnpose_ros.ros.markers import MarkerBook
from rnnpose_ros.ros.messages import stamp_ns
from rnnpose_ros.ros.object_database import database_yaml
from rnnpose_ros.ros.outputs import PoseMessages, pose_messages, transforms_in
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.qos import LATCHED, overridable
from rnnpose_ros.ros.reasons import Reason
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.ros.transforms import TransformOutput
from rnnpose_ros.tracking.track import TrackedObject
from rnnpose_ros.tracking.transform_tree import TransformLookupError
from rnnpose_ros.types import ObjectModel

_DEPTH = 10


class PoseOutput:
    """Publishes what is served, and what is tracked: /tf, ``~/detections``, ``~/poses``, ``~/pose/...``, ``~/markers``.

    Args:
        node: Where the publishers live.
        objects: By label.
        frames: Where frames are in each other, for ``tf.parent_frame``.
        reporter: Where refusals are said and counted.
    """

    def __init__(
        self, node: Node, objects: Mapping[str, ObjectModel], *, frames: FrameLookups, reporter: Reporter
    ) -> None:
        self._node, self._frames, self._reporter = node, frames, reporter
        self._transforms = TransformOutput(node)
        self._owner = FrameOwner(frames)
        self._detections = self._publisher(Detection3DArray, "~/detections")
        self._poses = self._publisher(PoseArray, "~/poses")
        self._markers = self._publisher(MarkerArray, "~/markers")
        self._vision_info = node.create_publisher(VisionInfo, "~/vision_info", LATCHED)
        self._database = node.create_publisher(String, "~/object_database", LATCHED)
        self._stamped: dict[str, Publisher] = {}
        self._book = MarkerBook()
        self._version = 0
        self.serve(objects)

    def serve(self, objects: Mapping[str, ObjectModel]) -> None:
        """Speak of these objects from now on, and announce them."""
        self._objects = objects
        self._database.publish(String(data=database_yaml(objects)))
        info = VisionInfo(method="RNNPose", database_location=self._database.topic_name)
        info.header.stamp = self._node.get_clock().now().to_msg()
        info.database_version = self._version
        self._vision_info.publish(info)
        self._version += 1

    def publish(self, tracked: Sequence[TrackedObject], *, header: Header, config: NodeConfig) -> None:
        """Publish one picture's objects; no object gives empty arrays and no transform.

        Args:
            tracked: What may be published.
            header: The image's own.
            config: As of this picture.
        """
        messages = pose_messages(tracked, self._objects, header=header, config=config)
        if config.publish.tf:
            self._send_transforms(messages, tracked, header=header, config=config)
        if config.publish.detections:
            self._detections.publish(messages.detections)
        if config.publish.poses and self._poses.get_subscription_count():
            self._poses.publish(messages.poses)
        if config.publish.per_object_pose:
            for token, message in messages.stamped:
                self._stamped_publisher(token).publish(message)
        if config.publish.markers and self._markers.get_subscription_count():
            markers = self._book.messages(
                tracked, self._objects, header=header, lifetime_s=config.publish.marker_lifetime
            )
            if markers:
                self._markers.publish(MarkerArray(markers=markers))

    def close(self) -> None:
        """Take the publishers from the graph."""
        self._transforms.close()
        whole = (self._detections, self._poses, self._markers, self._vision_info, self._database)
        for publisher in (*whole, *self._stamped.values()):
            self._node.destroy_publisher(publisher)

    def _send_transforms(
        self, messages: PoseMessages, tracked: Sequence[TrackedObject], *, header: Header, config: NodeConfig
    ) -> None:
        transforms = messages.transforms
        parent = config.tf.parent_frame
        if transforms and parent and parent != header.frame_id:
            try:
                T_parent_camera = self._frames.lookup(parent, header.frame_id, stamp_ns(header.stamp))
            except TransformLookupError as error:
                self._reporter.refuse(Reason.TF_UNAVAILABLE, f"no transforms under tf.parent_frame {parent!r}: {error}")
                return
            transforms = transforms_in(parent, T_parent_camera, tracked, header=header, config=config)
        for child, news in self._owner.rivals(transforms):
            self._reporter.refuse(
                Reason.FRAME_TAKEN,
                f"the frame {child!r} is published by somebody else as well, in {news.parent!r}: "
                "change tf.frame_prefix",
            )
        self._transforms.send(transforms)

    def _stamped_publisher(self, token: str) -> Publisher:
        if token not in self._stamped:
            self._stamped[token] = self._publisher(PoseWithCovarianceStamped, f"~/pose/{token}")
        return self._stamped[token]

    def _publisher(self, kind: type, topic: str) -> Any:
        return self._node.create_publisher(kind, topic, QoSProfile(depth=_DEPTH), qos_overriding_options=overridable())
