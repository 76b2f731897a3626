"""The ``small`` and ``base`` networks as compiled graphs, behind the same methods as the network itself."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.acceleration.lookup_kernel import fused_lookup
from rnnpose_ros.acceleration.openvino_engine import CompiledGraph, GraphCompiler
from rnnpose_ros.networks.correlation import CorrelationPyramid
from rnnpose_ros.networks.rnnpose_network import EncodedPair, FieldUpdate, RnnposeNetwork
from rnnpose_ros.networks.update_block import HeldInput
from rnnpose_ros.types import RenderBuffers

BATCHES = (4, 2, 1)
"""Numbers of objects that graphs are made for, each at first use; others are put together from these."""


class CompiledRnnposeNetwork:
    """A :class:`~rnnpose_ros.networks.rnnpose_network.CorrespondenceNetwork` in two graphs and a kernel between them.

    The encoders and the correlation; the update with the similarity. The lookup is a kernel because its coordinates
    need float32, which a graph in bfloat16 would take from it, and because it is several times quicker so.

    Args:
        network: What is compiled; graphs compute in bfloat16 where it does.
        compiler: Compiles.
    """

    def __init__(self, network: RnnposeNetwork, compiler: GraphCompiler) -> None:
        self.config = network.config
        self.stride = network.stride
        self.mixed_precision = network.mixed_precision
        # The graphs' own precision is the compiler's matter: what it is given computes in float32.
        self._network = copy.deepcopy(network).requires_grad_(False)
        self._network.mixed_precision = False
        self._compiler = compiler
        self._graphs: dict[tuple[object, ...], CompiledGraph] = {}
        self._lock = threading.Lock()

    def encode(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> tuple[EncodedPair, Float[Tensor, "B H h w"]]:
        """See :meth:`~rnnpose_ros.networks.rnnpose_network.RnnposeNetwork.encode`."""
        inputs = (render.color, render.depth, render.attributes[:, :3], photo, depth_centre, diameter)
        gates, candidate, descriptors_render, descriptors_photo, hidden, *levels = self._run(
            "encode", self._encode, inputs
        )
        pyramid = CorrelationPyramid(tuple(levels), radius=self.config.correlation_radius)
        return EncodedPair(pyramid, self._held(gates, candidate), descriptors_render, descriptors_photo), hidden

    def update(
        self,
        pair: EncodedPair,
        hidden: Float[Tensor, "B H h w"],
        cells: Float[Tensor, "h w 2"],
        flow: Float[Tensor, "B h w 2"],
    ) -> FieldUpdate:
        """See :meth:`~rnnpose_ros.networks.rnnpose_network.RnnposeNetwork.update`."""
        target = cells + flow
        correlation = fused_lookup(pair.correlation, target)
        held = (pair.context.gates, pair.context.candidate)
        inputs = (correlation, *held, pair.descriptors_render, pair.descriptors_photo, hidden, target, flow)
        return FieldUpdate(*self._run("advance", self._advance, inputs))

    def _encode(
        self, color: Tensor, depth: Tensor, normals: Tensor, photo: Tensor, depth_centre: Tensor, diameter: Tensor
    ) -> tuple[Tensor, ...]:
        buffers = RenderBuffers(depth=depth, color=color, attributes=normals, face_ids=torch.zeros_like(depth).int())
        pair, hidden = self._network.encode(buffers, photo, depth_centre=depth_centre, diameter=diameter)
        held = (pair.context.gates, pair.context.candidate)
        return (*held, pair.descriptors_render, pair.descriptors_photo, hidden, *pair.correlation.levels)

    def _advance(
        self,
        correlation: Tensor,
        gates: Tensor,
        candidate: Tensor,
        descriptors_render: Tensor,
        descriptors_photo: Tensor,
        hidden: Tensor,
        target: Tensor,
        flow: Tensor,
    ) -> tuple[Tensor, ...]:
        pyramid = CorrelationPyramid((), radius=self.config.correlation_radius)
        pair = EncodedPair(pyramid, self._held(gates, candidate), descriptors_render, descriptors_photo)
        update = self._network.advance(correlation.permute(0, 3, 1, 2), pair, hidden, target, flow)
        return update.hidden, update.delta, update.confidence_logit, update.similarity

    def _held(self, gates: Tensor, candidate: Tensor) -> HeldInput:
        return self._network.update_block.gru.held(gates, candidate, channels=self.config.context_channels)

    def _run(self, name: str, function: Callable[..., Any], inputs: Sequence[Tensor]) -> list[Tensor]:
        """A graph's outputs for a batch, in as many calls as it takes; the first input has one row an item."""
        batch = len(inputs[0])
        given = [tensor.contiguous() for tensor in inputs]
        outputs: list[Tensor] = []
        for rows in _parts(batch):
            part = [_rows(tensor, rows, batch) for tensor in given]
            graph = self._graph(name, function, part, bfloat16=self.mixed_precision)
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
