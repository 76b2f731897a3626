"""The ``small`` and ``base`` networks as compiled graphs, behind the same methods as the network itself."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.acceleration.graph_set import GraphSet
from rnnpose_ros.acceleration.lookup_kernel import fused_lookup
from rnnpose_ros.acceleration.openvino_engine import GraphCompiler
from rnnpose_ros.networks.correlation import CorrelationPyramid
from rnnpose_ros.networks.outline import OutlineField
from rnnpose_ros.networks.rnnpose_network import EncodedPair, FieldUpdate, RnnposeNetwork
from rnnpose_ros.networks.update_block import HeldInput
from rnnpose_ros.types import RenderBuffers


class CompiledRnnposeNetwork:
    """A :class:`~rnnpose_ros.networks.rnnpose_network.CorrespondenceNetwork` in graphs and a kernel between them.

    The encoders and the correlation; the update with the similarity; the outline. The lookup between is a kernel
    because its coordinates need float32, which a graph in bfloat16 would take from it, and because it is several times
    quicker so.

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
        self._graphs = GraphSet(compiler)

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

    def find_outline(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> OutlineField | None:
        """See :meth:`~rnnpose_ros.networks.rnnpose_network.RnnposeNetwork.find_outline`."""
        if self._network.outline is None:
            return None
        inputs = (render.color, render.depth, render.attributes[:, :3], photo, depth_centre, diameter)
        within, visible = self._run("find_outline", self._find_outline, inputs)
        return OutlineField(within, visible)

    def _find_outline(
        self, color: Tensor, depth: Tensor, normals: Tensor, photo: Tensor, depth_centre: Tensor, diameter: Tensor
    ) -> tuple[Tensor, Tensor]:
        found = self._network.find_outline(
            _buffers(color, depth, normals), photo, depth_centre=depth_centre, diameter=diameter
        )
        assert found is not None
        return found.within, found.visible

    def _encode(
        self, color: Tensor, depth: Tensor, normals: Tensor, photo: Tensor, depth_centre: Tensor, diameter: Tensor
    ) -> tuple[Tensor, ...]:
        buffers = _buffers(color, depth, normals)
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
        return self._graphs.run(name, function, inputs, bfloat16=self.mixed_precision)


def _buffers(color: Tensor, depth: Tensor, normals: Tensor) -> RenderBuffers:
    """What a network reads of a render; which face a pixel shows is not among it."""
    return RenderBuffers(depth=depth, color=color, attributes=normals, face_ids=torch.zeros_like(depth).int())
