"""Acceptance A15: the launch files describe their arguments and start what they say; what rviz shows is published.

What needs ``launch`` runs where it is installed. The rest reads the files as they are written.
"""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rnnpose_ros.config import flatten
from rnnpose_ros.ros.initial_poses import POSE_INPUTS
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.player_node import PlayerConfig

ROOT = Path(__file__).resolve().parents[1]
FILES = ("camera", "demo", "multi_camera", "refiner", "replay")
_DEMO_LIMIT_S = 120.0
"""For starting four processes on a busy machine; on a free one the first detection comes within 20 s."""


def launch_file(name: str) -> Path:
    return ROOT / "launch" / f"{name}.launch.py"


def assigned(name: str, variable: str) -> ast.expr:
    """What a launch file assigns to a variable."""
    for node in ast.parse(launch_file(name).read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == variable:
            return node.value
    pytest.fail(f"{name}.launch.py assigns nothing to {variable}")


def test_there_are_five() -> None:
    assert sorted(path.name for path in (ROOT / "launch").glob("*.launch.py")) == [
        f"{name}.launch.py" for name in FILES
    ]


@pytest.mark.parametrize("name", FILES)
def test_a15_launch_every_argument_is_described(name: str) -> None:
    arguments = assigned(name, "ARGUMENTS")
    assert isinstance(arguments, ast.Tuple)
    names = []
    for entry in arguments.elts:
        assert isinstance(entry, ast.Tuple)
        name_node, _, description = entry.elts[:3]
        names.append(ast.literal_eval(name_node))
        text = ast.literal_eval(description)
        assert len(text) >= 10, f"{names[-1]} is described by {text!r}"
        assert not text.endswith(".")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", FILES)
def test_every_executable_of_ours_is_installed(name: str) -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    commands = {line.split(" = ")[0] for line in setup["options.entry_points"]["console_scripts"].split("\n")}
    for node in ast.walk(ast.parse(launch_file(name).read_text())):
        if isinstance(node, ast.Call):
            words = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            if words.get("package") == "rnnpose_ros":
                assert words["executable"] in commands


def test_what_the_refiner_is_told_are_parameters_that_it_has() -> None:
    source = launch_file("refiner").read_text()
    plain = next(
        ast.literal_eval(node.generators[0].iter)
        for node in ast.walk(assigned("refiner", "_PARAMETERS"))
        if isinstance(node, ast.DictComp)
    )
    assert {*plain, "tf.frame_prefix"} <= set(flatten(NodeConfig()))
    assert '"tf.frame_prefix"' in source
    assert ast.literal_eval(assigned("refiner", "INITIAL_TOPICS")) == {
        kind: pose_input.topic for kind, pose_input in POSE_INPUTS.items()
    }


def test_rviz_shows_what_the_node_publishes() -> None:
    settings: dict[str, Any] = yaml.safe_load((ROOT / "config" / "rnnpose.rviz").read_text())["Visualization Manager"]
    assert settings["Global Options"]["Fixed Frame"] == PlayerConfig().frame_id
    displays = {display["Name"]: display for display in settings["Displays"]}
    topics = {name: display["Topic"]["Value"] for name, display in displays.items() if "Topic" in display}
    assert topics == {
        "Overlay": "/rnnpose/debug/overlay",
        "Similarity": "/rnnpose/debug/similarity",
        "Objects": "/rnnpose/markers",
        "Detections": "/rnnpose/detections",
    }
    assert displays["Frames"]["Filter (whitelist)"].startswith("^rnnpose/")


@pytest.mark.parametrize("name", FILES)
def test_a15_launch_files_can_be_loaded(name: str) -> None:
    pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed here")
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(launch_file(name))).try_get_launch_description_without_context()
    arguments = description.get_launch_arguments()
    assert len(arguments) >= len(assigned(name, "ARGUMENTS").elts)
    assert [argument.name for argument in arguments if not argument.description] == []


def ros2() -> str:
    """The command, where it can launch."""
    command = shutil.which("ros2")
    if command is None:
        pytest.skip("there is no ros2 command here")
    return command


@pytest.mark.parametrize("name", FILES)
def test_a15_launch_shows_its_arguments(name: str) -> None:
    command = [ros2(), "launch", str(launch_file(name)), "--show-args"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120.0)
    assert answer.returncode == 0, answer.stderr
    assert "no description given" not in answer.stdout.lower()


@pytest.fixture
def running_demo(ros_domain_id: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demonstration with the fake engine, in a session of its own."""
    environment = {**os.environ, "ROS_LOG_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [ros2(), "launch", "rnnpose_ros", "demo.launch.py", "engine:=fake", "use_rviz:=false", "autostart:=true"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    yield process
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5.0)


@pytest.mark.ros
def test_a15_launch_of_the_demo_detects_the_object(running_demo: subprocess.Popen[str], ros_domain_id: int) -> None:
    rclpy = pytest.importorskip("rclpy", reason="no ROS 2 on this machine")
    from rclpy.executors import SingleThreadedExecutor
    from vision_msgs.msg import Detection3DArray

    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=ros_domain_id)
    node = rclpy.create_node("tester", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    found: list[Any] = []
    node.create_subscription(Detection3DArray, "/rnnpose/detections", lambda m: found.extend(m.detections), 10)
    deadline = time.monotonic() + _DEMO_LIMIT_S
    try:
        while not found and time.monotonic() < deadline:
            assert running_demo.poll() is None, running_demo.communicate()[0]
            executor.spin_once(timeout_sec=0.2)
    finally:
        node.destroy_node()
        context.try_shutdown()
    assert found, "no detection came"
    assert found[0].results[0].hypothesis.class_id == "tea_box"
