"""The place where the newest picture waits for the worker: newer ones replace it, and are counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class MailboxCounts:
    """``offered = taken + dropped + (1 while an item waits)``."""

    offered: int
    taken: int
    dropped: int


class Mailbox(Generic[Item]):
    """Holds one item for one taker; safe between threads; never blocks who puts."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Item] = []
        self._is_closed = self._is_woken = False
        self._offered = self._taken = self._dropped = 0

    def put(self, item: Item) -> bool:
        """Leave an item; returns True when it pushed out one that nobody had taken.

        An item that comes after :meth:`close` is counted as dropped.
        """
        with self._changed:
            self._offered += 1
            if self._is_closed:
                self._dropped += 1
                return True
            pushed_out = bool(self._waiting)
            self._dropped += pushed_out
            self._waiting[:] = [item]
            self._changed.notify()
            return pushed_out

    def take(self, *, timeout_s: float) -> Item | None:
        """The waiting item, as soon as there is one; None after the time-out, once woken, or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed or self._is_woken, timeout_s)
            self._is_woken = False
            if self._is_closed or not self._waiting:
                return None
            self._taken += 1
            return self._waiting.pop()

    def wake(self) -> None:
        """Let the taker look up from its waiting, for once."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Drop what waits, and count it."""
        with self._changed:
            self._dropped += len(self._waiting)
            self._waiting.clear()

    def close(self) -> None:
        """Wake the taker for the last time; what still waits counts as dropped."""
        with self._changed:
            self._is_closed = True
            self._dropped += len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """True after :meth:`close`."""
        with self._changed:
            return self._is_closed

    @property
    def counts(self) -> MailboxCounts:
        """What came and went so far, taken in one moment."""
        with self._changed:
            return MailboxCounts(self._offered, self._taken, self._dropped)
