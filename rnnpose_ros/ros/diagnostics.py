"""The node's account of itself on /diagnostics, once a second."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from rnnpose_ros.ros.account import Status
from rnnpose_ros.ros.running import steady_clock

_PERIOD_S = 1.0


class DiagnosticsOutput:
    """Publishes the account every second of real time, also where simulated time stands still.

    Args:
        node: Where the publisher lives.
        account: Makes the lines.
        callback_group: Of the timer.
    """

    def __init__(self, node: Node, account: Callable[[], Sequence[Status]], *, callback_group: CallbackGroup) -> None:
        self._node = node
        self._account = account
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(_PERIOD_S, self._publish, callback_group=callback_group, clock=steady_clock())

    def _publish(self) -> None:
        message: Any = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [
            DiagnosticStatus(
                level=bytes([status.level]),
                name=f"{self._node.get_name()}: {status.name}",
                message=status.message,
                hardware_id=self._node.get_fully_qualified_name(),
                values=[KeyValue(key=key, value=value) for key, value in status.values.items()],
            )
            for status in self._account()
        ]
        self._publisher.publish(message)


def memory_in_use() -> Mapping[str, str]:
    """Of this process, and on the GPU where it uses one; megabytes."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    values = {"memory_mb": f"{resident / 2**20:.0f}"}
    if torch.cuda.is_initialized():
        values["gpu_memory_mb"] = f"{torch.cuda.memory_reserved() / 2**20:.0f}"
        values["gpu_memory_peak_mb"] = f"{torch.cuda.max_memory_reserved() / 2**20:.0f}"
    return values
