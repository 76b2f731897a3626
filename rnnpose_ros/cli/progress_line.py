"""One line on standard error that says how far something is."""

from __future__ import annotations

import sys
import time

_PLAIN_PERIOD_S = 10.0


class ProgressLine:
    """Overwrites itself on a terminal; elsewhere a new line comes every ten seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._on_terminal = sys.stderr.isatty()
        self._shown_at = -_PLAIN_PERIOD_S

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_terminal:
            print(file=sys.stderr)

    def show(self, text: str) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if self._on_terminal:
            print(f"\r\033[K{self._name}: {text}", end="", file=sys.stderr, flush=True)
        elif now - self._shown_at >= _PLAIN_PERIOD_S:
            print(f"{self._name}: {text}", file=sys.stderr, flush=True)
            self._shown_at = now


def remaining_time(started: float, *, done: int, missing: int) -> str:
    """``, 1.3/s, 2 min 05 s left``: from the rate since ``started`` (``time.monotonic``); empty before the first."""
    seconds = time.monotonic() - started
    if done < 1 or seconds <= 0:
        return ""
    left = round(missing * seconds / done)
    words = f"{left // 3600} h {left % 3600 // 60:02d} min" if left >= 3600 else f"{left // 60} min {left % 60:02d} s"
    return f", {done / seconds:.1f}/s, {words} left"
