"""Small recordings for tests, written with the same library that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.ros.bags.bag_file import BagReader, BagWriter
from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.ros.messages import (
    camera_info_message,
    detections_message,
    initial_pose_message,
    stamp_message,
    transform_message,
)
from rnnpose_ros.types import CameraIntrinsics, PoseHypothesis

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333
DELAY = 4_000_000
"""From a stamp to its recording."""
WIDTH, HEIGHT = 64, 48
CAMERA = intrinsics(60.0, 60.0, 32.0, 24.0, width=WIDTH, height=HEIGHT)


class Recorder:
    """Writes what a robot's recorder would have written."""

    def __init__(self, writer: BagWriter, *, frame_id: str = "camera", camera: CameraIntrinsics = CAMERA) -> None:
        self.writer = writer
        self.frame_id = frame_id
        self.camera = camera

    def header(self, stamp_ns: int) -> Any:
        """Of a message at this time."""
        make = self.writer.make
        return make("std_msgs/Header", stamp=stamp_message(stamp_ns, make=make), frame_id=self.frame_id)

    def image(self, stamp_ns: int, rgb: np.ndarray | None = None, *, topic: str = "/camera/image_raw") -> None:
        """A picture, grey where none is given."""
        picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8) if rgb is None else rgb
        message = fill_message(
            self.writer.make("sensor_msgs/Image", header=self.header(stamp_ns)), picture, encoding="rgb8"
        )
        self.put(topic, "sensor_msgs/Image", message, stamp_ns)

    def info(self, stamp_ns: int, *, topic: str = "/camera/camera_info") -> None:
        """The camera at this time."""
        message = camera_info_message(self.camera, header=self.header(stamp_ns), make=self.writer.make)
        self.put(topic, "sensor_msgs/CameraInfo", message, stamp_ns)

    def pose(self, stamp_ns: int, T: Tensor, *, label: str = "cube", topic: str = "/detector/detections") -> None:
        """A rough pose, recorded just before the picture of the same stamp."""
        make, header = self.writer.make, self.header(stamp_ns)
        detection = initial_pose_message(PoseHypothesis(label, T), header=header, instance_id="", make=make)
        message = detections_message([detection], header=header, make=make)
        self.put(topic, "vision_msgs/Detection3DArray", message, stamp_ns - 1)

    def transform(
        self, stamp_ns: int, parent: str, child: str, T: Tensor, *, static: bool = False, delay_ns: int = 0
    ) -> None:
        """Where a frame is, on /tf or /tf_static, recorded some time after its moment."""
        make, header = self.writer.make, self.header(stamp_ns)
        header.frame_id = parent
        message = make("tf2_msgs/TFMessage", transforms=[transform_message(T, header=header, child=child, make=make)])
        self.put("/tf_static" if static else "/tf", "tf2_msgs/TFMessage", message, stamp_ns + delay_ns)

    def put(self, topic: str, kind: str, message: Any, stamp_ns: int) -> None:
        """Any message, recorded a moment after its stamp."""
        self.writer.write(topic, kind, message, received_ns=stamp_ns + DELAY)


def pose_at(x: float = 0.0, z: float = 0.5) -> Tensor:
    """An upright object before the camera."""
    T = torch.eye(4, dtype=torch.float64)
    T[0, 3], T[2, 3] = x, z
    return T


def write_cube_recording(
    folder: Path,
    *,
    storage: str = "mcap",
    pictures: int = 5,
    image_topics: Sequence[str] = ("/camera/image_raw",),
    info_topics: Iterable[str] = ("/camera/camera_info",),
    with_poses: bool = True,
) -> Path:
    """Grey pictures at 30 Hz, and one pose of a cube at the first."""
    with BagWriter(folder, storage=storage) as writer:
        recorder = Recorder(writer)
        for i in range(pictures):
            stamp = T0 + i * STEP
            if with_poses and i == 0:
                recorder.pose(stamp, pose_at(0.01))
            for topic in info_topics:
                recorder.info(stamp, topic=topic)
            for topic in image_topics:
                recorder.image(stamp, topic=topic)
    return folder


def read_all(folder: Path) -> dict[str, list[Any]]:
    """The decoded messages of a recording by topic."""
    with BagReader(folder) as bag:
        found: dict[str, list[Any]] = {name: [] for name in bag.topics}
        for record in bag.records(list(found)):
            found[record.topic].append(bag.decode(record))
    return found


def spoil(file: Path, *, at: float, length: int = 1_000_000) -> None:
    """Turn over the bits of a piece of a file, at a share of its length; it is longer than any message here."""
    content = bytearray(file.read_bytes())
    begin = int(at * len(content))
    content[begin : begin + length] = bytes(255 - value for value in content[begin : begin + length])
    file.write_bytes(content)
