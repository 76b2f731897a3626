"""What recordings are worked through with needs no ROS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .bags.recordings import write_cube_recording

ROOT = Path(__file__).resolve().parents[2]

BLOCKED = """
import importlib.abc, sys

class NoRos(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ("rclpy", "tf2_ros", "message_filters") or top.endswith(("_msgs", "_srvs", "_interfaces")):
            raise ModuleNotFoundError(f"no module named {name!r}: there is no ROS here")

sys.meta_path.insert(0, NoRos())
"""


def test_a_recording_is_worked_through_where_there_is_no_ros(tmp_path: Path, cube_mesh: Path) -> None:
    recording = write_cube_recording(tmp_path / "in", pictures=2)
    arguments = ["bag", str(recording), "--out", str(tmp_path / "out"), "--objects", str(cube_mesh)]
    code = f"{BLOCKED}\nfrom rnnpose_ros.cli.main import main\nsys.exit(main({[*arguments, '--set', 'engine=fake']}))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr


def test_the_block_itself_works() -> None:
    code = f"{BLOCKED}\nimport rnnpose_ros.ros.refiner_node"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "there is no ROS here" in answer.stderr
