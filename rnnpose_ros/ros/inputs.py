"""From messages to what the engine takes: a straight picture with its camera, and poses in its frame."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from rnnpose_ros.errors import ConfigError
from rnnpose_ros.ros.camera_info import CameraReader
from rnnpose_ros.ros.compressed_images import open_picture
from rnnpose_ros.ros.frame_lookups import FrameLookups
from rnnpose_ros.ros.initial_poses import InitialPoseInputConfig, RoughPose, pose_count, read_poses
from rnnpose_ros.ros.messages import check_header, stamp_ns
from rnnpose_ros.ros.pairing import Pair
from rnnpose_ros.ros.pose_frames import TfFramePoses, hypothesis_in_camera
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

_WAITING_MESSAGES = 16
"""Of one kind: so many detectors may share a topic between two pictures."""
_MOST_READ = 500
"""Poses for one picture: reading them must not cost more than the picture itself."""


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

    Of poses that mean the same object (one class, one name) only the newest message's are used. Those that are not
    used are counted, each under its reason.

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
        self._waiting: dict[str, deque[tuple[int, Any]]] = {}
        self._received = 0

    def put(self, message: Any) -> None:
        """Keep a message of any kind of ``POSE_INPUTS`` for the next picture."""
        with self._lock:
            self._received += 1
            queue = self._waiting.setdefault(type(message).__name__, deque())
            queue.append((self._received, message))
            pushed_out = queue.popleft()[1] if len(queue) > _WAITING_MESSAGES else None
        if pushed_out is not None:
            self._reporter.count(Reason.POSE_REPLACED, number=pose_count(pushed_out))

    @property
    def received(self) -> int:
        """Messages so far."""
        with self._lock:
            return self._received

    @property
    def waiting(self) -> int:
        """Poses that no picture has taken yet."""
        with self._lock:
            return sum(pose_count(message) for queue in self._waiting.values() for _, message in queue)

    def take(self, frame: ImageFrame, *, fixed_frame: str = "") -> list[PoseHypothesis]:
        """The poses for this picture; those that cannot be used are said and counted.

        Args:
            frame: The picture.
            fixed_frame: See :func:`~rnnpose_ros.ros.pose_frames.hypothesis_in_camera`.
        """
        self._frames.begin_picture()
        newest: dict[tuple[str, str], list[PoseHypothesis]] = {}
        for items in (self._tf_frames.take(frame, self._frames, fixed_frame=fixed_frame), *self._read_newest_first()):
            for key, poses in _by_object(self._usable(items, frame, fixed_frame)).items():
                if key in newest:
                    self._reporter.count(Reason.POSE_REPLACED, number=len(poses))
                else:
                    newest[key] = poses
        return self._best([pose for poses in reversed(newest.values()) for pose in poses])

    def clear(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._waiting.clear()

    def _read_newest_first(self) -> Iterator[list[RoughPose | RefusedInputError]]:
        with self._lock:
            waiting = sorted((item for queue in self._waiting.values() for item in queue), key=lambda item: -item[0])
            self._waiting.clear()
        room = _MOST_READ
        for _, message in waiting:
            poses = list(islice(read_poses(message, self.config), room))
            room -= len(poses)
            self._count_surplus(pose_count(message) - len(poses))
            yield poses

    def _best(self, poses: list[PoseHypothesis]) -> list[PoseHypothesis]:
        """As many as one picture is worth."""
        self._count_surplus(len(poses) - self.config.max_poses)
        best = sorted(poses, key=lambda pose: -pose.score)[: self.config.max_poses]
        return [pose for pose in poses if pose in best]

    def _count_surplus(self, number: int) -> None:
        if number > 0:
            self._reporter.count(Reason.POSE_SURPLUS, number=number - 1)
            self._reporter.refuse(
                Reason.POSE_SURPLUS,
                f"{number} poses too many came for one picture; initial_pose.max_poses is {self.config.max_poses}, "
                "the best scores are used",
            )

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
        if pose.score < self.config.min_score:
            raise RefusedInputError(
                Reason.POSE_UNCERTAIN,
                f"an initial pose has the score {pose.score:.3g}; initial_pose.min_score is {self.config.min_score:g}",
            )
        model = self._model(pose.class_id)
        if model.T_detector_mesh is not None:
            pose = replace(pose, T_frame_object=pose.T_frame_object @ model.T_detector_mesh)
        hypothesis = hypothesis_in_camera(
            pose,
            frame,
            self._frames,
            label=model.label,
            fixed_frame=fixed_frame,
            say=self._reporter.say_once,
        )
        depth = float(hypothesis.T_camera_object[2, 3])
        if depth > self.config.max_depth:
            raise RefusedInputError(
                Reason.POSE_INVALID,
                f"a pose of {model.label!r} lies {depth:.1f} m away (are these millimetres?); "
                f"initial_pose.max_depth is {self.config.max_depth:g} m",
            )
        return hypothesis

    def _model(self, class_id: str) -> ObjectModel:
        """The object, from what a detector calls it."""
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
        return self._objects[name]


def _by_object(poses: list[PoseHypothesis]) -> dict[tuple[str, str], list[PoseHypothesis]]:
    """Poses of one message by class and name."""
    found: dict[tuple[str, str], list[PoseHypothesis]] = {}
    for pose in poses:
        found.setdefault((pose.label, pose.instance_id), []).append(pose)
    return found
