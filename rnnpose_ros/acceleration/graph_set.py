"""The graphs of one network, each compiled at first use, for batches of any size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnpose_ros.acceleration.openvino_engine import CompiledGraph, GraphCompiler


class GraphSet:
    """Runs functions of tensors as graphs, one for each function and set of shapes.

    Graphs are made for one item, which a batch's items pass one after another. On a CPU, graphs for several items gain
    some 4 %, but each size would be one more to keep in memory, and to compile when it first comes: in the middle of a
    picture, for seconds.

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
        """A function's outputs for a batch, in a call of its graph for each item.

        Args:
            name: Of the function, among those of this set.
            function: See :meth:`~rnnpose_ros.acceleration.openvino_engine.GraphCompiler.compile`.
            inputs: The first has one row an item; the others as many for each item.
            bfloat16: Convolutions and products in bfloat16.
        """
        batch = len(inputs[0])
        given = [tensor.contiguous() for tensor in inputs]
        graph = self._graph(name, function, [_of_item(tensor, 0, batch) for tensor in given], bfloat16=bfloat16)
        outputs = [torch.empty(batch * rows, *rest) for rows, *rest in graph.output_shapes]
        for item in range(batch):
            graph.run(
                [_of_item(tensor, item, batch) for tensor in given],
                [_of_item(tensor, item, batch) for tensor in outputs],
            )
        return outputs

    def _graph(
        self, name: str, function: Callable[..., Any], inputs: Sequence[Tensor], *, bfloat16: bool
    ) -> CompiledGraph:
        key = (name, *(tuple(tensor.shape) for tensor in inputs))
        with self._lock:
            if key not in self._graphs:
                self._graphs[key] = self._compiler.compile(name, function, inputs, bfloat16=bfloat16)
            return self._graphs[key]


def _of_item(tensor: Tensor, item: int, batch: int) -> Tensor:
    """The rows that belong to one item of a batch."""
    each = len(tensor) // batch
    return tensor[item * each : (item + 1) * each]
