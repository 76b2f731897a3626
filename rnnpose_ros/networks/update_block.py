"""The recurrent update: correlation and flow in, a better flow and its confidence out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class MotionEncoder(nn.Module):
    """Mixes the looked-up correlation with the flow it was looked up at.

    Args:
        correlation_channels: Values per cell from the correlation lookup.
        outputs: Channels of the result, the two of the flow among them.
        correlation_widths: Channels of the two layers on the correlation.
        flow_widths: Channels of the two layers on the flow.
        flow_kernel: Side of the first of these.
    """

    def __init__(
        self,
        correlation_channels: int,
        *,
        outputs: int,
        correlation_widths: tuple[int, int],
        flow_widths: tuple[int, int],
        flow_kernel: int = 5,
    ) -> None:
        super().__init__()
        self.correlation1 = nn.Conv2d(correlation_channels, correlation_widths[0], 1)
        self.correlation2 = nn.Conv2d(correlation_widths[0], correlation_widths[1], 3, padding=1)
        self.flow1 = nn.Conv2d(2, flow_widths[0], flow_kernel, padding=flow_kernel // 2)
        self.flow2 = nn.Conv2d(flow_widths[0], flow_widths[1], 3, padding=1)
        self.mix = nn.Conv2d(correlation_widths[1] + flow_widths[1], outputs - 2, 3, padding=1)

    def forward(
        self, correlation: Float[Tensor, "B C h w"], flow: Float[Tensor, "B 2 h w"]
    ) -> Float[Tensor, "B D h w"]:
        c = F.relu(self.correlation2(F.relu(self.correlation1(correlation))))
        f = F.relu(self.flow2(F.relu(self.flow1(flow))))
        return torch.cat([F.relu(self.mix(torch.cat([c, f], 1))), flow], 1)


@dataclass(frozen=True, slots=True, eq=False)
class HeldInput:
    """What an input that stays the same adds to the convolutions of a :class:`ConvGRU`, and their other weights."""

    gates: Float[Tensor, "B _ h w"]
    candidate: Float[Tensor, "B H h w"]
    gates_weight: Tensor
    candidate_weight: Tensor
    channels: int
    """Of the input."""


class ConvGRU(nn.Module):
    """A convolutional gated recurrent unit; 3x3 in the supplementary of RNNPose (section 1.2)."""

    def __init__(self, hidden: int, inputs: int, *, kernel: tuple[int, int] = (3, 3)) -> None:
        super().__init__()
        self._hidden = hidden
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.gates = nn.Conv2d(hidden + inputs, 2 * hidden, kernel, padding=padding)
        self.candidate = nn.Conv2d(hidden + inputs, hidden, kernel, padding=padding)

    def forward(self, hidden: Float[Tensor, "B H h w"], inputs: Float[Tensor, "B I h w"]) -> Float[Tensor, "B H h w"]:
        z, r = torch.sigmoid(self.gates(torch.cat([hidden, inputs], 1))).chunk(2, 1)
        q = torch.tanh(self.candidate(torch.cat([r * hidden, inputs], 1)))
        return (1 - z) * hidden + z * q

    @property
    def units(self) -> tuple[ConvGRU, ...]:
        """The units that a state goes through, one after the other."""
        return (self,)

    def hold(self, constant: Float[Tensor, "B C h w"]) -> HeldInput:
        """Convolves the first channels of the input once, for iterations that share them."""
        start, stop = self._hidden, self._hidden + constant.shape[1]
        gates, candidate = (
            F.conv2d(constant, layer.weight[:, start:stop], layer.bias, padding=layer.padding)
            for layer in (self.gates, self.candidate)
        )
        return self.held(gates, candidate, channels=int(constant.shape[1]))

    def held(self, gates: Tensor, candidate: Tensor, *, channels: int) -> HeldInput:
        """What :meth:`hold` gives, from its convolutions of so many constant channels."""
        start, stop = self._hidden, self._hidden + channels
        of_gates, of_candidate = (
            torch.cat([layer.weight[:, :start], layer.weight[:, stop:]], 1) for layer in (self.gates, self.candidate)
        )
        return HeldInput(gates, candidate, of_gates, of_candidate, channels)

    def step(
        self, hidden: Float[Tensor, "B H h w"], held: HeldInput, changing: Float[Tensor, "B J h w"]
    ) -> Float[Tensor, "B H h w"]:
        """:meth:`forward` with the first channels of the input from :meth:`hold`."""
        padding = self.gates.padding
        gates = F.conv2d(torch.cat([hidden, changing], 1), held.gates_weight, padding=padding)
        z, r = torch.sigmoid(gates + held.gates).chunk(2, 1)
        candidate = F.conv2d(torch.cat([r * hidden, changing], 1), held.candidate_weight, padding=padding)
        return hidden + z * (torch.tanh(candidate + held.candidate) - hidden)


class UpdateBlock(nn.Module):
    """One recurrent iteration over the cells of the render.

    Args:
        correlation_channels: Values per cell from the correlation lookup.
        hidden: Channels of the recurrent state; the other layers' are in proportion.
        context: Channels of the constant input.
    """

    def __init__(self, correlation_channels: int, *, hidden: int, context: int) -> None:
        super().__init__()
        self.motion = MotionEncoder(
            correlation_channels,
            outputs=hidden,
            correlation_widths=(3 * hidden // 2, hidden),
            flow_widths=(hidden // 2, 3 * hidden // 8),
        )
        self.gru = ConvGRU(hidden, context + hidden)
        self.head = nn.Conv2d(hidden, 2 * hidden, 3, padding=1)
        self.flow = nn.Conv2d(hidden, 2, 3, padding=1)
        self.confidence = nn.Conv2d(hidden, 1, 3, padding=1)

    def forward(
        self,
        hidden: Float[Tensor, "B H h w"],
        context: HeldInput,
        correlation: Float[Tensor, "B C h w"],
        flow: Float[Tensor, "B 2 h w"],
    ) -> tuple[Float[Tensor, "B H h w"], Float[Tensor, "B 2 h w"], Float[Tensor, "B h w"]]:
        """New state, change of the flow (cells), and confidence logits; the context is held by the unit."""
        hidden = self.gru.step(hidden, context, self.motion(correlation, flow))
        for_flow, for_confidence = F.relu(self.head(hidden)).chunk(2, 1)
        return hidden, self.flow(for_flow), self.confidence(for_confidence)[:, 0]
