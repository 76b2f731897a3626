"""The node's own account of itself, once a second on /diagnostics where the machine has the messages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from rnnpose_ros.ros.mailbox import MailboxCounts
from rnnpose_ros.ros.pairing import PairingCounts
from rnnpose_ros.ros.reasons import Reason
from rnnpose_ros.ros.running import steady_clock
from rnnpose_ros.tracking.track import FrameOutcome

_WINDOW = 100


@dataclass(frozen=True, slots=True)
class Status:
    """One line of the account."""

    name: str
    is_ok: bool
    message: str
    values: dict[str, str]


class FrameLog:
    """Times and outcomes of the last pictures; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine_ms: deque[float] = deque(maxlen=_WINDOW)
        self._latency_ms: deque[float] = deque(maxlen=_WINDOW)
        self._outcome: FrameOutcome | None = None
        self._frames = 0

    def add(self, outcome: FrameOutcome, *, engine_ms: float, latency_ms: float) -> None:
        """Note one picture."""
        with self._lock:
            self._engine_ms.append(engine_ms)
            self._latency_ms.append(latency_ms)
            self._outcome = outcome
            self._frames += 1

    def snapshot(self) -> tuple[int, list[float], list[float], FrameOutcome | None]:
        """Pictures so far, engine times and latencies in milliseconds, and the last outcome."""
        with self._lock:
            return self._frames, list(self._engine_ms), list(self._latency_ms), self._outcome


def statuses(
    log: FrameLog, *, mailbox: MailboxCounts, pairing: PairingCounts, reasons: dict[Reason, int]
) -> list[Status]:
    """The account in four lines: input, engine, output, objects."""
    frames, engine_ms, latency_ms, outcome = log.snapshot()
    counted = {reason.value: str(number) for reason, number in reasons.items() if number}
    missing = Reason.NO_IMAGE if not pairing.images else Reason.NO_INFO if not pairing.infos else None
    if missing is None and not mailbox.offered:
        missing = Reason.UNSYNCED
    offset = "unknown" if pairing.nearest_offset_s is None else f"{pairing.nearest_offset_s:.4f}"
    seen = {
        "images": str(pairing.images),
        "camera_infos": str(pairing.infos),
        "pairs": str(mailbox.offered),
        "unpaired": str(pairing.unpaired_images),
        "images_missing": f"{pairing.missing_images} of {pairing.infos}",
        "nearest_offset_s": offset,
    }
    tracked = outcome.tracked if outcome else ()
    lost = outcome.lost if outcome else ()
    objects = {item.instance_id: f"score {item.result.score:.2f}" for item in tracked}
    objects.update({f"{item.label} lost": item.result.status.value for item in lost})
    return [
        Status("input", missing is None, missing.value if missing else "OK", {**seen, **counted}),
        Status("engine", True, "OK", _percentiles("engine_ms", engine_ms)),
        Status(
            "output",
            frames > 0,
            "OK" if frames else "no picture processed yet",
            {"frames": str(frames), "dropped_busy": str(mailbox.dropped), **_percentiles("latency_ms", latency_ms)},
        ),
        Status("objects", bool(tracked), "OK" if tracked else _why_nothing(reasons, lost), objects),
    ]


class DiagnosticsOutput:
    """Publishes the account every second; does nothing where diagnostic_msgs is missing."""

    def __init__(self, node: Node, account: Callable[[], Sequence[Status]], *, callback_group: CallbackGroup) -> None:
        try:
            from diagnostic_msgs.msg import DiagnosticArray
        except ImportError:
            return
        self._node = node
        self._account = account
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(1.0, self._publish, callback_group=callback_group, clock=steady_clock())

    def _publish(self) -> None:
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

        message: Any = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [
            DiagnosticStatus(
                level=DiagnosticStatus.OK if status.is_ok else DiagnosticStatus.WARN,
                name=f"{self._node.get_name()}: {status.name}",
                message=status.message,
                hardware_id=self._node.get_fully_qualified_name(),
                values=[KeyValue(key=key, value=value) for key, value in status.values.items()],
            )
            for status in self._account()
        ]
        self._publisher.publish(message)


def _percentiles(name: str, values: Sequence[float]) -> dict[str, str]:
    if not values:
        return {}
    p50, p95 = np.percentile(values, (50, 95))
    return {f"{name}_p50": f"{p50:.1f}", f"{name}_p95": f"{p95:.1f}"}


def _why_nothing(reasons: dict[Reason, int], lost: Sequence[Any]) -> str:
    if lost:
        return lost[0].result.status.value
    return Reason.NO_INITIAL_POSE.value if reasons.get(Reason.NO_INITIAL_POSE) else "nothing tracked yet"
