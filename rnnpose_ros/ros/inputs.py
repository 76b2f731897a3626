"""From messages to what the engine takes: a straight picture with its camera, and poses in its frame."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from rnnpose_ros.ros.camera_info import CameraReader
from rnnpose_ros.ros.images import rgb_from_message
from rnnpose_ros.ros.message_types import DetectionFields, DetectionsFields, HeaderFields
from rnnpose_ros.ros.messages import check_header, hypothesis_from_detection, stamp_ns
from rnnpose_ros.ros.pairing import Pair
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.types import ImageFrame, PoseHypothesis


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
    reading = cameras.read(info, image_width=image.width, image_height=image.height)
    rgb = reading.rectify(rgb_from_message(image))
    return ImageFrame(
        rgb=torch.from_numpy(np.array(rgb, copy=True, order="C")),
        camera=reading.intrinsics,
        stamp_ns=stamp_ns(image.header.stamp),
        frame_id=image.header.frame_id,
    )


class InitialPoseInbox:
    """Keeps the newest message of initial poses until a picture takes it; each is used on one picture.

    Args:
        labels: Objects that are served.
        reporter: Where refused poses are said and counted.
    """

    def __init__(self, labels: Collection[str], reporter: Reporter) -> None:
        self._labels = labels
        self._reporter = reporter
        self._lock = threading.Lock()
        self._newest: DetectionsFields | None = None
        self._received = 0

    def put(self, message: DetectionsFields) -> None:
        """Replace what was not used yet; an empty array says nothing and replaces nothing."""
        with self._lock:
            self._received += 1
            if message.detections:
                self._newest = message

    @property
    def received(self) -> int:
        """Messages so far."""
        with self._lock:
            return self._received

    def take(self, frame: ImageFrame, *, max_age_s: float) -> list[PoseHypothesis]:
        """The poses for this picture; those that cannot be used are said and counted."""
        with self._lock:
            message, self._newest = self._newest, None
        if message is None:
            return []
        poses: list[PoseHypothesis] = []
        for detection in message.detections:
            try:
                poses.append(self._read(detection, message.header, frame, max_age_s))
            except RefusedInputError as error:
                self._reporter.refuse_error(error)
        return poses

    def clear(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._newest = None

    def _read(
        self, detection: DetectionFields, outer: HeaderFields, frame: ImageFrame, max_age_s: float
    ) -> PoseHypothesis:
        header: Any = detection.header if detection.header.frame_id else outer
        if header.frame_id != frame.frame_id:
            raise RefusedInputError(
                Reason.TF_UNAVAILABLE,
                f"an initial pose is given in frame {header.frame_id!r} but the image is in {frame.frame_id!r}; "
                "give it in the image's frame",
            )
        # A stamp of 0 means now: poses published by hand carry it.
        stamp = stamp_ns(header.stamp)
        age_s = abs(frame.stamp_ns - stamp) * 1e-9
        if stamp and age_s > max_age_s:
            raise RefusedInputError(
                Reason.POSE_STALE,
                f"an initial pose is {age_s:.2f} s away from the image; initial_pose.max_age is {max_age_s:g} s",
            )
        hypothesis = hypothesis_from_detection(detection, source="initial_detections")
        if hypothesis.label not in self._labels:
            raise RefusedInputError(
                Reason.NO_MESH, f"no object is called {hypothesis.label!r}; known: {', '.join(sorted(self._labels))}"
            )
        return hypothesis
