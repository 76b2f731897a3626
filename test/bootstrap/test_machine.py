"""What a machine lacks is said in one line with the remedy, before anything is downloaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnpose_ros.bootstrap import interpreter, machine
from rnnpose_ros.bootstrap.problems import MachineError
from rnnpose_ros.bootstrap.sourced_ros import MESSAGE_PACKAGES, find_sourced_ros

ROOT = Path(__file__).resolve().parents[2]


def fake_python(folder: Path, name: str, version: str) -> Path:
    """A program that answers every question with a version."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


def test_python3_is_taken_where_it_is_new_enough(tmp_path):
    expected = fake_python(tmp_path, "python3", "3 11")
    fake_python(tmp_path, "python3.13", "3 13")
    assert interpreter.find_python({"PATH": str(tmp_path)}) == str(expected)


def test_the_newest_that_fits_is_taken_where_python3_is_too_old(tmp_path):
    fake_python(tmp_path, "python3", "3 8")
    fake_python(tmp_path, "python3.10", "3 10")
    expected = fake_python(tmp_path, "python3.12", "3 12")
    assert interpreter.find_python({"PATH": str(tmp_path)}) == str(expected)


def test_the_python_asked_for_is_taken_or_refused_but_never_replaced(tmp_path):
    fake_python(tmp_path, "python3", "3 11")
    expected = fake_python(tmp_path / "other", "python3.12", "3 12")
    environ = {"PATH": str(tmp_path), "RNNPOSE_PYTHON": str(expected)}
    assert interpreter.find_python(environ) == str(expected)
    environ["RNNPOSE_PYTHON"] = str(fake_python(tmp_path / "other", "python3.9", "3 9"))
    with pytest.raises(MachineError, match=r"python3.9 is 3.9"):
        interpreter.find_python(environ)


@pytest.mark.parametrize("version", ["3 9", "3 14", "2 7"])
def test_a_python_that_does_not_fit_is_named_with_the_remedy(tmp_path, version):
    fake_python(tmp_path, "python3", version)
    with pytest.raises(MachineError, match=rf"3.10 to 3.13 is needed \(python3 is {version.replace(' ', '.')}\).*apt"):
        interpreter.find_python({"PATH": str(tmp_path)})


def test_a_missing_compiler_is_named_with_the_remedy(tmp_path):
    with pytest.raises(MachineError, match=r"no C compiler .* `sudo apt install g\+\+`"):
        machine.check_compiler({"PATH": str(tmp_path)})
    for name in ("gcc", "g++"):
        fake_python(tmp_path, name, "")
    machine.check_compiler({"PATH": str(tmp_path)})
    with pytest.raises(MachineError, match="clang-99"):
        machine.check_compiler({"PATH": str(tmp_path), "CXX": "clang-99 -v"})


def test_too_little_disk_space_is_said_with_what_is_there(tmp_path):
    machine.check_disk(tmp_path, 0)
    with pytest.raises(MachineError, match=r"1000000 GB of free disk space are needed, .* has \d+\.\d GB"):
        machine.check_disk(tmp_path, 1_000_000)


def test_the_command_ends_with_code_2_and_one_line_on_a_machine_without_python(tmp_path):
    environ = {"PATH": str(tmp_path), "RNNPOSE_PYTHON": str(fake_python(tmp_path, "python3", "3 9"))}
    answer = subprocess.run(
        [sys.executable, "-m", "rnnpose_ros.bootstrap"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("setup: Python 3.10 to 3.13 is needed")


@pytest.fixture
def fake_ros(tmp_path) -> dict[str, str]:
    """The environment of a shell that has sourced a ROS 2 which holds rclpy and every message package."""
    modules = tmp_path / "ros" / "python"
    for name in ("rclpy", *MESSAGE_PACKAGES):
        (modules / name).mkdir(parents=True)
        (modules / name / "__init__.py").touch()
    return {
        "PATH": os.environ["PATH"],
        "AMENT_PREFIX_PATH": str(tmp_path / "ros"),
        "ROS_DISTRO": "jazzy",
        "PYTHONPATH": str(modules),
        "RNNPOSE_PYTHON": sys.executable,
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }


def test_a_sourced_ros_is_used_with_the_python_that_imports_it(fake_ros, tmp_path):
    ros = find_sourced_ros(fake_ros, own_prefix=tmp_path / ".venv")
    assert ros is not None
    assert (ros.distro, ros.python) == ("jazzy", sys.executable)


def test_no_ros_is_sourced_where_the_shell_only_points_at_our_own_environment(fake_ros, tmp_path):
    assert find_sourced_ros({"PATH": fake_ros["PATH"]}, own_prefix=tmp_path / ".venv") is None
    assert find_sourced_ros(fake_ros, own_prefix=tmp_path / "ros") is None


def test_a_message_package_that_a_sourced_ros_lacks_is_asked_of_apt_and_never_built(fake_ros, tmp_path):
    (tmp_path / "ros" / "python" / "vision_msgs" / "__init__.py").write_text("raise ImportError\n")
    with pytest.raises(MachineError, match="without vision_msgs: `sudo apt install ros-jazzy-vision-msgs`"):
        find_sourced_ros(fake_ros, own_prefix=tmp_path / ".venv")
