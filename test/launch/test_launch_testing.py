"""Runs the tests that are written for launch_testing, where ROS brings it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
_LIMIT_S = 300.0


@pytest.mark.ros
@pytest.mark.parametrize("name", ["refiner.test"])
def test_launched_nodes_work_and_end_in_order(name: str, ros_domain_id: int, tmp_path: Path) -> None:
    command = shutil.which("launch_test")
    if command is None:
        pytest.skip("launch_testing is not installed here: it comes with ros-<distribution>-launch-testing")
    index = pytest.importorskip("ament_index_python.packages", reason="no ament index here")
    try:
        index.get_package_prefix("rnnpose_ros")
    except index.PackageNotFoundError:
        pytest.skip("rnnpose_ros is not installed in a ROS workspace here: colcon build, then source it")
    environment = {**os.environ, "ROS_LOG_DIR": str(tmp_path), "ROS_DOMAIN_ID": str(ros_domain_id)}
    answer = subprocess.run(
        [command, str(_HERE / f"{name}.py")], env=environment, capture_output=True, text=True, timeout=_LIMIT_S
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "Ran 1 test" in answer.stdout + answer.stderr, "none was found"
