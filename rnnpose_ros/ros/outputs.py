"""What the node says about a picture: transforms and detections that agree, under the picture's header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray

from rnnpose_ros.ros.messages import detection_message, detections_message, transform_message
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.transforms import TransformOutput, frame_name
from rnnpose_ros.tracking.tracker import TrackedObject
from rnnpose_ros.types import ObjectModel


class PoseOutput:
    """Publishes tracked objects on /tf and ``~/detections``."""

    def __init__(self, node: Node, objects: Mapping[str, ObjectModel]) -> None:
        self._objects = objects
        self._transforms = TransformOutput(node)
        self._detections = node.create_publisher(Detection3DArray, "~/detections", QoSProfile(depth=10))

    def publish(self, tracked: Sequence[TrackedObject], *, header: Header, config: NodeConfig) -> None:
        """Publish one picture's objects; no object gives an empty array and no transform.

        Args:
            tracked: What may be published.
            header: The image's own.
            config: As of this picture.
        """
        if config.publish.tf:
            self._transforms.send(
                [
                    transform_message(
                        item.result.T_camera_object,
                        header=header,
                        child=frame_name(
                            config.tf.frame_template,
                            prefix=config.tf.frame_prefix,
                            label=item.label,
                            number=item.number,
                        ),
                    )
                    for item in tracked
                ]
            )
        if config.publish.detections:
            detections = [
                detection_message(
                    item, self._objects[item.label], header=header, with_covariance=config.covariance.publish
                )
                for item in tracked
            ]
            self._detections.publish(detections_message(detections, header=header))
