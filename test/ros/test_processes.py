"""Nodes as processes: how they end, and the whole chain from player to report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from .conftest import Graph

pytest.importorskip("rclpy", reason="no ROS 2 on this machine")
pytestmark = pytest.mark.ros

_ROOT = Path(__file__).resolve().parents[2]
T0 = 1_700_000_000_000_000_000


def start_refiner(domain_id: int, *overrides: str, **options: Any) -> subprocess.Popen[str]:
    """A refiner with the fake engine in a session of its own."""
    # The stamps are made up.
    defaults = ("engine:=fake", "max_latency:=0.0")
    arguments = [part for override in (*defaults, *overrides) for part in ("-p", override)]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain_id), "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "rnnpose_ros.ros.refiner_node", "--ros-args", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def send_until_silent(graph: Graph) -> None:
    """A pose and images, until an image is not answered: then the worker is inside the engine, or gone."""
    graph.send_pose(T0)
    for i in range(100):
        stamp = T0 + i * 10_000_000
        graph.send(stamp)
        if not graph.comes(lambda stamp=stamp: graph.detections_at(stamp), timeout_s=1.0):
            return
    pytest.fail("every image was answered, so the pose never reached the engine")


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_an_interrupt_ends_a_busy_node_within_two_seconds_with_code_0(graph: Graph, cube_mesh: Path) -> None:
    domain_id = graph.context.get_domain_id()
    # Started like a shell's background child, which inherits that interrupts are ignored.
    process = start_refiner(
        domain_id,
        f"objects_file:={cube_mesh}",
        "fake.mode:=slow",
        "fake.delay:=5.0",
        preexec_fn=_ignore_interrupts,
    )
    try:
        graph.wait_for(graph._is_connected, "the process to be connected", timeout_s=60.0)
        send_until_silent(graph)
        asked_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10.0)
        assert time.monotonic() - asked_at < 2.0
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        process.kill()


@pytest.fixture
def own_domain(domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a node run inside this process: its domain, and this process's way to be interrupted afterwards."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def run_refiner(*overrides: str) -> int:
    """The node in this process; returns what would be the exit code."""
    from rnnpose_ros.ros.refiner_node import RefinerNode
    from rnnpose_ros.ros.running import run_node

    return run_node(
        RefinerNode,
        args=["--ros-args", *(part for override in ("engine:=fake", *overrides) for part in ("-p", override))],
    )


def test_an_interrupt_while_a_picture_is_worked_on_leaves_no_error(graph: Graph, cube_mesh: Path) -> None:
    process = start_refiner(
        graph.context.get_domain_id(), f"objects_file:={cube_mesh}", "fake.mode:=slow", "fake.delay:=1.2"
    )
    try:
        graph.wait_for(graph._is_connected, "the process to be connected", timeout_s=60.0)
        send_until_silent(graph)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10.0)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        process.kill()


@pytest.mark.parametrize("loads", ["packaged objects", "what never comes"])
def test_an_interrupt_while_the_node_loads_ends_it_within_two_seconds_too(
    graph: Graph, tmp_path: Path, loads: str
) -> None:
    objects = "package://rnnpose_ros/models/objects/demo"
    if loads == "what never comes":
        objects = str(tmp_path / "object.yaml")
        os.mkfifo(objects)
    process = start_refiner(graph.context.get_domain_id(), "engine:=eager", "device:=cpu", f"objects_file:={objects}")
    try:
        # Its lifecycle services are there before anything is loaded.
        graph.wait_for(
            lambda: "rnnpose" in graph.node.get_node_names(), "the process to be on the graph", timeout_s=60.0
        )
        asked_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10.0)
        assert time.monotonic() - asked_at < 2.0
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        # A busy machine may have loaded what is there before the graph said that the process is on it.
        assert "ready" not in errors or loads == "packaged objects"
    finally:
        process.kill()


def test_an_unknown_parameter_ends_the_node_with_one_line_and_code_2(
    own_domain: None, cube_mesh: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_refiner(f"objects_file:={cube_mesh}", "refine.cylces:=3") == 2
    expected = "error: unknown parameter 'refine.cylces', did you mean 'refine.cycles'?"
    assert capfd.readouterr().err.splitlines() == [expected]


def test_a_missing_mesh_ends_the_node_with_one_line_and_code_2(
    own_domain: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_refiner(f"objects_file:={tmp_path / 'none.obj'}") == 2
    errors = capfd.readouterr().err
    assert len(errors.splitlines()) == 1
    assert "none.obj" in errors


def test_a_worker_that_fails_says_so_and_ends_the_node_with_code_1(graph: Graph, cube_mesh: Path) -> None:
    process = start_refiner(graph.context.get_domain_id(), f"objects_file:={cube_mesh}", "fake.mode:=raise")
    try:
        graph.wait_for(graph._is_connected, "the process to be connected", timeout_s=60.0)
        send_until_silent(graph)
        _, errors = process.communicate(timeout=15.0)
        assert process.returncode == 1
        assert "the fake engine fails, as it was told to" in errors
    finally:
        process.kill()


@pytest.fixture
def sequence_folder(tmp_path: Path, cube_mesh: Path) -> Path:
    """Fifteen pictures at 10 Hz of noise, with a pose of the cube in each."""
    folder = tmp_path / "sequence"
    (folder / "frames").mkdir(parents=True)
    (folder / "cube.obj").write_text(cube_mesh.read_text())
    camera = {"fx": 300.0, "fy": 300.0, "cx": 160.0, "cy": 120.0, "width": 320, "height": 240}
    (folder / "camera.json").write_text(json.dumps(camera))
    rng = np.random.default_rng(0)
    poses = {}
    for i in range(15):
        cv2.imwrite(str(folder / "frames" / f"{i:04d}.png"), rng.integers(0, 256, (240, 320, 3), np.uint8))
        poses[str(i)] = {"R": np.eye(3).tolist(), "t_m": [0.001 * i, 0.0, 0.6]}
    (folder / "poses.json").write_text(json.dumps({"object": "cube", "fps": 10, "frames": poses}))
    return folder


def test_four_processes_bring_transforms_with_the_pictures_stamps_and_a_report(
    sequence_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rnnpose_ros.cli.demo import run_demo
    from rnnpose_ros.cli.demo_graph import DemoSettings

    out = tmp_path / "out"
    code = run_demo(sequence_folder, out, settings=DemoSettings(engine="fake", every=0, noise_scale=0.2))
    assert code == 1, "the fake engine refines nothing, so the initial poses are not beaten"
    assert "do not beat" in capsys.readouterr().out
    facts = json.loads((out / "recording" / "sequence.json").read_text())
    sent = {facts["start_ns"] + round(i * 1e9 / facts["fps"]) for i in range(facts["n_frames"])}
    lines = [json.loads(line) for line in (out / "recording" / "transforms.jsonl").read_text().splitlines()]
    stamps = [line["stamp_ns"] for line in lines]
    assert len(stamps) >= 2, "a slow machine drops pictures, but not nearly all"
    assert len(set(stamps)) == len(stamps), "no child and stamp twice"
    assert set(stamps) <= sent
    assert {line["child"] for line in lines} == {"rnnpose/cube_0"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames_refined"] == len(stamps)
    assert (out / "report.html").stat().st_size > 1000
    assert (out / "poses.csv").read_text().count("\n") == summary["frames"] + 1
    assert list((out / "recording" / "overlay").iterdir())
    assert list((out / "recording" / "similarity").iterdir())


def test_a_process_that_ended_badly_is_said_with_the_end_of_its_log(tmp_path: Path) -> None:
    from rnnpose_ros.cli.demo_graph import DemoError, DemoProcess

    log = tmp_path / "refiner.log"
    log.write_text("a line\nerror: no weights\n")
    handle = subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"])
    handle.wait(30.0)
    with pytest.raises(DemoError, match=r"the refiner ended with code 2(.|\n)*error: no weights"):
        DemoProcess("refiner", handle, log).fail_if_ended_badly()
