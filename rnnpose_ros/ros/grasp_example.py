"""How a robot uses the poses safely: an example to copy, ``ros2 run rnnpose_ros grasp_example``.

It grasps nothing; it says what it would do, and when it would keep its hands off.
"""

from __future__ import annotations

import math
from typing import Any

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener
from vision_msgs.msg import Detection3DArray


class NotSafeError(Exception):
    """Why not to grasp now."""


class GraspExample(Node):
    """Decides ten times a second whether the object's pose may be grasped at."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("grasp_example", **node_options)
        self.class_id: str = self.declare_parameter("class_id", "tea_box").value
        self.frame: str = self.declare_parameter("frame", f"rnnpose/{self.class_id}_0").value
        self.base: str = self.declare_parameter("base_frame", "base_link").value
        self.max_age_s: float = self.declare_parameter("max_age", 0.5).value
        self.max_std_m: float = self.declare_parameter("max_std", 0.005).value
        self.seen = Detection3DArray()
        self.buffer = Buffer()
        self.listener = TransformListener(self.buffer, self)
        self.create_subscription(Detection3DArray, "rnnpose/detections", self.keep, 10)
        self.create_timer(0.1, self.decide)

    def keep(self, detections: Detection3DArray) -> None:
        """Of the newest picture; every picture brings an array."""
        self.seen = detections

    def decide(self) -> TransformStamped | None:
        """The object in the robot's base where it is safe to grasp at; None, with the reason said, where it is not."""
        try:
            transform = self.safe_transform()
        except (NotSafeError, TransformException) as reason:
            self.get_logger().warning(f"do not grasp {self.frame}: {reason}", throttle_duration_sec=1.0)
            return None
        position = transform.transform.translation
        self.get_logger().info(f"grasp at {position.x:.3f} {position.y:.3f} {position.z:.3f} m in {self.base}")
        return transform

    def safe_transform(self) -> TransformStamped:
        """The object in the robot's base.

        Raises:
            NotSafeError: It is lost, uncertain or old.
            TransformException: The camera is not connected to the base.
        """
        # An object that is lost is not in the array, whatever TF still remembers.
        best = [detection.results[0] for detection in self.seen.detections]
        found = [result.pose.covariance for result in best if result.hypothesis.class_id == self.class_id]
        if not found:
            raise NotSafeError("it is not seen")
        # Zeros mean unknown, which is not the same as certain. Of several objects of the class the worst counts.
        variances = [covariance[axis * 7] for covariance in found for axis in range(3)]
        if min(variances) <= 0.0 or max(variances) > self.max_std_m**2:
            raise NotSafeError(f"its standard deviation is {1000 * math.sqrt(max(variances)):.1f} mm (0: unknown)")
        # Time() is the newest there is: TF never extrapolates, so asking for now would always fail.
        transform: TransformStamped = self.buffer.lookup_transform(self.base, self.frame, Time())
        # The stamp is the picture's. A node that hangs, a camera that is gone: all of it shows here.
        age_s = 1e-9 * (self.get_clock().now() - Time.from_msg(transform.header.stamp)).nanoseconds
        if not 0.0 <= age_s <= self.max_age_s:
            raise NotSafeError(f"its pose is {age_s:.2f} s old")
        return transform


def main() -> None:
    """Run the example."""
    rclpy.init()
    try:
        rclpy.spin(GraspExample())
    except KeyboardInterrupt:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
