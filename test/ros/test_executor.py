"""The executor, where entities vanish under its hands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 on this machine")

import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.waitable import NumberOfEntities, Waitable
from std_msgs.msg import String

from rnnpose_ros.ros.executor import TolerantExecutor

pytestmark = pytest.mark.ros


class Destroyer(Waitable):
    """Destroys a publisher just after the executor took hold of its event handlers, so often as it is told."""

    def __init__(self, node: Node, *, times: int) -> None:
        super().__init__(MutuallyExclusiveCallbackGroup())
        self._node = node
        self.times = times
        self._victim = node.create_publisher(String, "victim", 1)
        node.add_waitable(self)

    def __enter__(self) -> None:
        """Where the executor takes hold of this waitable, after the ones that were there before it."""
        if self.times:
            self.times -= 1
            # The next victim stands before this waitable too, for the next time.
            old, self._victim = self._victim, self._node.create_publisher(String, "victim", 1)
            self._node.remove_waitable(self)
            self._node.add_waitable(self)
            self._node.destroy_publisher(old)

    def __exit__(self, *_: object) -> None:
        """Nothing was taken."""

    def get_num_entities(self) -> NumberOfEntities:
        """None of its own."""
        return NumberOfEntities()

    def add_to_wait_set(self, wait_set: Any) -> None:
        """Nothing to wait for."""

    def is_ready(self, wait_set: Any) -> bool:
        """Never."""
        return False


@pytest.fixture
def context(domain_id: int) -> Iterator[Context]:
    """A context of its own."""
    made = Context()
    rclpy.init(args=[], context=made, domain_id=domain_id)
    yield made
    made.try_shutdown()


def _spin_once(executor_type: type[MultiThreadedExecutor], context: Context, *, times: int) -> Destroyer:
    node = Node("destroying", context=context)
    destroyer = Destroyer(node, times=times)
    executor = executor_type(2, context=context)
    try:
        executor.add_node(node)
        executor.spin_once(timeout_sec=0.2)
    finally:
        executor.shutdown(1.0)
        node.destroy_node()
    return destroyer


def test_the_executor_of_rclpy_falls(context: Context) -> None:
    """The day it does not, ours is needed no longer."""
    with pytest.raises(InvalidHandle):
        _spin_once(MultiThreadedExecutor, context, times=1)


def test_a_publisher_that_vanishes_while_entities_are_gathered_is_left_out(context: Context) -> None:
    assert _spin_once(TolerantExecutor, context, times=3).times == 0


def test_what_never_ends_is_raised(context: Context) -> None:
    with pytest.raises(InvalidHandle):
        _spin_once(TolerantExecutor, context, times=1000)
