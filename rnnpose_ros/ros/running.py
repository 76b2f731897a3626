"""How every node of the package starts, spins, and ends.

Exit codes: 0 after an interrupt or when the work is done, 1 when the node failed at work or by a fault of its own,
2 for parameters, files or devices that cannot be used. Interrupts are asked for anew, since a process started in the
background of a shell inherits that they are ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from rnnpose_ros.config import unknown_name
from rnnpose_ros.errors import RnnposeError
from rnnpose_ros.ros.allocator import give_memory_back, keep_memory_flat
from rnnpose_ros.ros.executor import TolerantExecutor

EXIT_OK, EXIT_FAILED, EXIT_BAD_INPUT = 0, 1, 2
_END_S = 1.5
"""How long a worker may take to end; an interrupt must end a node within two seconds."""


def steady_clock() -> Clock:
    """For timers that must go on where simulated time stands still."""
    return Clock(clock_type=ClockType.STEADY_TIME)


class RunnableNode(Node):
    """A node that can be ended in order, and says how it ended."""

    exit_code: int = EXIT_OK

    def set_parameters_atomically(self, parameter_list: list[Any]) -> SetParametersResult:
        """As every node does it, but an unknown name is refused by name: rclpy's own answer leaves it out."""
        known = [*self._parameters]
        for parameter in parameter_list:
            if parameter.name not in known:
                return SetParametersResult(successful=False, reason=unknown_name(parameter.name, known))
        return super().set_parameters_atomically(parameter_list)

    def close(self) -> bool:
        """End own threads; False when one of them does not answer in time."""
        return True


class Worker:
    """The thread in which a node works.

    Whatever the work raises is reported, sets the node's exit code and shuts its context down; this is
    the one place that catches everything.
    """

    def __init__(self, node: RunnableNode, work: Callable[[], None]) -> None:
        self._node = node
        self._work = work
        self._thread = threading.Thread(target=self._run, name=f"{node.get_name()} worker", daemon=True)
        self._thread.start()

    def join(self, *, timeout_s: float = _END_S) -> bool:
        """Wait a moment for the work to end; False when it has not."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            if not self._node.context.ok():
                # An interrupt invalidates the context under the worker's hands: publishing fails, and that is the end.
                return
            self._node.get_logger().fatal(f"the worker failed\n{traceback.format_exc()}")
            self._node.exit_code = EXIT_FAILED
            self._node.context.try_shutdown()


def run_node(make: Callable[[], RunnableNode], *, args: list[str] | None = None, threads: int = 3) -> int:
    """Run one node in this process until it is interrupted or shuts its context down.

    Args:
        make: Constructs the node.
        args: Instead of the process's own.
        threads: Of the executor.

    Returns:
        The exit code.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    node = None
    code = EXIT_OK
    try:
        rclpy.init(args=args)
        node = make()
        executor = TolerantExecutor(threads) if threads > 1 else SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RnnposeError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        code = EXIT_BAD_INPUT
    finally:
        # A second interrupt while ending must not leave a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            if node.close():
                node.destroy_node()
            code = max(code, node.exit_code)
        with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.try_shutdown()
    return code


_SWITCH_INTERVAL_S = 0.0002
"""The worker takes the interpreter's lock back after every operation of the network, thousands of times a picture;
with the usual 5 ms it would wait that long whenever a callback is running."""


def run_process(make: Callable[[], RunnableNode], *, threads: int = 3) -> NoReturn:
    """Run one node as a process of its own.

    The process leaves without the interpreter's own end: that would wait for a worker inside a long
    computation, and takes seconds to unload the libraries that a node has no more use for.
    """
    keep_memory_flat()
    give_memory_back()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    code = run_node(make, threads=threads)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
