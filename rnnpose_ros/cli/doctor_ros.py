"""Which ROS 2 this shell has, and how its middleware is set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnpose_ros.bootstrap.sourced_ros import MESSAGE_PACKAGES
from rnnpose_ros.cli.doctor_findings import Finding, error, ok, warn
from rnnpose_ros.ros.fastdds_profile import PACKAGED_PROFILE, profile_in_use, profile_variable, unread_variable

SECTION = "ROS 2"
TESTED = ("humble", "iron", "jazzy", "kilted")
FAST_DDS = "rmw_fastrtps"
_IMAGE_BYTES = 1280 * 720 * 3
_SHARED_MEMORY_BYTES = 256 * 2**20
"""Four processes, each with the profile's segment of 64 MiB."""
_USUAL_SEGMENTS = 100
"""One a process, and a few for its ports."""


@dataclass(frozen=True, slots=True)
class ImportAnswer:
    """What came of importing a module in a process of its own."""

    is_found: bool
    text: str
    """What was asked for, or the last line of the complaint."""

    @property
    def is_missing(self) -> bool:
        """True when there is no such module; False when there is one that does not work."""
        return not self.is_found and "No module named" in self.text


def try_import(module: str, expression: str = "''", environment: Mapping[str, str] | None = None) -> ImportAnswer:
    """Import a module, or several with commas between, and evaluate an expression.

    It happens in a process of its own: some modules take the interpreter down with them.
    """
    code = f"import {module}; print({expression})"
    values = None if environment is None else dict(environment)
    try:
        answer = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0, env=values, check=False
        )
    except subprocess.TimeoutExpired:
        return ImportAnswer(False, "no answer within a minute")
    if answer.returncode == 0:
        return ImportAnswer(True, answer.stdout.strip())
    lines = answer.stderr.strip().splitlines()
    # Python's own complaint, before what libraries add to it.
    named = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception"))]
    return ImportAnswer(False, (named or lines or [f"the process ended with code {answer.returncode}"])[-1])


def check_ros() -> Iterator[Finding]:
    """Distribution, middleware, messages, what else of ROS there is, and how the transport is set."""
    middleware = ask_middleware()
    if middleware.is_missing:
        text = "no ROS 2 here (no rclpy): rnnpose refine, bag, evaluate and train work, the nodes do not"
        yield warn(SECTION, text, "source /opt/ros/<distribution>/setup.bash, or make setup, which brings wheels")
        return
    distribution = os.environ.get("ROS_DISTRO", "")
    if not middleware.is_found:
        remedy = "was rclpy built for this Python? source the workspace again, or make setup in a shell without ROS"
        yield error(SECTION, f"rclpy is here and does not work: {middleware.text}", remedy)
        return
    source = f"ROS 2 {distribution}" if distribution else "ROS 2 from wheels"
    found = f"{source}, {middleware.text}, domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
    if distribution and distribution not in (*TESTED, "rolling"):
        yield warn(SECTION, found, f"tested with {', '.join(TESTED)}")
    else:
        yield ok(SECTION, found)
    yield from _check_messages(distribution)
    yield from _check_companions(distribution)
    yield from _check_discovery()
    if middleware.text.startswith(FAST_DDS):
        yield from check_profile(os.environ)
        yield from _check_memory()


def ask_middleware() -> ImportAnswer:
    """The name of the middleware that rclpy uses."""
    return try_import("rclpy.utilities", "rclpy.utilities.get_rmw_implementation_identifier()")


