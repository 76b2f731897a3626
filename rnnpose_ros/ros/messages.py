"""The package's nouns to and from ROS messages. Quaternions are xyzw and live here and in geometry only.

Nothing here needs ROS to be installed, see :mod:`~rnnpose_ros.ros.message_types`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.rotations import matrix_from_quaternion_xyzw, quaternion_xyzw_from_matrix
from rnnpose_ros.geometry.se3 import from_rotation_translation
from rnnpose_ros.ros.camera_info import CameraInfoMessage
from rnnpose_ros.ros.message_types import (
    DetectionFields,
    DetectionsFields,
    HeaderFields,
    MessageMaker,
    PoseFields,
    StampFields,
    TransformFields,
    ros_message,
)
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.tracking.track import TrackedObject
from rnnpose_ros.types import CameraIntrinsics, ObjectModel, PoseHypothesis

_NS_PER_S = 1_000_000_000
_QUATERNION_NORMS = (1e-6, 1e6)
"""Outside, nobody meant a rotation."""
_FARTHEST_M = 1e6
"""Farther away nothing is seen, and numbers lose their meaning."""


def stamp_ns(stamp: StampFields) -> int:
    """Nanoseconds since the epoch, exactly."""
    return stamp.sec * _NS_PER_S + stamp.nanosec


def stamp_message(ns: int, *, make: MessageMaker = ros_message) -> StampFields:
    """The inverse of :func:`stamp_ns`."""
    return make("builtin_interfaces/Time", sec=ns // _NS_PER_S, nanosec=ns % _NS_PER_S)


def pose_message(T_frame_object: Float[Tensor, "4 4"], *, make: MessageMaker = ros_message) -> PoseFields:
    """A pose with a unit quaternion, w >= 0."""
    message = make("geometry_msgs/Pose")
    x, y, z, w = quaternion_xyzw_from_matrix(T_frame_object[:3, :3].double()).tolist()
    message.orientation.x, message.orientation.y, message.orientation.z, message.orientation.w = x, y, z, w
    message.position.x, message.position.y, message.position.z = T_frame_object[:3, 3].double().tolist()
    return message


def matrix_from_pose(pose: PoseFields) -> Float[Tensor, "4 4"]:
    """The pose as a float64 matrix; a quaternion of any sensible length is accepted.

    Raises:
        RefusedInputError: A number is not finite or absurd, or the quaternion is zero.
    """
    return _matrix(pose.position, pose.orientation)


def _matrix(p: Any, q: Any) -> Float[Tensor, "4 4"]:
    numbers = (p.x, p.y, p.z, q.x, q.y, q.z, q.w)
    if not all(math.isfinite(value) for value in numbers):
        raise RefusedInputError(Reason.POSE_INVALID, f"a pose holds numbers that are not finite: {numbers}")
    if not _QUATERNION_NORMS[0] < math.hypot(*numbers[3:]) < _QUATERNION_NORMS[1]:
        raise RefusedInputError(
            Reason.POSE_INVALID, f"a pose has the quaternion {' '.join(map(str, numbers[3:]))}; no rotation is 0 0 0 1"
        )
    if max(map(abs, numbers[:3])) > _FARTHEST_M:
        raise RefusedInputError(Reason.POSE_INVALID, f"a pose lies {max(map(abs, numbers[:3])):g} m away")
    R = matrix_from_quaternion_xyzw(torch.tensor(numbers[3:], dtype=torch.float64))
    return from_rotation_translation(R, torch.tensor(numbers[:3], dtype=torch.float64))


def transform_message(
    T_parent_child: Float[Tensor, "4 4"], *, header: HeaderFields, child: str, make: MessageMaker = ros_message
) -> TransformFields:
    """A transform whose parent and stamp are the header's."""
    pose = pose_message(T_parent_child, make=make)
    message = make("geometry_msgs/TransformStamped", header=header, child_frame_id=child)
    message.transform.rotation = pose.orientation
    translation, position = message.transform.translation, pose.position
    translation.x, translation.y, translation.z = position.x, position.y, position.z
    return message


