"""A node with a managed life (configure, activate, deactivate, cleanup) that can lead that life by itself.

What rclpy leaves out is added here: an exception in a transition is said instead of swallowed, loading does not
keep the lifecycle services from answering, and ``autostart`` makes the transitions without anybody asking.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.node import LifecycleNodeMixin

from rnnpose_ros.errors import RnnposeError
from rnnpose_ros.ros.running import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_OK, RunnableNode, steady_clock


class ManagedNode(LifecycleNode, RunnableNode):
    """A lifecycle node; subclasses say what the transitions do.

    :meth:`configure`, :meth:`activate`, :meth:`deactivate` and :meth:`cleanup` raise when they cannot: an
    ``RnnposeError`` leaves the node in the state before, anything else leaves it unconfigured.
    """

    def __init__(self, name: str, **node_options: Any) -> None:
        """
        Args:
            name: Of the node.
            node_options: Go on to ``rclpy.node.Node``.
        """
        RunnableNode.__init__(self, name, **node_options)
        # A group of their own: while the node loads, its state can be asked for and its parameters read.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._changing = threading.Lock()
        self._failure = EXIT_OK

    def configure(self) -> None:
        """Load everything."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working, free nothing."""

    def cleanup(self) -> None:
        """Free what was loaded, in whatever state it is."""

    def start_by_itself(self) -> None:
        """Configure and activate as soon as the node is spun; where that fails, the process ends with a code."""
        group = MutuallyExclusiveCallbackGroup()
        self._autostart = self.create_timer(0.0, self._start, callback_group=group, clock=steady_clock())

    @property
    def state_label(self) -> str:
        """``unconfigured``, ``inactive``, ``active``, ``finalized``, or the transition that is under way."""
        return str(self._state_machine.current_state[1])

    @property
    def is_changing(self) -> bool:
        """True while a transition is under way."""
        return self._changing.locked()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :meth:`configure`."""
        return self._transition("configure", self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :meth:`activate`."""
        return self._transition("activate", self.activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :meth:`deactivate`."""
        return self._transition("deactivate", self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :meth:`cleanup`."""
        return self._transition("clean up", self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As :meth:`cleanup`; the process stays until it is interrupted."""
        return self._transition("shut down", self.cleanup)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin again from nothing."""
        return self._transition("clean up after the error", self.cleanup)

    def _transition(self, name: str, act: Callable[[], None]) -> TransitionCallbackReturn:
        with self._changing:
            try:
                act()
            except RnnposeError as error:
                self._fail(EXIT_BAD_INPUT, f"cannot {name}: {error}")
                return TransitionCallbackReturn.FAILURE
            except Exception as error:  # rclpy would turn it into a code without a word
                self._fail(
                    EXIT_FAILED,
                    f"cannot {name}, which is a fault of this program: {type(error).__name__}: {error}\n"
                    f"{traceback.format_exc()}",
                )
                return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _fail(self, code: int, message: str) -> None:
        self._failure = code
        # An interrupt takes the context away under a transition's hands; what fails then is no news.
        if self.context.ok():
            self.get_logger().fatal(message)

    def _start(self) -> None:
        self._autostart.cancel()
        for state, trigger in (("unconfigured", self.trigger_configure), ("inactive", self.trigger_activate)):
            # Somebody else may lead the node already.
            if self.state_label == state:
                trigger()
            if self._failure:
                if self.context.ok():
                    self.exit_code = self._failure
                self.context.try_shutdown()
                return
