"""What went wrong, counted by reason, and said once in a while in one clear line."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from typing import Any

from rnnpose_ros.ros.reasons import Reason, RefusedInputError


class Reporter:
    """Counts by reason and logs each reason at most once per period; safe between threads.

    Args:
        logger: Anything with ``warning(text)``; a node's logger.
        period_s: Shortest time between two lines of one reason.
    """

    def __init__(self, logger: Any, *, period_s: float = 5.0) -> None:
        self._logger = logger
        self._period_s = period_s
        self._lock = threading.Lock()
        self._counts: Counter[Reason] = Counter()
        self._said_at: dict[Reason, float] = {}
        self._unsaid: Counter[Reason] = Counter()
        self._said_once: set[str] = set()

    def count(self, reason: Reason, *, number: int = 1) -> None:
        """Count without a line in the log."""
        with self._lock:
            self._counts[reason] += number

    def say(self, message: str) -> None:
        """A line in the log that counts nothing."""
        self._logger.warning(message)

    def say_once(self, message: str) -> None:
        """The same, but a text that differs only in its numbers is not said again."""
        kind = re.sub(r"[\d.]+", "#", message)
        with self._lock:
            is_new = kind not in self._said_once
            self._said_once.add(kind)
        if is_new:
            self.say(message)

    def refuse(self, reason: Reason, message: str) -> None:
        """Count, and say why unless that was said a moment ago."""
        line = self._line(reason, message)
        if line is not None:
            self._logger.warning(line)

    def refuse_error(self, error: RefusedInputError) -> None:
        """The same for something that a border refused."""
        self.refuse(error.reason, str(error))

    @property
    def counts(self) -> dict[Reason, int]:
        """All counts so far, taken in one moment."""
        with self._lock:
            return dict(self._counts)

    def _line(self, reason: Reason, message: str) -> str | None:
        now = time.monotonic()
        with self._lock:
            self._counts[reason] += 1
            if now - self._said_at.get(reason, -self._period_s) < self._period_s:
                self._unsaid[reason] += 1
                return None
            self._said_at[reason] = now
            unsaid = self._unsaid.pop(reason, 0)
        more = f" ({unsaid} more like this since the last line)" if unsaid else ""
        return f"{reason.value}: {message}{more}"
