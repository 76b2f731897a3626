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
