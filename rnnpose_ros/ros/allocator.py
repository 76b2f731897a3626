"""What the C library's allocator may keep for itself in a process that runs for days."""

from __future__ import annotations

import ctypes
import threading
import time

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_ARENAS = 2
_MAPPED_FROM_BYTES = 4 << 20
_PERIOD_S = 30.0


def keep_memory_flat() -> bool:
    """Bound what glibc's malloc keeps; call it before a process starts its threads.

    Every thread that allocates may be given an arena of its own, eight for each core, and each keeps the peak of what
    passed through it: pictures that wander from thread to thread fill one after the other for hours. Two are enough for
    the one thread that computes beside those that wait. And the size from which blocks are returned to the system at
    once would rise to the largest block freed so far, up to 32 MB: fixed, large pictures leave no holes.

    Returns:
        Whether the C library took it; others than glibc (macOS, musl) have no such setting and no such growth.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_M_ARENA_MAX: _ARENAS, _M_MMAP_THRESHOLD: _MAPPED_FROM_BYTES, _M_TRIM_THRESHOLD: 2 * _MAPPED_FROM_BYTES}
    return all([mallopt(name, value) == 1 for name, value in settings.items()])


def give_memory_back(*, period_s: float = _PERIOD_S) -> threading.Thread | None:
    """Return to the system, again and again, what glibc's malloc keeps though nobody uses it; in a thread of its own.

    Between the blocks in use there are pages without any, more of them by the hour, and malloc by itself returns only
    those at an arena's end. Going through them takes some milliseconds.

    Returns:
        The thread, which ends with the process; None where the C library has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return None

    def trim_regularly() -> None:
        while True:
            time.sleep(period_s)
            trim(0)

    thread = threading.Thread(target=trim_regularly, name="allocator", daemon=True)
    thread.start()
    return thread
