"""The ``paper`` network's estimation: one point per crop pixel that shows the object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rnnpose_ros.geometry.camera import backproject, pixel_grid
from rnnpose_ros.networks.confidence import similarity
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.refinement.field import CycleInputs, Matches, Solve, inside_crop
from rnnpose_ros.refinement.solver import robust_step
from rnnpose_ros.stages import stage

_SMALLEST_SIGMA = 0.01
"""Training may pull sigma through 0, where weights explode."""


@runtime_checkable
class CropDescriptors(Protocol):
    """The photograph's descriptors at the pixels of one crop, which may be computed when they are asked for."""

    def around(self, uv: Float[Tensor, "N 2"]) -> Float[Tensor, "D S S"]:
        """A map that is right wherever bilinear sampling at these pixels reads it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class KnownDescriptors:
    """:class:`CropDescriptors` that are right everywhere."""

    map: Float[Tensor, "D S S"]

    def around(self, uv: Float[Tensor, "N 2"]) -> Float[Tensor, "D S S"]:
        """See :meth:`CropDescriptors.around`."""
        del uv
        return self.map


@dataclass(frozen=True, slots=True, eq=False)
class PaperCycleInputs(CycleInputs):
    """A render and a crop, with the features of the object and of the photograph in them."""

    pixel: Int[Tensor, "B N"]
    """row * width + column of each pixel that shows the object; views with fewer are filled up with 0."""
    shown: Bool[Tensor, "B N"]
    """False where ``pixel`` was filled up."""
    descriptors_render: Float[Tensor, "B D N"]
    context: Float[Tensor, "B 256 h w"]
    """Rendered context at the encoders' cells, scaled for the network."""
    descriptors_photo: tuple[CropDescriptors, ...]
    """Of each view."""


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFeatures:
    """One object's features in one view."""

    pixel: Int[Tensor, "N"]
    descriptors: Float[Tensor, "N D"]
    context: Float[Tensor, "256 h w"]


def with_features(
    plain: CycleInputs, parts: Sequence[RenderedFeatures], *, descriptors_photo: Sequence[CropDescriptors]
) -> PaperCycleInputs:
    """One batch of views with their features; lists of points are filled up to the longest."""
    counts = torch.tensor([len(p.pixel) for p in parts], device=plain.photo.device)
    pixel = pad_sequence([p.pixel for p in parts], batch_first=True)
    return PaperCycleInputs(
        **{f.name: getattr(plain, f.name) for f in dataclasses.fields(CycleInputs)},
        pixel=pixel,
        shown=torch.arange(pixel.shape[1], device=pixel.device) < counts[:, None],
        descriptors_render=pad_sequence([p.descriptors for p in parts], batch_first=True).transpose(1, 2),
        context=torch.stack([p.context for p in parts]),
        descriptors_photo=tuple(descriptors_photo),
    )


class DenseField:
    """See :class:`~rnnpose_ros.refinement.field.CorrespondenceEstimator`; what :class:`PaperViews` saw."""

    solve: Solve = staticmethod(robust_step)
    stride = 1
    depth_offset_m = 0.0
    """Added to every depth."""
    nearest_m = 0.0
    """Points nearer than this do not count."""
    descriptors: tuple[Tensor, Tensor] | None = None
    """Those of the photograph are computed where they are read."""

    def __init__(self, network: PaperNetwork, inputs: PaperCycleInputs) -> None:
        self._network = network
        self._inputs = inputs
        height, width = inputs.camera.height, inputs.camera.width
        device, dtype = inputs.photo.device, inputs.photo.dtype
        self.cell_uv = pixel_grid(height, width, device=device, dtype=dtype)
        self.depth = inputs.render.depth
        self._uv = self.cell_uv.flatten(0, 1)[inputs.pixel]
        self._cells = pixel_grid(height // network.stride, width // network.stride, device=device, dtype=dtype)
        depth = self.depth.flatten(1).gather(1, inputs.pixel) + self.depth_offset_m
        self.points_render = backproject(depth, self._uv, inputs.camera.K.to(inputs.photo))
        self._counts = inputs.shown & (depth > self.nearest_m)
        with stage("encode"):
            self._pair, self.hidden = network.encode(inputs.render.color, inputs.photo, inputs.context)
        self.correlation = self._pair.correlation.levels[0]

    def match(self, induced_uv: Float[Tensor, "B N 2"]) -> Matches:
        """One iteration; see :class:`~rnnpose_ros.refinement.field.CorrespondenceEstimator`."""
        flow = self._at_cells(self.as_map((induced_uv - self._uv) / self._network.stride))
        update = self._network.update(self._pair, self.hidden, self._cells, flow)
        self.hidden = update.hidden
        index = self._inputs.pixel[:, None].expand(-1, 2, -1)
        target_uv = self._uv + update.flow.flatten(2).gather(2, index).transpose(1, 2)
        read_uv = self._descriptor_uv(target_uv)
        photo = [d.around(uv.detach()) for d, uv in zip(self._inputs.descriptors_photo, read_uv, strict=True)]
        maps = torch.stack(photo) if len(photo) > 1 else photo[0][None]
        alike = similarity(self._inputs.descriptors_render[:, :, None], maps, read_uv[:, None], self._sigma())[:, 0]
        weights = alike * self._counts * self._trusted(target_uv)
        return Matches(target_uv=target_uv, weights=weights, similarity=alike * self._inputs.shown)

    def as_map(self, values: Float[Tensor, "B N *C"]) -> Float[Tensor, "B h w *C"]:
        """Values of the points at their pixels; 0 elsewhere."""
        pixel, shown = self._inputs.pixel, self._inputs.shown
        height, width = self.depth.shape[1:]
        flat = values.new_zeros(len(values), height * width, *values.shape[2:])
        if len(values) == 1:  # nothing is filled up
            flat = flat[0].index_copy(0, pixel[0], values[0])[None]
        else:
            for _ in values.shape[2:]:
                pixel, shown = pixel[..., None], shown[..., None]
            flat = flat.scatter_add(1, pixel.expand_as(values), values * shown)
        return flat.unflatten(1, (height, width))

    def _at_cells(self, field: Float[Tensor, "B H W 2"]) -> Float[Tensor, "B h w 2"]:
        """A field over the pixels at the centres of the encoders' cells."""
        return field[:, :: self._network.stride, :: self._network.stride]

    def _descriptor_uv(self, target_uv: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N 2"]:
        """Where the photograph's descriptors are read."""
        return target_uv

    def _sigma(self) -> Float[Tensor, ""]:
        return self._network.sigma.clamp_min(_SMALLEST_SIGMA)

    def _trusted(self, target_uv: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N"] | float:
        """Factor on the weights by where the targets lie: outside of the crop nothing was compared."""
        return inside_crop(target_uv.detach(), self._inputs.camera)
