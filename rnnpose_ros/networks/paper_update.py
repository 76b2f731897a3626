"""The published recurrent update (RAFT's "large" one): separable GRU, flow and upsampling-mask heads."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.networks.update_block import ConvGRU, HeldInput, MotionEncoder

GRU_KINDS = ("separable", "3x3")
_HIDDEN = 128
_MASK_GRADIENT_SCALE = 0.25


class SeparableConvGRU(nn.Module):
    """A gated recurrent unit along rows, then one along columns."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.rows = ConvGRU(hidden, inputs, kernel=(1, 5))
        self.columns = ConvGRU(hidden, inputs, kernel=(5, 1))

    @property
    def units(self) -> tuple[ConvGRU, ...]:
        """The units that a state goes through, one after the other."""
        return self.rows, self.columns


class PaperUpdateBlock(nn.Module):
    """One recurrent iteration over the cells of the render.

    Args:
        correlation_channels: Values per cell from the correlation lookup.
        gru: "separable" as in the public code, or "3x3" as in the supplementary.
    """

    def __init__(self, correlation_channels: int, *, gru: str) -> None:
        super().__init__()
        self.motion = MotionEncoder(
            correlation_channels, outputs=128, correlation_widths=(256, 192), flow_widths=(128, 64), flow_kernel=7
        )
        kind = SeparableConvGRU if gru == "separable" else ConvGRU
        self.gru = kind(_HIDDEN, _HIDDEN + 128)
        self.flow = nn.Sequential(nn.Conv2d(_HIDDEN, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 2, 3, padding=1))
        self.mask = nn.Sequential(nn.Conv2d(_HIDDEN, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 9 * 64, 1))

    def hold(self, context: Float[Tensor, "B I h w"]) -> tuple[HeldInput, ...]:
        """What the constant input does to each unit, for all iterations."""
        return tuple(unit.hold(context) for unit in self.gru.units)

    def forward(
        self,
        hidden: Float[Tensor, "B H h w"],
        held: tuple[HeldInput, ...],
        correlation: Float[Tensor, "B C h w"],
        flow: Float[Tensor, "B 2 h w"],
    ) -> tuple[Float[Tensor, "B H h w"], Float[Tensor, "B 2 h w"], Float[Tensor, "B 576 h w"]]:
        """New state, change of the flow (cells), and logits of the upsampling mask.

        Args:
            hidden: Recurrent state.
            held: From :meth:`hold`.
            correlation: From the lookup.
            flow: That it was looked up at, cells.
        """
        motion = self.motion(correlation, flow)
        for unit, part in zip(self.gru.units, held, strict=True):
            hidden = unit.step(hidden, part, motion)
        return hidden, self.flow(hidden), _MASK_GRADIENT_SCALE * self.mask(hidden)


def upsample_convex(
    flow: Float[Tensor, "B 2 h w"], mask_logits: Float[Tensor, "B 576 h w"]
) -> Float[Tensor, "B 2 H W"]:
    """Flow at eight times the resolution, in fine pixels: a convex mix of the 3x3 cells around (RAFT, section 3.3)."""
    batch, _, h, w = flow.shape
    mask = mask_logits.view(batch, 1, 9, 64, h * w).softmax(2)
    cells = F.unfold(8 * flow, 3, padding=1).view(batch, 2, 9, 1, h * w)
    fine = (mask * cells).sum(2).view(batch, 2, 8, 8, h, w)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, 8 * h, 8 * w)
