"""A refiner node as a process, for soaks: started, watched, interrupted."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from rnnpose_ros.cli.sequence_object import describe_object
from rnnpose_ros.errors import RnnposeError
from rnnpose_ros.ros.soak_camera import SoakCamera
from rnnpose_ros.sources.sequence import Sequence

_START_LIMIT_S = 300.0
STOP_LIMIT_S = 30.0
_NODE = "rnnpose_ros.ros.refiner_node"


class SoakError(RnnposeError):
    """The node could not be started."""


def domain_id() -> int:
    """Of the graph that this process soaks in."""
    return 1 + os.getpid() % 100


def namespace() -> str:
    """Of node and camera: others may be in the same domain."""
    return f"soak_{os.getpid()}"


class NodeProcess:
    """A refiner node of its own, with its log in a file.

    Args:
        sequence: Whose object it serves.
        labels: Under which it serves it: as many objects.
        engine: Of the node, see its parameter.
        out: The log goes beside this file; None: into a temporary one.
        preloaded: Forked from a process that has imported what it needs, and not an interpreter of its own.
    """

    def __init__(
        self,
        sequence: Sequence,
        *,
        labels: Iterable[str],
        engine: str,
        out: Path | None,
        preloaded: bool = False,
    ) -> None:
        self._log = Path(tempfile.mkstemp(suffix=".log")[1]) if out is None else out.with_suffix(".log")
        self._is_temporary = out is None
        self._text = ""
        self._objects = tempfile.TemporaryDirectory(prefix="rnnpose_soak_")
        for label in labels:
            folder = Path(self._objects.name) / label
            folder.mkdir()
            describe_object(sequence, folder, label=label)
        values = {
            "engine": engine,
            "objects_file": self._objects.name,
            "tf.frame_prefix": f"{namespace()}/",
            # How late it is, is measured.
            "max_latency": "0.0",
        }
        arguments = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
        self._began = time.monotonic()
        start = _fork if preloaded else _spawn
        self._handle: subprocess.Popen[bytes] | _Forked = start(
            ["--ros-args", "-r", f"__ns:=/{namespace()}", *arguments], self._log
        )

    def wait_until_up(self, camera: SoakCamera) -> float:
        """Seconds from its start until it listens.

        Raises:
            SoakError: It does not.
        """
        while not camera.wait_for_refiner(timeout_s=1.0):
            waited_s = time.monotonic() - self._began
            if self._handle.poll() is not None or waited_s > _START_LIMIT_S:
                self.kill()
                raise SoakError(f"the node is not up after {waited_s:.0f} s; the end of its log:\n{self._text[-800:]}")
        return time.monotonic() - self._began

    def memory_kb(self) -> float | None:
        """Resident memory; None once it is gone."""
        try:
            pages = int(Path(f"/proc/{self._handle.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024

    @property
    def exit_code(self) -> int:
        """After :meth:`stop`."""
        return int(self._handle.returncode or 0)

    @property
    def is_running(self) -> bool:
        """Whether it still lives."""
        return self._handle.poll() is None

    def stop(self) -> float:
        """Interrupt it, and return after how many seconds it was gone."""
        asked = time.monotonic()
        self._handle.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._handle.wait(STOP_LIMIT_S)
        took_s = time.monotonic() - asked
        self.kill()
        return took_s

    def kill(self) -> None:
        """Make sure that it is gone; its log stays to be read."""
        if self._handle.poll() is None:
            self._handle.kill()
            self._handle.wait(STOP_LIMIT_S)
        self._objects.cleanup()
        if self._log.exists():
            self._text = self._log.read_text(errors="replace")
            if self._is_temporary:
                self._log.unlink()

    def log_text(self) -> str:
        """What it said, after its end."""
        return self._text


class _Forked:
    """A process forked from a preloaded server, with as much of ``subprocess.Popen`` as is needed here."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid = int(process.pid or 0)

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Its code, or a ``TimeoutExpired``."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(_NODE, timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """As long as it runs."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """At once."""
        self._process.kill()


def _spawn(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain_id())}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", _NODE, *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _fork(arguments: list[str], log: Path) -> _Forked:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([_NODE, "rnnpose_ros.ros.session", __name__])
    process = server.Process(target=_run_forked, args=(arguments, str(log), domain_id()), daemon=True)
    process.start()
    return _Forked(process)


def _run_forked(arguments: list[str], log: str, domain: int) -> None:
    """In the child: what ``python -m`` would do."""
    from rnnpose_ros.ros.refiner_node import main

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(file, number)
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    sys.argv = [_NODE, *arguments]
    main()
