"""A function of tensors recorded as one CUDA graph, which is launched as a whole and never waits for the processor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rnnpose_ros.errors import BackendUnavailableError

_WARM_UPS = 3
"""Runs before recording: libraries choose their algorithms and take their memory in them."""

TensorFunction = Callable[..., Sequence[Tensor]]


@runtime_checkable
class Recording(Protocol):
    """A function for tensors of fixed shapes; fewer rows than it was recorded for may be given."""

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of all rows it was recorded for, which later runs leave alone."""
        ...


@runtime_checkable
class Recorder(Protocol):
    """Makes recordings."""

    def record(self, function: TensorFunction, example: Sequence[Tensor]) -> Recording:
        """The function for inputs shaped as the examples, whose first axis counts rows."""
        ...


class CudaGraphRecorder:
    """Records on one CUDA device.

    Args:
        device: The device.

    Raises:
        BackendUnavailableError: It is none, or there is none.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        if self._device.type != "cuda":
            raise BackendUnavailableError(
                f"engine 'cuda_graph' computes on a GPU, not on {device}: take the device cuda, or another engine"
            )
        if not torch.cuda.is_available():
            raise BackendUnavailableError(
                "engine 'cuda_graph' needs a CUDA device and a CUDA build of torch (CUDA=1 make setup); "
                "ask for the engine 'auto'"
            )

    def record(self, function: TensorFunction, example: Sequence[Tensor]) -> CudaGraph:
        """See :class:`Recorder`."""
        return CudaGraph(function, example, device=self._device)


class CudaGraph:
    """A recorded function with the memory it reads from and writes to.

    What the function does must not depend on its inputs' values, and nothing in it may wait for the device.

    Args:
        function: Of tensors, giving tensors.
        example: Inputs on the device.
        device: Where it computes.
    """

    def __init__(self, function: TensorFunction, example: Sequence[Tensor], *, device: torch.device) -> None:
        self._lock = threading.Lock()
        with torch.cuda.device(device):
            self._inputs = [tensor.detach().clone() for tensor in example]
            stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    function(*self._inputs)
            current.wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                outputs = list(function(*self._inputs))
                self._layout = [(tensor.dtype, tensor.shape) for tensor in outputs]
                self._outputs = packed(outputs)
            self._last = torch.cuda.Event()

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """See :class:`Recording`; queues on the current stream. Rows that are not given keep what they had."""
        with self._lock:
            stream = torch.cuda.current_stream(self._inputs[0].device)
            stream.wait_event(self._last)
            for buffer, tensor in zip(self._inputs, inputs, strict=True):
                buffer[: len(tensor)].copy_(tensor)
            self._graph.replay()
            outputs = [buffer.clone() for buffer in self._outputs]
            self._last.record(stream)
        return unpacked(outputs, self._layout)


def packed(tensors: Sequence[Tensor]) -> list[Tensor]:
    """One flat tensor for each dtype, in the order in which they come, so that few copies take all."""
    dtypes = dict.fromkeys(tensor.dtype for tensor in tensors)
    return [torch.cat([tensor.reshape(-1) for tensor in tensors if tensor.dtype == dtype]) for dtype in dtypes]


def unpacked(buffers: Sequence[Tensor], layout: Sequence[tuple[torch.dtype, torch.Size]]) -> list[Tensor]:
    """The tensors of these dtypes and shapes that :func:`packed` put there."""
    dtypes = list(dict.fromkeys(dtype for dtype, _ in layout))
    parts = {
        dtype: iter(buffer.split([shape.numel() for kind, shape in layout if kind == dtype]))
        for dtype, buffer in zip(dtypes, buffers, strict=True)
    }
    return [next(parts[dtype]).view(shape) for dtype, shape in layout]
