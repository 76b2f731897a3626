"""What recordings are worked through with needs no ROS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_BLOCKED = """
import importlib.abc, sys

class NoRos(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ("rclpy", "tf2_ros", "message_filters") or top.endswith(("_msgs", "_srvs", "_interfaces")):
            raise ModuleNotFoundError(f"no module named {name!r}: there is no ROS here")

sys.meta_path.insert(0, NoRos())
"""


def test_the_whole_way_from_messages_to_messages_is_imported_without_ros() -> None:
    code = f"{_BLOCKED}\nimport rnnpose_ros.ros.pipeline, rnnpose_ros.ros.outputs, rnnpose_ros.ros.loading"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_the_block_itself_works() -> None:
    code = f"{_BLOCKED}\nimport rnnpose_ros.ros.refiner_node"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "there is no ROS here" in answer.stderr
