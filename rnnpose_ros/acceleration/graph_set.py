"""The graphs of one network, each compiled at first use, for batches of any size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnpose_ros.acceleration.openvino_engine import CompiledGraph, GraphCompiler

BATCHES = (4, 2, 1)
"""Numbers of items that graphs are made for; others are put together from these."""


class GraphSet:
    """Runs functions of tensors as graphs, one for each function and set of shapes.

    Args:
        compiler: Compiles.
    """

    def __init__(self, compiler: GraphCompiler) -> None:
        self._compiler = compiler
        self._graphs: dict[tuple[object, ...], CompiledGraph] = {}
        self._lock = threading.Lock()

    def run(
        self, name: str, function: Callable[..., Any], inputs: Sequence[Tensor], *, bfloat16: bool = False
    ) -> list[Tensor]:
        """A function's outputs for a batch, in as many calls of graphs as it takes.

        Args:
            name: Of the function, among those of this set.
            function: See :meth:`~rnnpose_ros.acceleration.openvino_engine.GraphCompiler.compile`.
            inputs: The first has one row an item; the others as many for each item.
            bfloat16: Convolutions and products in bfloat16.
        """
        batch = len(inputs[0])
        given = [tensor.contiguous() for tensor in inputs]
        outputs: list[Tensor] = []
        for rows in _parts(batch):
            part = [_rows(tensor, rows, batch) for tensor in given]
            graph = self._graph(name, function, part, bfloat16=bfloat16)
            if not outputs:
                outputs = [torch.empty(batch * s[0] // len(rows), *s[1:]) for s in graph.output_shapes]
            graph.run(part, [_rows(tensor, rows, batch) for tensor in outputs])
        return outputs

    def _graph(
        self, name: str, function: Callable[..., Any], inputs: Sequence[Tensor], *, bfloat16: bool
    ) -> CompiledGraph:
        key = (name, *(tuple(tensor.shape) for tensor in inputs))
        with self._lock:
            if key not in self._graphs:
                self._graphs[key] = self._compiler.compile(name, function, inputs, bfloat16=bfloat16)
            return self._graphs[key]


def _parts(batch: int) -> Iterator[range]:
    """The rows of a batch in parts of the sizes that graphs are made for."""
    start = 0
    while start < batch:
        size = next(size for size in BATCHES if size <= batch - start)
        yield range(start, start + size)
        start += size


def _rows(tensor: Tensor, rows: range, batch: int) -> Tensor:
    """The part of a tensor that belongs to these items of the batch; each item may have several of its rows."""
    each = len(tensor) // batch
    return tensor[rows.start * each : rows.stop * each]
