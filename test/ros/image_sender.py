"""A camera as a process of its own: sends images and infos at a rate, says how many, waits for the others to have them.

Arguments: reliability, width, height, rate in Hz, number of images. Nothing of the package is imported, so that it
starts quickly.
"""

from __future__ import annotations

import sys
import time

import rclpy
from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

_NS = 1_000_000_000


def main() -> None:
    """Send."""
    reliability, width, height, rate, number = sys.argv[1], *map(int, sys.argv[2:6])
    rclpy.init()
    node = rclpy.create_node("camera")
    images = node.create_publisher(Image, "image", QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability]))
    infos = node.create_publisher(CameraInfo, "camera_info", QoSProfile(depth=number))
    while not all(publisher.get_subscription_count() for publisher in (images, infos)):
        time.sleep(0.02)
    image = Image(width=width, height=height, step=3 * width, encoding="rgb8", data=bytes(3 * width * height))
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    info.k = [500.0, 0.0, width / 2, 0.0, 500.0, height / 2, 0.0, 0.0, 1.0]
    print("sending", flush=True)
    began = time.monotonic()
    for i in range(number):
        time.sleep(max(0.0, began + i / rate - time.monotonic()))
        image.header.stamp = info.header.stamp = Time(sec=1_700_000_000 + i // rate, nanosec=i % rate * _NS // rate)
        image.header.frame_id = info.header.frame_id = "camera"
        images.publish(image)
        infos.publish(info)
    for publisher in (images, infos):
        publisher.wait_for_all_acked(Duration(seconds=10.0))
    print(f"sent {number}", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
