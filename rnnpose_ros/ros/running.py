"""How every node of the package starts, spins, and ends.

Exit codes: 0 after an interrupt or when the work is done, 1 when the worker failed, 2 for parameters or
files that cannot be used. Interrupts are asked for anew, since a process started in the background of a
shell inherits that they are ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node

from rnnpose_ros.errors import RnnposeError

EXIT_OK, EXIT_FAILED, EXIT_BAD_INPUT = 0, 1, 2


class RunnableNode(Protocol):
    """A node that ends in order."""

    exit_code: int

    def close(self) -> bool:
        """End own threads; False when one of them does not answer in time."""
        ...


def run_node(make: Callable[[], Node], *, args: list[str] | None = None, threads: int = 3) -> int:
    """Run one node until it is interrupted or shuts its context down; returns the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    node = None
    code = EXIT_OK
    ended = True
    try:
        rclpy.init(args=args)
        node = make()
        executor = MultiThreadedExecutor(threads)
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
            ended = node.close()
            code = max(code, node.exit_code)
        with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.try_shutdown()
    if not ended:
        # The worker is inside a long computation that cannot be interrupted; leaving the usual way
        # would wait for it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
