"""How many pictures get from one process to another on this machine: measured, not guessed.

Two processes of our own, in a ROS domain of their own, with the middleware and the settings of this shell, or with a
Fast DDS profile. Nothing of ROS is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpose_ros.errors import RnnposeError
from rnnpose_ros.ros.fastdds_profile import profile_variable

RELIABILITIES = ("reliable", "best_effort")
_SETUP_S = 60.0
"""For starting two processes on a busy machine, and for their finding each other."""


class TransportError(RnnposeError):
    """The measurement itself failed: no ROS, or the two processes did not find each other."""


@dataclass(frozen=True, slots=True)
class ImageStream:
    """Uncompressed colour pictures of one size from one kind of publisher."""

    width: int
    height: int
    reliability: str
    """Of publisher and subscription."""
    depth: int = 5
    """Of both queues."""

    @property
    def topic(self) -> str:
        """Where it is sent."""
        return f"transport_probe/{self.reliability}_{self.width}x{self.height}"

    @property
    def text(self) -> str:
        """For a command line; :meth:`parse` reads it."""
        return f"{self.width}x{self.height}:{self.reliability}:{self.depth}"

    @staticmethod
    def parse(text: str) -> ImageStream:
        """A stream from ``640x480:reliable`` or ``640x480:reliable:20``.

        Raises:
            ValueError: It is written otherwise.
        """
        size, reliability, *depth = text.split(":")
        width, height = (int(side) for side in size.split("x"))
        if reliability not in RELIABILITIES:
            raise ValueError(f"expected one of {', '.join(RELIABILITIES)}, got {reliability!r}")
        return ImageStream(width, height, reliability, *(int(number) for number in depth))


DEFAULT_STREAMS = tuple(
    ImageStream(width, height, reliability)
    for width, height in ((640, 480), (1280, 720))
    for reliability in RELIABILITIES
)


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What became of a stream."""

    stream: ImageStream
    sent: int
    received: int
    delay_ms: float | None
    """Median from sending to the receiver's callback; None when nothing arrived."""

    @property
    def share(self) -> float:
        """Received of sent, 0..1."""
        return self.received / self.sent if self.sent else 0.0


def measure_transport(
    streams: Sequence[ImageStream] = DEFAULT_STREAMS,
    *,
    profile: Path | None = None,
    count: int = 45,
    rate_hz: float = 30.0,
    environment: Mapping[str, str] | None = None,
) -> list[StreamResult]:
    """Send every stream from one process to another, one after the other.

    Args:
        streams: What is sent.
        profile: A Fast DDS profile for both ends; when None, they have the one that the environment names, if any.
        count: Pictures of each stream.
        rate_hz: Pictures a second.
        environment: Instead of this process's own.

    Raises:
        TransportError: An end could not start, or they did not find each other.
    """
    limit_s = _SETUP_S + len(streams) * (2.0 + 2.0 * count / rate_hz)
    values = _environment(os.environ if environment is None else environment, profile)
    numbers = ["--count", str(count), "--rate", str(rate_hz), "--limit", str(limit_s)]
    texts = [stream.text for stream in streams]
    ends = [_start([end, *texts, *numbers], values) for end in ("receive", "send")]
    try:
        answer, complaint = ends[0].communicate(timeout=limit_s + _SETUP_S)
        if ends[0].returncode:
            raise TransportError(f"the receiver failed: {_last_line(complaint)}")
        _, complaint = ends[1].communicate(timeout=_SETUP_S)
        if ends[1].returncode:
            raise TransportError(f"the sender failed: {_last_line(complaint)}")
    except subprocess.TimeoutExpired:
        raise TransportError(f"the measurement did not end within {limit_s + _SETUP_S:.0f} s") from None
    finally:
        for end in ends:
            _stop(end)
    return [_result(stream, json.loads(answer.splitlines()[-1])) for stream in streams]


def _result(stream: ImageStream, counts: Mapping[str, Mapping[str, Any]]) -> StreamResult:
    found = counts[stream.topic]
    if not found["sent"]:
        raise TransportError(
            "two processes of this machine do not hear each other: the receiver was not found, or the sender was not "
            "heard; look at ROS_AUTOMATIC_DISCOVERY_RANGE, at ROS_DISCOVERY_SERVER, and at a firewall on the loopback"
        )
    delay_ms = found["delay_ms"]
    return StreamResult(stream, int(found["sent"]), int(found["received"] or 0), delay_ms)


def _environment(base: Mapping[str, str], profile: Path | None) -> dict[str, str]:
    values = dict(base)
    values["ROS_DOMAIN_ID"] = str(1 + (os.getpid() + 50) % 100)
    values.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    root = str(Path(__file__).resolve().parents[2])
    values["PYTHONPATH"] = os.pathsep.join(filter(None, (root, values.get("PYTHONPATH"))))
    if profile is not None:
        values[profile_variable(values)] = str(profile)
    return values


def _start(arguments: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rnnpose_ros.ros.transport_probe", *arguments]
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _stop(end: subprocess.Popen[str]) -> None:
    if end.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(end.pid, signal.SIGKILL)
        end.communicate()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
