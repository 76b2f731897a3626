"""An executor that other threads may take entities away from."""

from __future__ import annotations

from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import MultiThreadedExecutor

_ATTEMPTS = 10
"""So many entities would have to vanish one after another, each within the microseconds that gathering takes."""


class TolerantExecutor(MultiThreadedExecutor):
    """rclpy's, which besides survives an entity that is destroyed while it gathers what to wait for.

    rclpy leaves out what it finds destroyed at first, but raises InvalidHandle, out of ``spin``, when the event
    handler of a publisher or subscription is destroyed between its two looks at it. Callbacks destroy entities from
    other threads than the gathering one: a subscription that follows its camera's reliability, outputs that close.
    """

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As rclpy's; gathered anew when an entity vanished meanwhile.

        Raises:
            InvalidHandle: Entities keep vanishing.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return super().wait_for_ready_callbacks(*args, **kwargs)
            except InvalidHandle:
                continue
        return super().wait_for_ready_callbacks(*args, **kwargs)
