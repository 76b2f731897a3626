"""The published RNNPose: descriptors and context of the object from its vertices, RAFT between the pictures.

The object is encoded once (:meth:`PaperNetwork.encode_object`), the photograph's descriptors once per
refinement (``descriptor2d``), the two pictures once per render (:meth:`PaperNetwork.encode`), and the field
is updated once per iteration (:meth:`PaperNetwork.update`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rnnpose_ros.config import param
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.networks.correlation import CorrelationPyramid, correlate
from rnnpose_ros.networks.descriptor2d import Descriptor2D
from rnnpose_ros.networks.image_encoder import STRIDE, RaftEncoder
from rnnpose_ros.networks.paper_update import GRU_KINDS, PaperUpdateBlock, upsample_convex
from rnnpose_ros.networks.point_encoder import PointEncoder, to_device
from rnnpose_ros.networks.update_block import HeldInput
from rnnpose_ros.types import PointPyramid

CONTEXT_CHANNELS = 256
CONTEXT_SCALE = 0.1
_HIDDEN = 128
INPUT_SCALINGS = ("unit", "published")
_LEVELS = 4
_RADIUS = 4


@dataclass(frozen=True, slots=True)
class PaperConfig:
    """What may differ between networks of the published layout; stored in the checkpoint."""

    family: str = param("paper", doc="Name of the network family", choices=("paper",))
    gru: str = param(
        "separable", doc="Recurrent unit: as in the public code, or as in the supplementary", choices=GRU_KINDS
    )
    descriptor_channels: int = param(32, doc="Length of the descriptors", bounds=(8, 256))
    input_scaling: str = param(
        "unit",
        doc="Range of the image encoder's input: -1..1, or what the published code makes of it by scaling twice",
        choices=INPUT_SCALINGS,
    )


@dataclass(frozen=True, slots=True)
class TrainedFor:
    """The circumstances that a set of weights has learned; no objects where they may be used with any mesh."""

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Of the mesh of each label."""
    neighbour_limits: tuple[int, ...] = ()
    """Of the point pyramids."""
    convention: CropConvention = CropConvention.EXACT
    """How crops, renders and solver steps are made."""


@dataclass(frozen=True, slots=True, eq=False)
class VertexFeatures:
    """What the network says of an object, whatever the picture."""

    descriptors: Float[Tensor, "V D"]
    """Unit length."""
    context: Float[Tensor, "V 256"]


@dataclass(frozen=True, slots=True, eq=False)
class PaperPair:
    """What the network keeps of one render and one photograph for all iterations of a cycle."""

    correlation: CorrelationPyramid
    context: tuple[HeldInput, ...]
    """What the constant input does to the recurrent units."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowUpdate:
    """One iteration's answer."""

    hidden: Float[Tensor, "B 128 h w"]
    flow: Float[Tensor, "B 2 H W"]
    """Target minus pixel, crop pixels, at every pixel of the crop."""


class PaperNetwork(nn.Module):
    """RNNPose as published. Constructing it allocates random weights."""

    stride = STRIDE

    def __init__(self, config: PaperConfig = PaperConfig()) -> None:
        super().__init__()
        self.config = config
        self.trained_for = TrainedFor()
        self.descriptor3d = PointEncoder(config.descriptor_channels)
        self.context3d = PointEncoder(CONTEXT_CHANNELS)
        self.descriptor2d = Descriptor2D(config.descriptor_channels)
        self.features = RaftEncoder()
        self.update_block = PaperUpdateBlock(_LEVELS * (2 * _RADIUS + 1) ** 2, gru=config.gru)
        self.sigma = nn.Parameter(torch.tensor(1.0))
        """Scale of the similarity, learned."""
        self.mixed_precision = False
        """Run the 2D convolutions in bfloat16: for training, where the published code has float16."""

    def encode_object(self, pyramid: PointPyramid) -> VertexFeatures:
        """Descriptors and context of every vertex."""
        pyramid = to_device(pyramid, self.sigma.device)
        return VertexFeatures(F.normalize(self.descriptor3d(pyramid), dim=1), self.context3d(pyramid))

    def describe(self, photo: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D H W"]:
        """A unit descriptor at every pixel of a photograph (0..1), whose sides are multiples of 8."""
        with self._precision(photo.device):
            descriptors = self.descriptor2d(photo)
        return F.normalize(descriptors.float(), dim=1) if self.mixed_precision else descriptors

    def encode(
        self,
        render: Float[Tensor, "B 3 S S"],
        photo: Float[Tensor, "B 3 S S"],
        context: Float[Tensor, "B 256 h w"],
    ) -> tuple[PaperPair, Float[Tensor, "B 128 h w"]]:
        """Encodes one render and one crop of the photograph.

        Args:
            render: Lit reference, 0..1.
            photo: The crop, 0..1.
            context: Rendered context at the cells, already times ``CONTEXT_SCALE``.

        Returns:
            What all iterations share, and the initial recurrent state.
        """
        # The published code scales from 0..255 once more what already is 0..1; its weights expect that.
        # Pinned by test_encoder_maps_equal_the_published_ones.
        largest = 255.0 if self.config.input_scaling == "published" else 1.0
        both = 2 * (torch.cat([render, photo]) / largest) - 1.0
        with self._precision(both.device):
            maps = self.features(both)
        pyramid = correlate(*maps.chunk(2), levels=_LEVELS, radius=_RADIUS, published=True)
        state, constant = context.split([_HIDDEN, CONTEXT_CHANNELS - _HIDDEN], 1)
        return PaperPair(pyramid, self.update_block.hold(F.relu(constant))), torch.tanh(state)

    def update(
        self,
        pair: PaperPair,
        hidden: Float[Tensor, "B 128 h w"],
        cells: Float[Tensor, "h w 2"],
        flow: Float[Tensor, "B h w 2"],
    ) -> FlowUpdate:
        """One recurrent iteration.

        Args:
            pair: From :meth:`encode`.
            hidden: Recurrent state.
            cells: Coordinates of the render's cells, in cells.
            flow: The pose-induced (rectified) field, target minus cell, in cells; 0 off the object.
        """
        correlation = pair.correlation.lookup(cells + flow)
        flow = flow.permute(0, 3, 1, 2)
        with self._precision(flow.device):
            hidden, delta, mask = self.update_block(hidden, pair.context, correlation, flow)
        return FlowUpdate(hidden.float(), upsample_convex(flow + delta.float(), mask.float()))

    def _precision(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.mixed_precision)
