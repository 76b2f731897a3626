"""From messages to what the engine takes: a straight picture with its camera, and poses in its frame."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rnnpose_ros.errors import ConfigError
from rnnpose_ros.ros.camera_info import CameraReader
from rnnpose_ros.ros.compressed_images import open_picture
from rnnpose_ros.ros.frame_lookups import FrameLookups
from rnnpose_ros.ros.initial_poses import InitialPoseInputConfig, RoughPose, read_poses
from rnnpose_ros.ros.messages import check_header, stamp_ns
from rnnpose_ros.ros.pairing import Pair
from rnnpose_ros.ros.pose_frames import TfFramePoses, hypothesis_in_camera
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

_WAITING_MESSAGES = 16
"""Of one kind: so many detectors may share a topic between two pictures."""


def read_frame(pair: Pair, cameras: CameraReader) -> ImageFrame:
    """The picture of a pair of messages, undistorted.

    Raises:
        RefusedInputError: Header, encoding, or camera info cannot be used.
    """
    image, info = pair.image, pair.info
    check_header(image.header)
    if info.header.frame_id and info.header.frame_id != image.header.frame_id:
        raise RefusedInputError(
            Reason.BAD_INFO,
            f"image is in frame {image.header.frame_id!r} but its camera_info in {info.header.frame_id!r}; "
            "they must come from one camera",
        )
    picture = open_picture(image)
    reading = cameras.read(info, image_width=picture.width, image_height=picture.height)
    rgb = reading.rectify(picture.decode())
    return ImageFrame(
        rgb=torch.from_numpy(np.array(rgb, copy=True, order="C")),
        camera=reading.intrinsics,
        stamp_ns=stamp_ns(image.header.stamp),
        frame_id=image.header.frame_id,
    )


class InitialPoseInbox:
    """Keeps messages of initial poses until a picture takes them; each is used on one picture.

    Of poses that mean the same object (one class, one name) only the newest message's is used.

    Args:
        objects: That are served, by label and alias.
        config: What is listened to and believed.
        frames: Where frames are in each other.
        reporter: Where refused poses are said and counted.

    Raises:
        ConfigError: The default class or a frame of /tf names an object that is not served.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel],
        config: InitialPoseInputConfig,
        *,
        frames: FrameLookups,
        reporter: Reporter,
    ) -> None:
        if config.default_class_id and config.default_class_id not in objects:
            known = ", ".join(sorted(objects))
            raise ConfigError(f"initial_pose.default_class_id: no object {config.default_class_id!r}; known: {known}")
        self.config = config
        self._objects = objects
        self._frames = frames
        self._tf_frames = TfFramePoses(config.tf_frames, objects)
        self._reporter = reporter
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Any]] = {}
        self._received = 0

    def put(self, message: Any) -> None:
        """Keep a message of any kind of ``POSE_INPUTS`` for the next picture."""
        with self._lock:
            self._received += 1
            kind = type(message).__name__
            self._waiting.setdefault(kind, deque(maxlen=_WAITING_MESSAGES)).append(message)

    @property
    def received(self) -> int:
        """Messages so far."""
        with self._lock:
            return self._received

    def take(self, frame: ImageFrame, *, fixed_frame: str = "") -> list[PoseHypothesis]:
        """The poses for this picture; those that cannot be used are said and counted.

        Args:
            frame: The picture.
            fixed_frame: See :func:`~rnnpose_ros.ros.pose_frames.hypothesis_in_camera`.
        """
        with self._lock:
            messages = [message for queue in self._waiting.values() for message in queue]
            self._waiting.clear()
        newest: dict[tuple[str, str], list[PoseHypothesis]] = {}
        for message in messages:
            poses = self._usable(list(read_poses(message, self.config)), frame, fixed_frame)
            newest.update(_by_object(poses))
        from_tf = self._tf_frames.take(frame, self._frames, fixed_frame=fixed_frame)
        newest.update(_by_object(self._usable(from_tf, frame, fixed_frame)))
        return [pose for poses in newest.values() for pose in poses]

    def clear(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._waiting.clear()

    def _usable(
        self, items: list[RoughPose | RefusedInputError], frame: ImageFrame, fixed_frame: str
    ) -> list[PoseHypothesis]:
        poses: list[PoseHypothesis] = []
        for item in items:
            try:
                if isinstance(item, RefusedInputError):
                    raise item
                poses.append(self._localize(item, frame, fixed_frame))
            except RefusedInputError as error:
                self._reporter.refuse_error(error)
        return poses

    def _localize(self, pose: RoughPose, frame: ImageFrame, fixed_frame: str) -> PoseHypothesis:
        age_s = abs(frame.stamp_ns - pose.stamp_ns) * 1e-9
        if pose.stamp_ns and age_s > self.config.max_age:
            raise RefusedInputError(
                Reason.POSE_STALE,
                f"an initial pose is {age_s:.2f} s away from the image; initial_pose.max_age is "
                f"{self.config.max_age:g} s",
            )
        return hypothesis_in_camera(
            pose,
            frame,
            self._frames,
            label=self._label(pose.class_id),
            fixed_frame=fixed_frame,
            say=self._reporter.say_once,
        )

    def _label(self, class_id: str) -> str:
        """The object's own name, from what a detector calls it."""
        name = class_id or self.config.default_class_id
        if not name and len(self._objects) == 1:
            (name,) = self._objects
        if not name:
            raise RefusedInputError(
                Reason.NO_CLASS,
                f"a pose names no class and there are {len(self._objects)} objects; set initial_pose.default_class_id",
            )
        if name not in self._objects:
            raise RefusedInputError(
                Reason.NO_MESH, f"no object is called {name!r}; known: {', '.join(sorted(self._objects))}"
            )
        return self._objects[name].label


def _by_object(poses: list[PoseHypothesis]) -> dict[tuple[str, str], list[PoseHypothesis]]:
    """Poses of one message by class and name."""
    found: dict[tuple[str, str], list[PoseHypothesis]] = {}
    for pose in poses:
        found.setdefault((pose.label, pose.instance_id), []).append(pose)
    return found
