"""A camera and a detector for soaks: play pictures for as long as wanted, and note what a refiner answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence as Listed
from dataclasses import dataclass

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.ros.messages import (
    camera_info_message,
    detections_message,
    initial_pose_message,
    stamp_message,
    stamp_ns,
)
from rnnpose_ros.types import ImageFrame, PoseHypothesis

_FRAME_ID = "soak_camera"


@dataclass(frozen=True, slots=True)
class SoakCounts:
    """What went out and what came back."""

    images: int
    unsent: int
    """Pictures that the middleware did not take, since nobody fetched the ones before."""
    answers: int
    """Arrays of detections, empty or not."""
    tracked: int
    """Of them, with an object."""
    objects: int
    """In all of them."""
    transforms: int
    latencies_s: tuple[float, ...]
    """From each image's stamp to its answer's arrival."""
    newer_than_image: int
    """Transforms with a stamp that no image had when they came."""


class SoakCamera:
    """Publishes ``image``, ``camera_info`` and ``initial_detections``, and listens to a refiner and /tf.

    Args:
        domain_id: Of the graph.
        namespace: Of the refiner, which is called rnnpose there, and of its frames.
    """

    def __init__(self, domain_id: int, namespace: str) -> None:
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain_id)
        self._node = Node("soak_camera", context=self._context, namespace=namespace)
        self._prefix = f"{namespace}/"
        self._images = self._node.create_publisher(Image, "image", QoSProfile(depth=5))
        self._infos = self._node.create_publisher(CameraInfo, "camera_info", QoSProfile(depth=50))
        self._poses = self._node.create_publisher(Detection3DArray, "initial_detections", 10)
        self._node.create_subscription(Detection3DArray, "rnnpose/detections", self._on_answer, 100)
        self._node.create_subscription(TFMessage, "/tf", self._on_transforms, 100)
        self._lock = threading.Lock()
        self._unsent = self._sent = self._answers = self._tracked = self._objects = self._transforms = self._newer = 0
        self._newest_ns = 0
        self._latencies_s: list[float] = []
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def wait_for_refiner(self, *, timeout_s: float) -> bool:
        """True as soon as somebody listens to pictures, infos and poses, and is heard."""
        deadline = time.monotonic() + timeout_s
        publishers = (self._images, self._infos, self._poses)
        while time.monotonic() < deadline:
            is_heard = self._node.count_publishers(self._node.resolve_topic_name("rnnpose/detections"))
            if is_heard and all(publisher.get_subscription_count() for publisher in publishers):
                return True
            time.sleep(0.02)
        return False

    def wait_until_gone(self, *, timeout_s: float) -> bool:
        """True as soon as nobody listens any more."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self._images.get_subscription_count():
                return True
            time.sleep(0.02)
        return False

    def send(self, frame: ImageFrame, poses: Listed[PoseHypothesis] = ()) -> None:
        """One picture, stamped now, and before it what a detector says about it."""
        now_ns = self._node.get_clock().now().nanoseconds
        header = Header(stamp=stamp_message(now_ns), frame_id=_FRAME_ID)
        with self._lock:
            self._newest_ns = now_ns
        try:
            if poses:
                found = [initial_pose_message(pose, header=header, instance_id="0") for pose in poses]
                self._poses.publish(detections_message(found, header=header))
            self._infos.publish(camera_info_message(frame.camera, header=header))
            self._images.publish(fill_message(Image(header=header), frame.rgb.numpy(), encoding="rgb8"))
        except rclpy_implementation.RCLError:
            # A reader that gets no processor time for a while holds up a reliable writer; a camera drops its picture.
            self._unsent += 1
        else:
            self._sent += 1

    def counts(self) -> SoakCounts:
        """So far."""
        with self._lock:
            return SoakCounts(
                self._sent,
                self._unsent,
                self._answers,
                self._tracked,
                self._objects,
                self._transforms,
                tuple(self._latencies_s),
                self._newer,
            )

    def close(self) -> None:
        """Leave the graph."""
        self._context.try_shutdown()
        self._thread.join(5.0)

    def _on_answer(self, message: Detection3DArray) -> None:
        late_s = 1e-9 * (self._node.get_clock().now().nanoseconds - stamp_ns(message.header.stamp))
        with self._lock:
            self._answers += 1
            self._tracked += bool(message.detections)
            self._objects += len(message.detections)
            self._latencies_s.append(late_s)

    def _on_transforms(self, message: TFMessage) -> None:
        own = [each for each in message.transforms if each.child_frame_id.startswith(self._prefix)]
        with self._lock:
            self._transforms += len(own)
            self._newer += sum(stamp_ns(each.header.stamp) > self._newest_ns for each in own)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
