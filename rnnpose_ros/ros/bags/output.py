"""What the refiner says about a recording, written into another one as the node would have published it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnpose_ros.ros.bags.bag_file import BagWriter
from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.ros.outputs import pose_messages
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.pipeline import FrameAnswer
from rnnpose_ros.types import ObjectModel


class BagOutput:
    """Writes /tf and ``<name>/detections``, and debug pictures below ``<name>/debug``.

    Args:
        writer: Of the new recording.
        objects: By label.
        config: Of the refiner.
        name: Full name that its node would have.
    """

    def __init__(
        self, writer: BagWriter, objects: Mapping[str, ObjectModel], config: NodeConfig, *, name: str = "/rnnpose"
    ) -> None:
        self._writer = writer
        self._objects = objects
        self._config = config
        self._name = name.rstrip("/")

    def write_poses(self, answer: FrameAnswer, *, received_ns: int) -> None:
        """One picture's objects, under the picture's stamp."""
        messages = pose_messages(
            answer.outcome.tracked, self._objects, header=answer.header, config=self._config, make=self._writer.make
        )
        if self._config.publish.tf and messages.transforms:
            transforms = self._writer.make("tf2_msgs/TFMessage", transforms=list(messages.transforms))
            self._writer.write("/tf", "tf2_msgs/TFMessage", transforms, received_ns=received_ns)
        if self._config.publish.detections:
            kind = "vision_msgs/Detection3DArray"
            self._writer.write(f"{self._name}/detections", kind, messages.detections, received_ns=received_ns)

    def write_picture(
        self, kind: str, picture: np.ndarray, *, encoding: str, answer: FrameAnswer, received_ns: int
    ) -> None:
        """A debug picture: ``overlay`` (rgb8) or ``similarity`` (32FC1)."""
        image: Any = fill_message(
            self._writer.make("sensor_msgs/Image", header=answer.header), picture, encoding=encoding
        )
        self._writer.write(f"{self._name}/debug/{kind}", "sensor_msgs/Image", image, received_ns=received_ns)
