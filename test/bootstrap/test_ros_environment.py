"""The ROS 2 of this environment is a real one: its types are the released ones, and a shell needs no preparation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnpose_ros.bootstrap.message_packages import RELEASED_TYPE_HASHES, package_names, type_hash

pytestmark = pytest.mark.ros

wheels_only = pytest.mark.skipif(
    not Path(sys.prefix, "share", "rclpy").is_dir(), reason="the machine's own ROS 2 is used, not the wheels"
)


@wheels_only
@pytest.mark.parametrize("type_name", RELEASED_TYPE_HASHES)
def test_a_built_type_has_the_hash_of_the_released_one(type_name):
    assert type_hash(Path(sys.prefix), type_name) == RELEASED_TYPE_HASHES[type_name]


def test_what_is_built_is_what_has_no_wheel():
    assert package_names() == ["tf2_msgs", "vision_msgs"]


@wheels_only
def test_a_python_of_the_environment_needs_nothing_from_the_shell():
    code = (
        "import rclpy, os\n"
        "from ament_index_python.packages import get_package_share_directory\n"
        "from tf2_msgs.msg import TFMessage\n"
        "from vision_msgs.msg import Detection3DArray, ObjectHypothesisWithPose\n"
        "context = rclpy.Context(); rclpy.init(context=context); node = rclpy.create_node('probe', context=context)\n"
        "node.create_publisher(Detection3DArray, 'detections', 1); node.create_publisher(TFMessage, '/tf', 1)\n"
        "print(get_package_share_directory('vision_msgs'))\n"
    )
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    answer = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == str(Path(sys.prefix, "share", "vision_msgs"))
