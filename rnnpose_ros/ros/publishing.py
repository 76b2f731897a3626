"""The node's own publishers of poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray

from rnnpose_ros.ros.outputs import pose_messages
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.transforms import TransformOutput
from rnnpose_ros.tracking.track import TrackedObject
from rnnpose_ros.types import ObjectModel


class PoseOutput:
    """Publishes tracked objects on /tf and ``~/detections``."""

    def __init__(self, node: Node, objects: Mapping[str, ObjectModel]) -> None:
        self._node = node
        self._objects = objects
        self._transforms = TransformOutput(node)
        self._detections = node.create_publisher(Detection3DArray, "~/detections", QoSProfile(depth=10))

    def serve(self, objects: Mapping[str, ObjectModel]) -> None:
        """Speak of other objects from now on."""
        self._objects = objects

    def close(self) -> None:
        """Take the publishers from the graph."""
        self._transforms.close()
        self._node.destroy_publisher(self._detections)

    def publish(self, tracked: Sequence[TrackedObject], *, header: Header, config: NodeConfig) -> None:
        """Publish one picture's objects; no object gives an empty array and no transform.

        Args:
            tracked: What may be published.
            header: The image's own.
            config: As of this picture.
        """
        messages = pose_messages(tracked, self._objects, header=header, config=config)
        if config.publish.tf:
            self._transforms.send(messages.transforms)
        if config.publish.detections:
            self._detections.publish(messages.detections)
