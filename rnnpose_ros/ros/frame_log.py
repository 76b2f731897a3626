"""What became of the last pictures, and how long it took; needs no ROS."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from rnnpose_ros.tracking.track import FrameOutcome

_WINDOW = 100


@dataclass(frozen=True, slots=True, eq=False)
class FrameSnapshot:
    """The log as of one moment; times in milliseconds."""

    frames: int = 0
    """Since the node was configured."""
    frames_tracked: int = 0
    """Of them, those with something to publish."""
    engine_ms: tuple[float, ...] = ()
    latency_ms: tuple[float, ...] = ()
    """From the image's stamp to the end of publishing."""
    stages_ms: tuple[Mapping[str, float], ...] = ()
    """Of each picture, by the names of ``stages.STAGES``."""
    outcome: FrameOutcome | None = None
    seen_since_ns: Mapping[str, int] | None = None
    """Stamp at which each tracked object was first seen, by its name."""
    last_stamp_ns: int = 0


class FrameLog:
    """Remembers the last pictures; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine_ms: deque[float] = deque(maxlen=_WINDOW)
        self._latency_ms: deque[float] = deque(maxlen=_WINDOW)
        self._stages_ms: deque[Mapping[str, float]] = deque(maxlen=_WINDOW)
        self._outcome: FrameOutcome | None = None
        self._since_ns: dict[str, int] = {}
        self._stamp_ns = 0
        self._frames = self._tracked = 0

    def add(
        self,
        outcome: FrameOutcome,
        *,
        stamp_ns: int,
        engine_ms: float,
        latency_ms: float,
        stages_ms: Mapping[str, float] | None = None,
    ) -> None:
        """Note one picture."""
        with self._lock:
            self._engine_ms.append(engine_ms)
            self._latency_ms.append(latency_ms)
            self._stages_ms.append(dict(stages_ms or {}))
            names = [item.name for item in outcome.tracked]
            self._since_ns = {name: self._since_ns.get(name, stamp_ns) for name in names}
            self._outcome, self._stamp_ns = outcome, stamp_ns
            self._frames += 1
            self._tracked += bool(names)

    def snapshot(self) -> FrameSnapshot:
        """Everything, taken in one moment."""
        with self._lock:
            return FrameSnapshot(
                self._frames,
                self._tracked,
                tuple(self._engine_ms),
                tuple(self._latency_ms),
                tuple(self._stages_ms),
                self._outcome,
                dict(self._since_ns),
                self._stamp_ns,
            )


class CountWindow:
    """How much counters grew over the last seconds, from readings of their totals.

    Args:
        span_s: How far back.
    """

    def __init__(self, *, span_s: float = 5.0) -> None:
        self._span_s = span_s
        self._readings: deque[tuple[float, dict[str, int]]] = deque()

    def add(self, totals: Mapping[str, int], *, now_s: float | None = None) -> None:
        """A reading; the first one is what everything later is compared with. Totals that fell began anew."""
        now_s = time.monotonic() if now_s is None else now_s
        if self._readings and any(totals.get(name, 0) < value for name, value in self._readings[-1][1].items()):
            self._readings.clear()
        self._readings.append((now_s, dict(totals)))
        # One reading from before the span is kept, so that the growth covers it whole.
        while len(self._readings) > 2 and now_s - self._readings[1][0] >= self._span_s:
            self._readings.popleft()

    def growth(self, name: str) -> int:
        """Between the oldest reading and the newest; since the beginning where there is only one."""
        if not self._readings:
            return 0
        newest = self._readings[-1][1].get(name, 0)
        return newest - (self._readings[0][1].get(name, 0) if len(self._readings) > 1 else 0)

    def rate_hz(self, name: str) -> float:
        """Growth a second; 0 as long as there is one reading."""
        if len(self._readings) < 2:
            return 0.0
        return self.growth(name) / max(1e-6, self._readings[-1][0] - self._readings[0][0])
