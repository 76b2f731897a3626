"""The published network with its convolutions as compiled graphs; correlation, lookup and upsampling stay with torch.

These need float32 for their coordinates, and cost little. What a graph replaces is a part of the network under the
same methods, so that every convention around it stays what it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import chain

from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.acceleration.graph_set import GraphSet
from rnnpose_ros.acceleration.openvino_engine import GraphCompiler
from rnnpose_ros.networks.descriptor2d import Descriptor2D
from rnnpose_ros.networks.image_encoder import RaftEncoder
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.networks.paper_update import PaperUpdateBlock
from rnnpose_ros.networks.update_block import HeldInput


def compile_paper(network: PaperNetwork, compiler: GraphCompiler, *, bfloat16: bool) -> PaperNetwork:
    """The network with compiled parts; it shares its weights with the given one.

    Args:
        network: On the CPU, in evaluation mode.
        compiler: Compiles each graph at first use.
        bfloat16: Convolutions in bfloat16 instead of float32.
    """
    # Graphs take weights as constants, which may not ask for gradients.
    tensors = chain(network.parameters(), network.buffers())
    compiled = copy.deepcopy(network, {id(t): nn.Parameter(t.detach(), requires_grad=False) for t in tensors})
    graphs = GraphSet(compiler)
    compiled.mixed_precision = bfloat16
    compiled.descriptor2d = CompiledDescriptor2D(compiled.descriptor2d, graphs, bfloat16=bfloat16)
    compiled.features = CompiledRaftEncoder(compiled.features, graphs, bfloat16=bfloat16)
    compiled.update_block = CompiledUpdateBlock(compiled.update_block, graphs, bfloat16=bfloat16)
    return compiled


def is_compiled(network: PaperNetwork) -> bool:
    """Whether :func:`compile_paper` made it."""
    return isinstance(network.update_block, CompiledUpdateBlock)


class CompiledDescriptor2D(Descriptor2D):
    """The photograph's descriptors: graphs for the decoder up to half of the resolution, for strips, and for parts."""

    def __init__(self, plain: Descriptor2D, graphs: GraphSet, *, bfloat16: bool) -> None:
        _take_over(self, plain)
        self._graphs, self._bfloat16 = graphs, bfloat16

    def _half(self, image: Tensor) -> Float[Tensor, "B 192 h w"]:
        return self._run("half", super()._half, image)

    def _fine(self, around: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
        # Weights are constants of the graph; the bias depends on the picture.
        def fine(x: Tensor, bias: Tensor) -> Tensor:
            return super(CompiledDescriptor2D, self)._fine(x, taps, None) + bias[:, :, None, None]

        assert bias is not None
        return self._run("fine", fine, around, bias[None])

    def _head(self, padded: Float[Tensor, "B 128 H W"]) -> Tensor:
        return self._run("head", super()._head, padded)

    def _run(self, name: str, function: Callable[..., Tensor], maps: Tensor, *more: Tensor) -> Tensor:
        """A graph from maps to maps, whose channels are last in memory, inside of the graph and outside."""

        def channels_last(x: Tensor, *more: Tensor) -> Tensor:
            return function(x.permute(0, 3, 1, 2), *more).permute(0, 2, 3, 1)

        inputs = (maps.permute(0, 2, 3, 1), *more)
        (out,) = self._graphs.run(name, channels_last, inputs, bfloat16=self._bfloat16)
        return out.permute(0, 3, 1, 2)


class CompiledRaftEncoder(RaftEncoder):
    """The image encoder as one graph."""

    def __init__(self, plain: RaftEncoder, graphs: GraphSet, *, bfloat16: bool) -> None:
        _take_over(self, plain)
        self._graphs, self._bfloat16 = graphs, bfloat16

    def _encode(self, padded: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 256 h w"]:
        (maps,) = self._graphs.run("features", super()._encode, (padded,), bfloat16=self._bfloat16)
        return maps


class CompiledUpdateBlock(PaperUpdateBlock):
    """One recurrent iteration as one graph."""

    def __init__(self, plain: PaperUpdateBlock, graphs: GraphSet, *, bfloat16: bool) -> None:
        _take_over(self, plain)
        self._graphs, self._bfloat16 = graphs, bfloat16

    def hold(self, context: Float[Tensor, "B I h w"]) -> tuple[HeldInput, ...]:
        """See :meth:`PaperUpdateBlock.hold`."""

        def hold(x: Tensor) -> tuple[Tensor, ...]:
            return _tensors(super(CompiledUpdateBlock, self).hold(x))

        return self._held(self._graphs.run("hold", hold, (context,), bfloat16=self._bfloat16), context.shape[1])

    def forward(
        self, hidden: Tensor, held: tuple[HeldInput, ...], correlation: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`PaperUpdateBlock.forward`."""
        channels = held[0].channels

        def advance(hidden: Tensor, correlation: Tensor, flow: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            return super(CompiledUpdateBlock, self).forward(hidden, self._held(rest, channels), correlation, flow)

        inputs = (hidden, correlation, flow, *_tensors(held))
        hidden, delta, mask = self._graphs.run("advance", advance, inputs, bfloat16=self._bfloat16)
        return hidden, delta, mask

    def _held(self, tensors: list[Tensor] | tuple[Tensor, ...], channels: int) -> tuple[HeldInput, ...]:
        pairs = zip(self.gru.units, tensors[::2], tensors[1::2], strict=True)
        return tuple(unit.held(gates, candidate, channels=channels) for unit, gates, candidate in pairs)


def _tensors(held: tuple[HeldInput, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor for each in held for tensor in (each.gates, each.candidate))


def _take_over(module: nn.Module, plain: nn.Module) -> None:
    """Gives a new module the parts of another, without allocating weights of its own."""
    nn.Module.__init__(module)
    vars(module).update(vars(plain))
