"""The four processes of the demonstration: started, watched, and ended within bounds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rnnpose_ros.cli.progress_line import ProgressLine
from rnnpose_ros.cli.sequence_object import describe_object
from rnnpose_ros.errors import InputError, RnnposeError
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.ros.fastdds_profile import PACKAGED_PROFILE, profile_in_use, profile_variable
from rnnpose_ros.sources.sequence import Sequence

_START_LIMIT_S = 180.0
_END_LIMIT_S = 60.0
_POLL_S = 0.2


class DemoError(RnnposeError):
    """A process of the demonstration failed or did not end."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What may be asked of a demonstration; see ``rnnpose demo --help``."""

    weights: str = ""
    device: str = "auto"
    mesh_scale: float = 0.0
    seed: int = 0
    noise_scale: float = 1.0
    every: int = 1
    rate: float = 1.0
    first: int = 0
    count: int = 0
    lockstep: bool = False
    engine: str = "auto"
    refiner: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters of the refiner node by dotted name."""


@dataclass(frozen=True, slots=True)
class DemoProcess:
    """One of the four, and where its words go."""

    name: str
    handle: subprocess.Popen[bytes]
    log: Path

    def fail_if_ended_badly(self) -> None:
        """
        Raises:
            DemoError: It has ended with a code other than 0; the message holds the end of its log.
        """
        code = self.handle.poll()
        if code:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
            raise DemoError(f"the {self.name} ended with code {code}; the end of {self.log}:\n{tail}")


def play(sequence: Sequence, out: Path, *, settings: DemoSettings) -> Path:
    """Run the graph until the sequence has been played.

    Args:
        sequence: What is played.
        out: Gets ``recording/`` and ``logs/``.
        settings: How.

    Returns:
        The recorder's folder.

    Raises:
        DemoError: A process failed or did not end in time.
    """
    _check_ros()
    recording, logs = out / "recording", out / "logs"
    for folder in (recording, logs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    environment = _environment()
    values = _parameters(sequence, recording, settings)
    processes: list[DemoProcess] = []
    try:
        for name in ("recorder", "source", "refiner", "player"):
            processes.append(_start(name, values[name], logs, environment))
        _watch(processes, recording, sequence, settings)
    finally:
        for process in processes:
            _stop(process)
    return recording


def _check_ros() -> None:
    import importlib.util

    missing = [name for name in ("rclpy", "vision_msgs", "tf2_msgs") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} cannot be imported: run make setup, or source a ROS 2 with vision_msgs")


def _parameters(sequence: Sequence, recording: Path, settings: DemoSettings) -> dict[str, dict[str, Any]]:
    data = {"data": str(sequence.folder.resolve()), "mesh_scale": settings.mesh_scale}
    poses = {"seed": settings.seed, "noise_scale": settings.noise_scale, "every": settings.every, "wait_subscribers": 2}
    frames = {"rate": settings.rate, "first": settings.first, "count": settings.count, "lockstep": settings.lockstep}
    # The refiner and the source hear camera_info; the recorder and the source must know the facts.
    waits = {"wait_image": 1, "wait_camera_info": 2, "wait_sequence_info": 2, "wait_limit": _START_LIMIT_S}
    refiner = {
        "engine": settings.engine,
        "device": settings.device,
        "weights": str(Path(settings.weights).resolve()) if settings.weights else "",
        "objects_file": str(describe_object(sequence, recording)),
        # How late it is, is measured; in lockstep the stamps go on while the pictures wait.
        "max_latency": 0.0,
        **settings.refiner,
    }
    return {
        "player": {**data, **frames, **waits},
        "source": {**data, **poses},
        "refiner": refiner,
        "recorder": {"folder": str(recording.resolve()), "wait_limit": _START_LIMIT_S},
    }


def _environment() -> dict[str, str]:
    """A ROS domain of its own, large shared memory for the pictures, and this very package."""
    environment = dict(os.environ)
    environment["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    profile = resolve_path(PACKAGED_PROFILE)
    if profile.is_file() and not profile_in_use(environment):
        environment[profile_variable(environment)] = str(profile)
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    return environment


def _start(name: str, values: Mapping[str, Any], logs: Path, environment: Mapping[str, str]) -> DemoProcess:
    parameters = logs / f"{name}.yaml"
    parameters.write_text(_parameter_file(values))
    command = [sys.executable, "-m", f"rnnpose_ros.ros.{name}_node", "--ros-args", "--params-file", str(parameters)]
    log = logs / f"{name}.log"
    own = dict(environment)
    if name != "refiner":
        # Their arithmetic is small; the processors belong to the refiner.
        own["OMP_NUM_THREADS"] = "1"
    with log.open("wb") as output:
        handle = _popen(command, own, output)
    return DemoProcess(name, handle, log)


def _popen(command: list[str], environment: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: an interrupt at the keyboard reaches this process, which ends the others.
    return subprocess.Popen(
        command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )


def _parameter_file(values: Mapping[str, Any]) -> str:
    lines = ["/**:", "  ros__parameters:"]
    return "\n".join(lines + [f"    {name}: {json.dumps(value)}" for name, value in values.items()]) + "\n"


def _watch(processes: list[DemoProcess], recording: Path, sequence: Sequence, settings: DemoSettings) -> None:
    """Until the recorder has ended; it ends after the player."""
    by_name = {process.name: process for process in processes}
    recorder, player = by_name["recorder"].handle, by_name["player"].handle
    count = min(settings.count or sequence.n_frames, sequence.n_frames - settings.first)
    started = time.monotonic()
    facts: dict[str, Any] = {}
    limit_s = _START_LIMIT_S
    with ProgressLine("demo") as line:
        while recorder.poll() is None:
            for process in processes:
                process.fail_if_ended_badly()
            elapsed_s = time.monotonic() - started
            if not facts and (recording / "sequence.json").is_file():
                facts = _read_facts(recording)
                slowest_s = 10.0 * count if settings.lockstep else count / max(facts["fps"], 1e-9)
                limit_s = elapsed_s + slowest_s + _END_LIMIT_S
            if elapsed_s > limit_s:
                waiting = "started" if not facts else "ended"
                raise DemoError(f"the graph has not {waiting} after {elapsed_s:.0f} s; see the logs beside {recording}")
            line.show(_progress(recording, facts, count, elapsed_s, playing=player.poll() is None))
            time.sleep(_POLL_S)
        by_name["recorder"].fail_if_ended_badly()


def _read_facts(recording: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((recording / "sequence.json").read_text()))
    except ValueError:
        return {}


def _progress(recording: Path, facts: Mapping[str, Any], count: int, elapsed_s: float, *, playing: bool) -> str:
    if not facts:
        return f"starting player, source, refiner and recorder, {elapsed_s:.0f} s"
    answered, poses = (_lines(recording / f"{kind}.jsonl") for kind in ("detections", "transforms"))
    state = "playing" if playing else "ending"
    return f"{state} {count} frames, {answered} answered, {poses} poses on /tf, {elapsed_s:.0f} s"


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def _stop(process: DemoProcess) -> None:
    """By interrupt, and when that does not help, by force; both for the whole group."""
    for number, wait_s in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        if process.handle.poll() is not None:
            return
        try:
            os.killpg(process.handle.pid, number)
            process.handle.wait(wait_s)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
