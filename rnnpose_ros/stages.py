"""The named parts of a refinement, for whoever asks how long they take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

from torch.profiler import record_function

STAGES = ("crop", "render", "describe", "encode", "update", "solve", "align", "outline")
"""Cut the picture, draw the reference, describe the photograph, encode both, estimate the field,
solve for the pose, align the pictures, find the outline and fit to it."""


class StageClock:
    """Wall time of each stage, without that of the stages inside it; on a GPU it is the time to queue the work."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._open: list[str] = []

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Counts for the stage, and not for the one around it."""
        self._open.append(name)
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self._open.pop()
            self.seconds[name] += took
            if self._open:
                self.seconds[self._open[-1]] -= took


_clock: ContextVar[StageClock | None] = ContextVar("clock", default=None)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Everything inside counts as one of :data:`STAGES`; profilers see it as ``rnnpose/<name>``."""
    clock = _clock.get()
    with record_function(f"rnnpose/{name}"), clock.running(name) if clock else nullcontext():
        yield


@contextmanager
def stage_clock() -> Iterator[StageClock]:
    """Measures every stage that this thread goes through inside."""
    clock = StageClock()
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)