def check_profile(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether large pictures have a profile that Fast DDS reads."""
    variable, file = profile_variable(environment), profile_in_use(environment)
    if unread := unread_variable(environment):
        text = f"{unread} is set, which Fast DDS of ROS 2 {environment['ROS_DISTRO']} does not read"
        yield warn(SECTION, text, f"export {variable}={environment[unread]}")
    elif file and not Path(file).is_file():
        remedy = f"export {variable}={_packaged_profile()}, for the camera's driver as well"
        yield error(SECTION, f"the Fast DDS profile {file} is not there", remedy)
    elif file:
        yield ok(SECTION, f"Fast DDS profile {file}")
    else:
        yield ok(SECTION, "no Fast DDS profile; whether one is needed is measured below")


def _packaged_profile() -> Path:
    from rnnpose_ros.paths import resolve_path

    return resolve_path(PACKAGED_PROFILE)


def _check_messages(distribution: str) -> Iterator[Finding]:
    modules = {name: f"{name}.{'srv' if name.endswith('_srvs') else 'msg'}" for name in MESSAGE_PACKAGES}
    if try_import(", ".join(modules.values())).is_found:
        yield ok(SECTION, f"messages: {', '.join(modules)}")
        return
    answers = {name: try_import(module) for name, module in modules.items()}
    bad = [name for name, answer in answers.items() if not answer.is_found]
    packages = " ".join(f"ros-{distribution}-{name.replace('_', '-')}" for name in bad)
    remedy = f"sudo apt install {packages}" if distribution else "make setup"
    yield error(SECTION, "; ".join(f"{name}: {answers[name].text}" for name in bad), remedy)


def _check_companions(distribution: str) -> Iterator[Finding]:
    """What is used where it is installed, and what the launch files need."""
    bridge = try_import("cv_bridge", "cv_bridge.__file__")
    if bridge.is_found:
        yield ok(SECTION, "cv_bridge: asked for the encodings that the package does not read itself")
    elif bridge.is_missing:
        yield ok(SECTION, "no cv_bridge: the package reads rgb, bgr, mono, YUV 4:2:2 and Bayer images itself")
    else:
        remedy = "it was built for another NumPy; needed for unusual encodings only: make setup pins NumPy 1 beside it"
        yield warn(SECTION, f"cv_bridge is here and does not work: {bridge.text}", remedy)
    tf2 = try_import("tf2_ros")
    if tf2.is_found or tf2.is_missing:
        yield ok(
            SECTION, "transforms by tf2_ros" if tf2.is_found else "no tf2_ros: transforms by the package's own buffer"
        )
    else:
        yield error(SECTION, f"tf2_ros is here and does not work: {tf2.text}", "source the workspace again")
    launch = try_import("launch_ros.actions")
    if launch.is_found:
        yield ok(SECTION, "launch_ros is here for the launch files")
    else:
        apt = f"sudo apt install ros-{distribution}-launch-ros ros-{distribution}-ros2launch"
        remedy = apt if distribution else "without them: .venv/bin/refiner_node --ros-args -p objects_file:=..."
        yield warn(SECTION, "no launch_ros: the launch files cannot be used, the nodes can", remedy)


def _check_discovery() -> Iterator[Finding]:
    only_here = os.environ.get("ROS_LOCALHOST_ONLY") == "1"
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper()
    if reach == "OFF":
        remedy = "unset ROS_AUTOMATIC_DISCOVERY_RANGE, or set it to LOCALHOST or SUBNET"
        yield error(SECTION, "ROS_AUTOMATIC_DISCOVERY_RANGE=OFF: nodes do not find each other", remedy)
    elif only_here or reach == "LOCALHOST":
        name = "ROS_LOCALHOST_ONLY" if only_here else "ROS_AUTOMATIC_DISCOVERY_RANGE"
        yield ok(SECTION, f"{name}: nodes of this machine only; a camera on another one is not seen")
    text = os.environ.get("ROS_DOMAIN_ID", "0")
    if not text.isdigit() or int(text) > 101:
        yield warn(SECTION, f"ROS_DOMAIN_ID={text}", "use 0 to 101: above, its ports are those Linux gives to others")


def left_over_segments(folder: Path) -> Iterator[Finding]:
    """What killed processes left of Fast DDS's shared memory: with hundreds of it, nodes no longer heard each other."""
    segments = len(list(folder.glob("fastdds_*"))) // 2  # each has a lock beside it
    if segments > _USUAL_SEGMENTS:
        text = (
            f"{folder} holds {segments} segments of Fast DDS, more than so many processes need: killed ones left theirs"
        )
        yield warn(
            SECTION, text, f"stop all nodes, then fastdds shm clean, or rm {folder}/fastdds_* {folder}/sem.fastdds_*"
        )


def _check_memory() -> Iterator[Finding]:
    """Where pictures wait on their way: shared memory, and the sockets' buffers for what comes from other machines."""
    try:
        shared = os.statvfs("/dev/shm")
        buffer = int(Path("/proc/sys/net/core/rmem_default").read_text())
    except (OSError, ValueError):
        return
    free = shared.f_bavail * shared.f_frsize
    if free < _SHARED_MEMORY_BYTES:
        remedy = "docker run --shm-size=1g; sudo mount -o remount,size=1G /dev/shm; for left-overs: fastdds shm clean"
        yield warn(SECTION, f"/dev/shm has {free / 2**20:.0f} MiB free, the profile wants 64 MiB a process", remedy)
    else:
        yield ok(SECTION, f"/dev/shm has {free / 2**20:.0f} MiB free")
    yield from left_over_segments(Path("/dev/shm"))
    text = f"sockets receive into {buffer / 1024:.0f} KiB (rmem_default)"
    if buffer < _IMAGE_BYTES:
        text += ": less than one 1280x720 picture, which counts for cameras on other machines"
        yield ok(SECTION, f"{text}; sudo sysctl -w net.core.rmem_default=16777216 net.core.rmem_max=16777216 mends it")
    else:
        yield ok(SECTION, text)
