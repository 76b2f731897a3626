"""Runs the steps of the set-up: skips what is done, shows progress, keeps a log of each."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rnnpose_ros.bootstrap.problems import SetupError

_POLL_S = 0.1

# What a log says, and what to do about it.
_REMEDIES = (
    (r"No space left on device", "free some disk space"),
    (r"name resolution|ConnectionError|NewConnectionError|ReadTimeout|ProxyError|SSLError|Connection (refused|reset)",
     "check the network or the proxy"),
    (r"No matching distribution found", "check pip's index settings (`pip config list`), or name another Python in "
     "RNNPOSE_PYTHON"),
    (r"Python\.h: No such file", "install the headers of that Python (`sudo apt install python3-dev`)"),
    (r"Killed|internal compiler error|cannot allocate memory", "close other programs, the memory ran out"),
    (r"Permission denied", "make the checkout writable for this user"),
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One command of the set-up, done once for given inputs.

    Attributes:
        name: what the user sees.
        command: what runs.
        inputs: whatever a change of makes the step run again, beside the command.
        produces: a file that must be there for the step to count as done.
        environ: the environment of the command.
        fallback: given the log of a failed run, another command to try, or None.
    """

    name: str
    command: Sequence[str]
    inputs: tuple[str, ...] = ()
    produces: Path | None = None
    environ: dict[str, str] = field(default_factory=dict)
    fallback: Callable[[str], Sequence[str] | None] | None = None

    @property
    def key(self) -> str:
        """The name as a file name."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")

    @property
    def fingerprint(self) -> str:
        """A digest of everything that the outcome depends on."""
        return hashlib.sha256("\0".join([*self.command, "", *self.inputs]).encode()).hexdigest()


class StepRunner:
    """Runs steps side by side; the stamps and logs lie in one folder inside the virtual environment."""

    def __init__(self, state_dir: Path, *, say: Callable[[str], None] | None = None, quiet_s: float = 2.0) -> None:
        """Remembers the folder of stamps and logs; nothing is written until a step runs.

        Args:
            state_dir: the folder.
            say: takes the lines for the user; by default they are printed at once.
            quiet_s: a step shorter than this says nothing.
        """
        self._state_dir = state_dir
        self._say = say or partial(print, flush=True)
        self._quiet_s = quiet_s

    def is_done(self, step: Step) -> bool:
        """Whether the step once ended well with the same inputs and its product is still there."""
        stamp = self._state_dir / f"{step.key}.done"
        if step.produces is not None and not step.produces.exists():
            return False
        return stamp.is_file() and stamp.read_text() == step.fingerprint

    def run(self, steps: Iterable[Step]) -> None:
        """Runs the steps that are not done, all at once, and returns when the last has ended.

        Raises:
            SetupError: a step failed; the others are stopped.
        """
        waiting = [step for step in steps if not self.is_done(step)]
        if not waiting:
            return
        self._state_dir.mkdir(parents=True, exist_ok=True)
        running: list[_Running] = []
        try:
            for step in waiting:
                running.append(_Running(step, self._state_dir / f"{step.key}.log"))
            self._watch(running)
        finally:
            for task in running:
                task.stop()

    def _watch(self, running: list[_Running]) -> None:
        """Waits for all, says how they get on, stamps those that end well."""
        next_word_s = self._quiet_s
        began_s = time.monotonic()
        pause_s = 1.0 if sys.stdout.isatty() else 10.0
        open_tasks = list(running)
        while open_tasks:
            time.sleep(_POLL_S)
            for task in [task for task in open_tasks if task.process.poll() is not None]:
                if self._finish(task):
                    open_tasks.remove(task)
            if open_tasks and time.monotonic() - began_s >= next_word_s:
                next_word_s += pause_s
                line = "; ".join(f"{task.step.name} ... {task.elapsed_s:.0f} s" for task in open_tasks)
                self._progress(line)

    def _finish(self, task: _Running) -> bool:
        """Stamps a task that ended well; starts its fallback and returns False, or raises, if it did not."""
        if task.process.returncode == 0:
            if task.elapsed_s > self._quiet_s:
                self._say(f"setup: {task.step.name} done in {task.elapsed_s:.0f} s")
            stamp = self._state_dir / f"{task.step.key}.done"
            stamp.write_text(task.step.fingerprint)
            return True
        log = task.log_path.read_text(errors="replace")
        other = task.step.fallback(log) if task.step.fallback and not task.fell_back else None
        if other is None:
            raise SetupError(f"{task.step.name} failed ({_reason(log)}): {_remedy(log)}. The log is {task.log_path}")
        task.start_fallback(other)
        return False

    def _progress(self, line: str) -> None:
        if sys.stdout.isatty():
            print(f"\r\033[Ksetup: {line}", end="\r", flush=True)
        else:
            self._say(f"setup: {line}")


class _Running:
    """A step whose command runs, its output in a log."""

    def __init__(self, step: Step, log_path: Path) -> None:
        self.step = step
        self.log_path = log_path
        self.fell_back = False
        self._began_s = time.monotonic()
        log_path.write_text("")
        self.process = self._start(step.command)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def start_fallback(self, command: Sequence[str]) -> None:
        self.fell_back = True
        self.process = self._start(command)

    def stop(self) -> None:
        """Ends the command and what it started, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            self.process.wait()

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            log.write(("$ " + " ".join(command) + "\n").encode())
            log.flush()
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.step.environ or None,
                start_new_session=True,
            )


def _reason(log: str) -> str:
    """The line of a log that most likely says why."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|no space|not found|denied", line, re.IGNORECASE)]
    chosen = (telling or lines or ["no output"])[-1]
    return chosen[:160]


def _remedy(log: str) -> str:
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, log, re.IGNORECASE):
            return f"{remedy}, then run `make setup` again; it goes on where it stopped"
    return "read the log, then run `make setup` again; it goes on where it stopped"
