"""The ``tiny``, ``small`` and ``base`` networks: everything is encoded from the rendered reference by 2D encoders.

One set of weights serves any mesh. The refinement loop (``refinement/refiner.py``) calls
:meth:`RnnposeNetwork.encode` once per render and :meth:`RnnposeNetwork.update` once per iteration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.config import param
from rnnpose_ros.networks.confidence import similarity
from rnnpose_ros.networks.correlation import CorrelationPyramid, correlate
from rnnpose_ros.networks.image_encoder import STRIDE, ImageEncoder, group_norm, instance_norm
from rnnpose_ros.networks.outline import OutlineField, OutlineNetwork
from rnnpose_ros.networks.update_block import HeldInput, UpdateBlock
from rnnpose_ros.types import RenderBuffers

_CONTEXT_INPUTS = 8


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the network; stored in the checkpoint."""

    family: str = param("small", doc="Name of the network family", choices=("tiny", "small", "base"))
    feature_widths: tuple[int, ...] = param((32, 48, 96, 128), doc="Channels of the image encoder's stages")
    feature_channels: int = param(128, doc="Channels that are correlated", bounds=(16, 512))
    context_widths: tuple[int, ...] = param((24, 24, 48, 64), doc="Channels of the context encoder's stages")
    context_channels: int = param(64, doc="Channels of the constant input of the recurrent unit", bounds=(16, 512))
    hidden_channels: int = param(64, doc="Channels of the recurrent state", bounds=(16, 512))
    descriptor_channels: int = param(32, doc="Length of the descriptors", bounds=(8, 256))
    correlation_levels: int = param(3, doc="Levels of the correlation pyramid", bounds=(1, 5))
    correlation_radius: int = param(3, doc="Radius of the correlation lookup", unit="cells", bounds=(1, 8))
    outline_widths: tuple[int, ...] = param(
        (), doc="Channels at the four resolutions of the outline's network; none: the network estimates no outline"
    )


