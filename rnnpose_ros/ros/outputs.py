"""What is said about a picture: transforms and detections that agree, under the picture's header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnnpose_ros.ros.frame_names import frame_name
from rnnpose_ros.ros.message_types import (
    DetectionsFields,
    HeaderFields,
    MessageMaker,
    TransformFields,
    ros_message,
)
from rnnpose_ros.ros.messages import detection_message, detections_message, transform_message
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.tracking.track import TrackedObject
from rnnpose_ros.types import ObjectModel


@dataclass(frozen=True, slots=True, eq=False)
class PoseMessages:
    """One picture's objects; no object gives an empty array and no transform."""

    transforms: tuple[TransformFields, ...]
    detections: DetectionsFields


def pose_messages(
    tracked: Sequence[TrackedObject],
    objects: Mapping[str, ObjectModel],
    *,
    header: HeaderFields,
    config: NodeConfig,
    make: MessageMaker = ros_message,
) -> PoseMessages:
    """The messages about one picture.

    Args:
        tracked: What may be published.
        objects: By label.
        header: The image's own.
        config: As of this picture.
        make: Makes the messages.
    """
    frames = (
        frame_name(config.tf.frame_template, prefix=config.tf.frame_prefix, label=item.label, number=item.number)
        for item in tracked
    )
    transforms = tuple(
        transform_message(item.result.T_camera_object, header=header, child=child, make=make)
        for item, child in zip(tracked, frames, strict=True)
    )
    detections = [
        detection_message(
            item, objects[item.label], header=header, with_covariance=config.covariance.publish, make=make
        )
        for item in tracked
    ]
    return PoseMessages(transforms, detections_message(detections, header=header, make=make))