def matrix_from_transform(message: TransformFields) -> Float[Tensor, "4 4"]:
    """The transform as a float64 matrix ``T_parent_child``; refuses what :func:`matrix_from_pose` refuses."""
    return _matrix(message.transform.translation, message.transform.rotation)


def covariance_list(covariance: Float[Tensor, "6 6"] | None) -> list[float]:
    """36 numbers, row by row, x y z rotX rotY rotZ about the header frame's axes; zeros when unknown."""
    if covariance is None or not bool(torch.isfinite(covariance).all()):
        return [0.0] * 36
    return covariance.double().flatten().tolist()


def detection_message(
    tracked: TrackedObject,
    model: ObjectModel,
    *,
    header: HeaderFields,
    make: MessageMaker = ros_message,
) -> DetectionFields:
    """An object as a detection: the pose is that of the mesh's origin, the box that of its vertices."""
    T = tracked.result.T_camera_object.double()
    best = make("vision_msgs/ObjectHypothesisWithPose")
    best.hypothesis.class_id = tracked.label
    best.hypothesis.score = float(tracked.result.score)
    best.pose.pose = pose_message(T, make=make)
    best.pose.covariance = covariance_list(tracked.result.covariance)
    message = make("vision_msgs/Detection3D", header=header, results=[best], id=tracked.instance_id)
    vertices = model.mesh.vertices.double()
    low, high = vertices.amin(0), vertices.amax(0)
    T_camera_box = T.clone()
    T_camera_box[:3, 3] = T[:3, :3] @ (0.5 * (low + high)) + T[:3, 3]
    message.bbox.center = pose_message(T_camera_box, make=make)
    message.bbox.size.x, message.bbox.size.y, message.bbox.size.z = (high - low).tolist()
    return message


def initial_pose_message(
    hypothesis: PoseHypothesis, *, header: HeaderFields, instance_id: str, make: MessageMaker = ros_message
) -> DetectionFields:
    """A pose from outside as a detection; the id says which poses mean the same object."""
    best = make("vision_msgs/ObjectHypothesisWithPose")
    best.hypothesis.class_id = hypothesis.label
    best.hypothesis.score = float(hypothesis.score)
    best.pose.pose = pose_message(hypothesis.T_camera_object, make=make)
    best.pose.covariance = covariance_list(hypothesis.covariance)
    return make("vision_msgs/Detection3D", header=header, results=[best], id=instance_id)


def detections_message(
    detections: Iterable[DetectionFields], *, header: HeaderFields, make: MessageMaker = ros_message
) -> DetectionsFields:
    """All objects of one picture; empty when there are none."""
    return make("vision_msgs/Detection3DArray", header=header, detections=list(detections))


def camera_info_message(
    camera: CameraIntrinsics, *, header: HeaderFields, make: MessageMaker = ros_message
) -> CameraInfoMessage:
    """The info of a pinhole camera without distortion."""
    K = camera.K[0].double()
    message = make("sensor_msgs/CameraInfo", header=header, width=camera.width, height=camera.height)
    message.distortion_model = "plumb_bob"
    message.d = [0.0] * 5
    message.k = K.flatten().tolist()
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [value for row in K.tolist() for value in (*row, 0.0)]
    return message


def check_header(header: HeaderFields) -> None:
    """A header that others can relate to.

    Raises:
        RefusedInputError: The stamp is 0 or the frame has no name.
    """
    if stamp_ns(header.stamp) == 0:
        raise RefusedInputError(Reason.BAD_HEADER, "an image has stamp 0; its driver must stamp it")
    if not header.frame_id:
        raise RefusedInputError(Reason.BAD_HEADER, "an image has an empty frame_id; set the camera's optical frame")


def header_fields(header: HeaderFields) -> dict[str, Any]:
    """Stamp and frame in plain values, for files."""
    return {"stamp_ns": stamp_ns(header.stamp), "frame_id": header.frame_id}
