"""From a rough pose in any frame, at any time, to where the camera sees it in a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.errors import ConfigError
from rnnpose_ros.ros.frame_lookups import FrameLookups
from rnnpose_ros.ros.initial_poses import RoughPose
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.tracking.transform_tree import TransformLookupError
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

_NS_PER_S = 1e9


def hypothesis_in_camera(
    pose: RoughPose,
    frame: ImageFrame,
    frames: FrameLookups,
    *,
    label: str,
    fixed_frame: str,
    say: Callable[[str], None],
) -> PoseHypothesis:
    """The pose in the picture's frame at the picture's time.

    With a fixed frame (odom, map) the object is taken to stand still in it from the pose's time to the picture's,
    however the camera and the pose's frame moved. Without one, the pose holds in the camera frame as of its own time.

    Args:
        pose: Of an object.
        frame: The picture.
        frames: Where frames are in each other.
        label: Of the object.
        fixed_frame: Does not move between the two times; empty for none.
        say: Told of a motion that is not accounted for.

    Raises:
        RefusedInputError: The frames are not related at that time, or the object is behind the camera.
    """
    T_camera_frame = _camera_from(pose, frame, frames, fixed_frame, say)
    T = pose.T_frame_object if T_camera_frame is None else T_camera_frame @ pose.T_frame_object
    if not float(T[2, 3]) > 0.0:
        raise RefusedInputError(
            Reason.POSE_INVALID,
            f"the pose of {label!r} lies behind the camera (z = {float(T[2, 3]):.3f} m in {frame.frame_id!r}); "
            "an optical frame has z forward",
        )
    return PoseHypothesis(
        label=label,
        T_camera_object=T,
        score=float(pose.score),
        source=pose.source,
        instance_id=pose.instance_id,
        covariance=_turned(pose.covariance, T_camera_frame),
    )


def _camera_from(
    pose: RoughPose, frame: ImageFrame, frames: FrameLookups, fixed_frame: str, say: Callable[[str], None]
) -> Float[Tensor, "4 4"] | None:
    """``T_camera_frame``, from the pose's time to the picture's; None where nothing is to be done."""
    camera, source = frame.frame_id.removeprefix("/"), pose.frame_id
    pose_ns = pose.stamp_ns or frame.stamp_ns
    if source == camera and (pose_ns == frame.stamp_ns or not fixed_frame):
        return None
    try:
        if fixed_frame and pose_ns != frame.stamp_ns:
            return frames.lookup_full(camera, frame.stamp_ns, source, pose_ns, fixed=fixed_frame)
        T_camera_frame = frames.lookup(camera, source, pose_ns)
        if pose_ns != frame.stamp_ns and frames.latest_common_ns(camera, source) is not None:
            age_s = (frame.stamp_ns - pose_ns) / _NS_PER_S
            say(
                f"a pose in frame {source!r} is {age_s:.3f} s older than its image, and the camera moves in that "
                "frame: set tf.fixed_frame (odom or map) to account for it"
            )
        return T_camera_frame
    except TransformLookupError as error:
        raise RefusedInputError(
            Reason.TF_UNAVAILABLE, f"an initial pose in frame {source!r} cannot be used: {error}"
        ) from error


def _turned(
    covariance: Float[Tensor, "6 6"] | None, T_camera_frame: Float[Tensor, "4 4"] | None
) -> Float[Tensor, "6 6"] | None:
    """The covariance about the camera's axes."""
    if covariance is None or T_camera_frame is None:
        return covariance
    J = torch.block_diag(T_camera_frame[:3, :3], T_camera_frame[:3, :3])
    return J @ covariance @ J.T


class TfFramePoses:
    """Rough poses that come as frames of /tf: each frame stands for one object.

    Args:
        entries: ``<object>=<frame>`` each; empty ones are left out.
        objects: That are served.

    Raises:
        ConfigError: An entry has no ``=`` or names an object that is not served.
    """

    def __init__(self, entries: tuple[str, ...], objects: Mapping[str, ObjectModel]) -> None:
        self._frames: dict[str, str] = {}
        self._used_ns: dict[str, int] = {}
        for entry in entries:
            class_id, separator, frame_id = entry.partition("=")
            if entry and (not separator or not frame_id or class_id not in objects):
                known = ", ".join(sorted(objects))
                raise ConfigError(f"initial_pose.tf_frames: expected <object>=<frame>, got {entry!r}; objects: {known}")
            if entry:
                self._frames[frame_id.removeprefix("/")] = class_id

    def take(self, frame: ImageFrame, frames: FrameLookups, *, fixed_frame: str) -> list[RoughPose | RefusedInputError]:
        """What the frames say that was not used before; for one that is not there, why."""
        poses: list[RoughPose | RefusedInputError] = []
        camera = frame.frame_id.removeprefix("/")
        for frame_id, class_id in self._frames.items():
            try:
                newest_ns = frames.latest_common_ns(fixed_frame or camera, frame_id)
            except TransformLookupError as error:
                poses.append(RefusedInputError(Reason.TF_UNAVAILABLE, f"no pose of {class_id!r} from /tf: {error}"))
                continue
            stamp = frame.stamp_ns if newest_ns is None else min(newest_ns, frame.stamp_ns)
            if self._used_ns.get(frame_id) != stamp:
                self._used_ns[frame_id] = stamp
                eye = torch.eye(4, dtype=torch.float64)
                poses.append(RoughPose(class_id, eye, frame_id, stamp, source="tf", instance_id=frame_id))
        return poses
