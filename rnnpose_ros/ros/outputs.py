"""What is said about a picture: transforms, detections and poses that agree, in the same order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.ros.frame_names import frame_name
from rnnpose_ros.ros.message_types import (
    DetectionsFields,
    HeaderFields,
    MessageMaker,
    TransformFields,
    ros_message,
)
from rnnpose_ros.ros.messages import detection_message, detections_message, transform_message
from rnnpose_ros.ros.parameters import CovarianceConfig, NodeConfig
from rnnpose_ros.tracking.track import TrackedObject
from rnnpose_ros.types import ObjectModel


@dataclass(frozen=True, slots=True, eq=False)
class PoseMessages:
    """One picture's objects; no object gives an empty array and no transform."""

    transforms: tuple[TransformFields, ...]
    """In the camera's frame."""
    detections: DetectionsFields
    poses: Any
    """geometry_msgs/PoseArray."""
    stamped: tuple[tuple[str, Any], ...]
    """The end of each object's topic, and its geometry_msgs/PoseWithCovarianceStamped."""


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
    tracked = [_with_covariance(item, config.covariance) for item in tracked]
    transforms = tuple(
        transform_message(item.result.T_camera_object, header=header, child=child_frame(item, config), make=make)
        for item in tracked
    )
    detections = [detection_message(item, objects[item.label], header=header, make=make) for item in tracked]
    best = [detection.results[0].pose for detection in detections]
    return PoseMessages(
        transforms,
        detections_message(detections, header=header, make=make),
        make("geometry_msgs/PoseArray", header=header, poses=[pose.pose for pose in best]),
        tuple(
            (
                topic_token(item.label, item.number),
                make("geometry_msgs/PoseWithCovarianceStamped", header=header, pose=pose),
            )
            for item, pose in zip(tracked, best, strict=True)
        ),
    )


def transforms_in(
    parent: str,
    T_parent_camera: Float[Tensor, "4 4"],
    tracked: Sequence[TrackedObject],
    *,
    header: HeaderFields,
    config: NodeConfig,
    make: MessageMaker = ros_message,
) -> tuple[TransformFields, ...]:
    """The transforms under another parent than the camera, at the image's stamp."""
    turned = make("std_msgs/Header", stamp=header.stamp, frame_id=parent)
    return tuple(
        transform_message(
            T_parent_camera @ item.result.T_camera_object.double(),
            header=turned,
            child=child_frame(item, config),
            make=make,
        )
        for item in tracked
    )


def child_frame(item: TrackedObject, config: NodeConfig) -> str:
    """The name of an object's frame."""
    return frame_name(config.tf.frame_template, prefix=config.tf.frame_prefix, label=item.label, number=item.number)


def topic_token(label: str, number: int) -> str:
    """``<class>_<n>`` as the last part of a topic's name, which has no other signs and begins with a letter."""
    token = re.sub(r"\W", "_", f"{label}_{number}", flags=re.ASCII)
    return token if token[0].isalpha() else f"object_{token}"


def published_covariance(
    covariance: Float[Tensor, "6 6"] | None, config: CovarianceConfig
) -> Float[Tensor, "6 6"] | None:
    """As the configuration scales it and bounds it from below; None where none is to be published."""
    if covariance is None or not config.publish:
        return None
    scaled = config.scale * covariance.double()
    position, rotation = config.min_std_position**2, config.min_std_rotation**2
    least = torch.tensor([position] * 3 + [rotation] * 3, dtype=scaled.dtype, device=scaled.device)
    return scaled + torch.diag((least - scaled.diagonal()).clamp_min(0.0))


def _with_covariance(item: TrackedObject, config: CovarianceConfig) -> TrackedObject:
    covariance = published_covariance(item.result.covariance, config)
    return dataclasses.replace(item, result=dataclasses.replace(item.result, covariance=covariance))
