"""Starting Warp and launching its kernels, from several threads at a time."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

from torch import Tensor

from rnnpose_ros.rendering.warp_kernels import wp

_start_lock = threading.Lock()
_build_lock = threading.Lock()
"""The first launch of a kernel compiles it, for seconds; asking whether Warp is started does not wait for that."""
_built: set[Any] = set()
"""Kernels and devices."""


def start_warp() -> None:
    """Starts Warp, once, without its greeting.

    Its library writes to standard error that there is no CUDA driver, whatever the log level; on a machine
    without one that is no news, so that line alone is left out.
    """
    with _start_lock:
        _start()


def launch(
    kernel: Any, dim: int | Sequence[int], inputs: list[Any], *, device: Any = "cpu", stream: Any = None
) -> None:
    """``wp.launch``: one thread at a time where the kernel has to be built first, as they come once it is.

    Args:
        kernel: Made by ``wp.kernel``.
        dim: Of its threads.
        inputs: Its arguments, outputs too. The caller keeps what :func:`shared_memory` gave until the launch is over.
        device: Of Warp.
        stream: Of that device; its current one when None.
    """
    place = (kernel, str(device))
    with nullcontext() if place in _built else _build_lock:
        wp.launch(kernel, dim=dim, inputs=inputs, device=device, stream=stream)
    _built.add(place)


def shared_memory(tensor: Tensor, dtype: Any = None) -> Any:
    """The tensor's memory as a kernel's argument; the last axes are the vector or matrix of ``dtype``.

    It is for a launch right away, and does not keep the tensor: the caller does.
    """
    return wp.from_torch(tensor, dtype=dtype, return_ctype=True)


@cache
def _start() -> None:
    wp.config.log_level = wp.LOG_ERROR
    with tempfile.TemporaryFile() as caught:
        standard_error = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            caught.seek(0)
            for line in caught:
                if b"Could not find or load the NVIDIA CUDA driver" not in line:
                    os.write(2, line)
