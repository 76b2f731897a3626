"""Rough poses as messages tell them: which kinds there are, and what one of them says.

Messages are read by their fields, so they may come from a live graph or from a recording. A pose that cannot be
used is a value here, so that it does not take along the good ones beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.ros.messages import matrix_from_pose, stamp_ns
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.tracking.tracking_config import InitialPoseConfig


@dataclass(frozen=True, slots=True)
class PoseInput:
    """One kind of message that rough poses come in."""

    topic: str
    message_type: str


POSE_INPUTS = {
    "detection3d": PoseInput("initial_detections", "vision_msgs/Detection3DArray"),
    "detection2d": PoseInput("initial_detections_2d", "vision_msgs/Detection2DArray"),
    "pose": PoseInput("initial_pose", "geometry_msgs/PoseStamped"),
    "pose_cov": PoseInput("initial_pose_with_covariance", "geometry_msgs/PoseWithCovarianceStamped"),
    "pose_array": PoseInput("initial_poses", "geometry_msgs/PoseArray"),
}


@dataclass(frozen=True, slots=True)
class InitialPoseInputConfig(InitialPoseConfig):
    """Which poses from outside are listened to, and which are believed."""

    inputs: tuple[str, ...] = param(
        tuple(POSE_INPUTS), doc="Kinds of messages that are listened to.", choices=tuple(POSE_INPUTS)
    )
    default_class_id: str = param(
        "", doc="Object meant by poses that name none (PoseStamped, PoseArray); empty: the only one loaded."
    )
    tf_frames: tuple[str, ...] = param(("",), doc="Frames of /tf that are rough poses, each as <object>=<frame>.")
    max_poses: int = param(
        16, doc="Most poses used for one picture, the best scores first.", bounds=(1, 256), dynamic=True
    )
    max_depth: float = param(
        20.0, doc="Poses farther from the camera are not used.", unit="m", bounds=(0.1, 1e6), dynamic=True
    )
    max_std_position: float = param(
        0.2,
        doc="PoseWithCovariance of a larger standard deviation is not used; 0: any is.",
        unit="m",
        bounds=(0.0, 10.0),
        dynamic=True,
    )
    max_std_rotation: float = param(
        1.0,
        doc="PoseWithCovariance of a larger standard deviation is not used; 0: any is.",
        unit="rad",
        bounds=(0.0, 10.0),
        dynamic=True,
    )


@dataclass(frozen=True, slots=True, eq=False)
class RoughPose:
    """What somebody says, in its own frame and at its own time."""

    class_id: str
    """As the detector calls it; empty where it names none."""
    T_frame_object: Float[Tensor, "4 4"]
    frame_id: str
    stamp_ns: int
    """0 means now: poses published by hand carry it."""
    source: str
    score: float = 1.0
    instance_id: str = ""
    covariance: Float[Tensor, "6 6"] | None = None
    """Order x y z rotX rotY rotZ, axes of ``frame_id``, m and rad; None where it is not known (all zeros)."""


def read_poses(message: Any, config: InitialPoseInputConfig) -> Iterator[RoughPose | RefusedInputError]:
    """Every pose of a message of one of the ``POSE_INPUTS``; for one that cannot be used, why.

    Args:
        message: Any of the kinds, told apart by their fields.
        config: Bounds on what is believed.
    """
    if hasattr(message, "detections"):
        entries: Iterable[Any] = (lambda d=d: _from_detection(d, message.header) for d in message.detections)
    elif hasattr(message, "poses"):
        entries = (lambda pose=pose: _from_pose(pose, message.header, "initial_poses") for pose in message.poses)
    elif hasattr(message.pose, "covariance"):
        entries = [lambda: _from_covariance(message.pose, message.header, config)]
    else:
        entries = [lambda: _from_pose(message.pose, message.header, "initial_pose")]
    for read in entries:
        try:
            yield read()
        except RefusedInputError as error:
            yield error


def pose_count(message: Any) -> int:
    """How many poses a message of one of the ``POSE_INPUTS`` holds, good or bad."""
    return len(getattr(message, "detections", getattr(message, "poses", (None,))))


def _from_detection(detection: Any, outer: Any) -> RoughPose:
    """The best result of a Detection3D, or of a Detection2D with a pose in its results."""
    if not detection.results:
        raise RefusedInputError(Reason.POSE_INVALID, "a detection has no results; results[0] must hold class and pose")
    best = max(detection.results, key=lambda result: result.hypothesis.score)
    hypothesis, pose = best.hypothesis, best.pose.pose
    if not hypothesis.class_id:
        raise RefusedInputError(Reason.POSE_INVALID, "a detection has an empty class_id")
    if not math.isfinite(hypothesis.score):
        raise RefusedInputError(Reason.POSE_INVALID, f"a detection has the score {hypothesis.score}")
    if not any((pose.position.x, pose.position.y, pose.position.z)):
        raise RefusedInputError(
            Reason.POSE_INVALID,
            f"a detection of {hypothesis.class_id!r} has no pose (its position is 0 0 0); "
            "results[].pose must hold one, a box alone does not do",
        )
    return RoughPose(
        class_id=hypothesis.class_id,
        T_frame_object=matrix_from_pose(pose),
        **_header(detection.header if detection.header.frame_id else outer),
        source="initial_detections",
        score=hypothesis.score,
        instance_id=detection.id,
        covariance=_covariance(best.pose),
    )


def _from_pose(pose: Any, header: Any, source: str) -> RoughPose:
    return RoughPose(class_id="", T_frame_object=matrix_from_pose(pose), **_header(header), source=source)


def _from_covariance(pose: Any, header: Any, config: InitialPoseInputConfig) -> RoughPose:
    covariance = _covariance(pose)
    if covariance is not None:
        variances = covariance.diagonal()
        stds = (float(variances[:3].max().clamp_min(0.0).sqrt()), float(variances[3:].max().clamp_min(0.0).sqrt()))
        for std, limit, unit in zip(
            stds, (config.max_std_position, config.max_std_rotation), ("m", "rad"), strict=True
        ):
            if limit and not std <= limit:
                raise RefusedInputError(
                    Reason.POSE_UNCERTAIN,
                    f"an initial pose has a standard deviation of {std:.3g} {unit}; "
                    f"initial_pose.max_std_{'position' if unit == 'm' else 'rotation'} is {limit:g} {unit}",
                )
    return RoughPose(
        class_id="",
        T_frame_object=matrix_from_pose(pose.pose),
        **_header(header),
        source="initial_pose_with_covariance",
        covariance=covariance,
    )


def _header(header: Any) -> dict[str, Any]:
    frame_id = header.frame_id.removeprefix("/")
    if not frame_id:
        raise RefusedInputError(Reason.POSE_INVALID, "an initial pose has an empty frame_id; say which frame it is in")
    return {"frame_id": frame_id, "stamp_ns": stamp_ns(header.stamp)}


def _covariance(pose: Any) -> Float[Tensor, "6 6"] | None:
    covariance = torch.tensor(list(pose.covariance), dtype=torch.float64).reshape(6, 6)
    return covariance if bool(covariance.any()) else None