TINY = NetworkConfig(
    family="tiny",
    feature_widths=(16, 32, 48, 64),
    feature_channels=64,
    context_widths=(16, 16, 32, 48),
    context_channels=32,
    hidden_channels=48,
)
"""For tracking on slow processors: a quarter of the computation of ``small``."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPair:
    """What the network keeps of one render and one photograph for all iterations of a cycle."""

    correlation: CorrelationPyramid
    context: HeldInput
    """What the constant input does to the recurrent unit."""
    descriptors_render: Float[Tensor, "B D h w"]
    descriptors_photo: Float[Tensor, "B D h w"]


@dataclass(frozen=True, slots=True, eq=False)
class FieldUpdate:
    """One iteration's answer at the render's cells."""

    hidden: Float[Tensor, "B H h w"]
    delta: Float[Tensor, "B h w 2"]
    """Correction of the target, in cells."""
    confidence_logit: Float[Tensor, "B h w"]
    similarity: Float[Tensor, "B h w"]
    """0..1"""


@runtime_checkable
class CorrespondenceNetwork(Protocol):
    """What the refinement loop asks of a network; see :class:`RnnposeNetwork` for shapes and units."""

    stride: int
    """Crop pixels per cell."""

    def encode(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> tuple[EncodedPair, Float[Tensor, "B H h w"]]:
        """Encodes one render and one crop of the photograph."""
        ...

    def update(
        self,
        pair: EncodedPair,
        hidden: Float[Tensor, "B H h w"],
        cells: Float[Tensor, "h w 2"],
        flow: Float[Tensor, "B h w 2"],
    ) -> FieldUpdate:
        """One recurrent iteration."""
        ...


class RnnposeNetwork(nn.Module):
    """Correspondence field estimation between a render and a photograph.

    Constructing it allocates random weights; ``checkpoints.load_network`` makes one with trained ones.
    """

    stride = STRIDE

    def __init__(self, config: NetworkConfig = NetworkConfig()) -> None:
        super().__init__()
        self.config = config
        c = config
        self.features = ImageEncoder(3, widths=_four(c.feature_widths), outputs=c.feature_channels, norm=instance_norm)
        self.context = ImageEncoder(
            _CONTEXT_INPUTS,
            widths=_four(c.context_widths),
            outputs=c.hidden_channels + c.context_channels,
            norm=group_norm,
            deep=False,
        )
        self.descriptor = nn.Conv2d(c.feature_channels, c.descriptor_channels, 1)
        lookup_channels = c.correlation_levels * (2 * c.correlation_radius + 1) ** 2
        self.update_block = UpdateBlock(lookup_channels, hidden=c.hidden_channels, context=c.context_channels)
        # By math: torch's logarithm on the meta device imports its whole compiler, seconds of every start.
        self.log_sigma = nn.Parameter(torch.tensor(math.log(0.5)))
        self.outline = OutlineNetwork(_four(c.outline_widths)) if c.outline_widths else None
        self.mixed_precision = False
        """Convolutions in bfloat16; correlation, similarity and everything geometric stay in float32."""

    @property
    def sigma(self) -> Float[Tensor, ""]:
        """Scale of the similarity, learned, positive by construction."""
        return self.log_sigma.exp()

    def encode(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> tuple[EncodedPair, Float[Tensor, "B H h w"]]:
        """Encodes one render and one crop of the photograph.

        Args:
            render: Lit colour (0..1), depth and normals of the reference at the crop's camera.
            photo: The crop, 0..1.
            depth_centre: Depth of the object's centre at the render, metres.
            diameter: Of the objects, metres.

        Returns:
            What all iterations share, and the initial recurrent state.
        """
        geometry = _reference(render, depth_centre=depth_centre, diameter=diameter)
        with self._precision(photo.device):
            maps = self.features(torch.cat([geometry[:, :3], photo * 2 - 1]))
            both = self.context(geometry)
            descriptors = self.descriptor(maps)
            state, context = both.float().split([self.config.hidden_channels, self.config.context_channels], 1)
            held = self.update_block.gru.hold(F.relu(context))
        features_render, features_photo = maps.chunk(2)
        descriptors_render, descriptors_photo = F.normalize(descriptors.float(), dim=1).chunk(2)
        pyramid = correlate(
            features_render,
            features_photo,
            levels=self.config.correlation_levels,
            radius=self.config.correlation_radius,
        )
        pair = EncodedPair(pyramid, held, descriptors_render, descriptors_photo)
        return pair, torch.tanh(state)

    def find_outline(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> OutlineField | None:
        """Where the object's outline lies; None from networks that estimate none. Arguments as of :meth:`encode`."""
        if self.outline is None:
            return None
        reference = _reference(render, depth_centre=depth_centre, diameter=diameter)
        with self._precision(photo.device):
            logits = self.outline(torch.cat([photo * 2 - 1, reference], 1))
        within, visible = logits.float().unbind(1)
        return OutlineField(within, visible)

    def update(
        self,
        pair: EncodedPair,
        hidden: Float[Tensor, "B H h w"],
        cells: Float[Tensor, "h w 2"],
        flow: Float[Tensor, "B h w 2"],
    ) -> FieldUpdate:
        """One recurrent iteration.

        Args:
            pair: From :meth:`encode`.
            hidden: Recurrent state.
            cells: Coordinates of the render's cells, in cells.
            flow: The pose-induced (rectified) field, target minus cell, in cells; 0 off the object.
        """
        return self.advance(pair.correlation.lookup(cells + flow), pair, hidden, cells + flow, flow)

    def advance(
        self,
        correlation: Float[Tensor, "B C h w"],
        pair: EncodedPair,
        hidden: Float[Tensor, "B H h w"],
        target: Float[Tensor, "B h w 2"],
        flow: Float[Tensor, "B h w 2"],
    ) -> FieldUpdate:
        """One recurrent iteration from the correlation that was looked up.

        Args:
            correlation: Around ``target``.
            pair: From :meth:`encode`; its correlation is not read.
            hidden: Recurrent state.
            target: Where the present pose puts the render's cells, in cells.
            flow: See :meth:`update`.
        """
        with self._precision(flow.device):
            hidden, delta, logit = self.update_block(hidden, pair.context, correlation, flow.permute(0, 3, 1, 2))
        delta = delta.permute(0, 2, 3, 1).float()
        alike = similarity(pair.descriptors_render, pair.descriptors_photo, target + delta, self.sigma)
        return FieldUpdate(hidden=hidden.float(), delta=delta, confidence_logit=logit.float(), similarity=alike)

    def _precision(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.mixed_precision)


def _reference(
    render: RenderBuffers, *, depth_centre: Float[Tensor, "B"], diameter: Float[Tensor, "B"]
) -> Float[Tensor, "B 8 S S"]:
    """What is known of the render at each pixel: colour (-1..1), mask, normals, depth about the centre in diameters."""
    mask = (render.depth > 0).to(render.color.dtype)[:, None]
    relative = (render.depth - depth_centre[:, None, None])[:, None] / diameter[:, None, None, None]
    return torch.cat([(render.color * 2 - 1) * mask, mask, render.attributes[:, :3], relative.to(mask.dtype) * mask], 1)


def _four(widths: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = widths
    return a, b, c, d
