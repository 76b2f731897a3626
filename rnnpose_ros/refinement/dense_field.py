"""The ``paper`` network's estimation: one point per crop pixel that shows the object."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.profiler import record_function

from rnnpose_ros.geometry.camera import backproject, pixel_grid
from rnnpose_ros.networks.confidence import similarity
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.refinement.field import CycleInputs, Matches, Solve
from rnnpose_ros.refinement.published_solver import published_step

_DEPTH_OFFSET_M = 1e-5
_NEAREST_M = 0.1


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
    descriptors_photo: Float[Tensor, "B D S S"]


class DenseField:
    """See :class:`~rnnpose_ros.refinement.field.CorrespondenceEstimator`."""

    solve: Solve = staticmethod(published_step)
    stride = 1

    def __init__(self, network: PaperNetwork, inputs: PaperCycleInputs) -> None:
        self._network = network
        self._inputs = inputs
        height, width = inputs.camera.height, inputs.camera.width
        device, dtype = inputs.photo.device, inputs.photo.dtype
        self.cell_uv = pixel_grid(height, width, device=device, dtype=dtype)
        self.depth = inputs.render.depth
        self._uv = self.cell_uv.flatten(0, 1)[inputs.pixel]
        self._cells = pixel_grid(height // network.stride, width // network.stride, device=device, dtype=dtype)
        depth = self.depth.flatten(1).gather(1, inputs.pixel) + _DEPTH_OFFSET_M
        self.points_render = backproject(depth, self._uv, inputs.camera.K.to(inputs.photo))
        self._counts = inputs.shown & (depth > _NEAREST_M)
        with record_function("rnnpose/encode"):
            self._pair, self.hidden = network.encode(inputs.render.color, inputs.photo, inputs.context)
        self.correlation = self._pair.correlation.levels[0]
        self.descriptors = (inputs.descriptors_render, inputs.descriptors_photo)

    def match(self, induced_uv: Float[Tensor, "B N 2"]) -> Matches:
        """One iteration.

        The published weights are 0 only off the object: a target outside the crop meets a descriptor of
        zeros and counts exp(-1 / sigma).
        """
        flow = self.as_map((induced_uv - self._uv) / self._network.stride).permute(0, 3, 1, 2)
        flow = F.interpolate(flow, size=self._cells.shape[:2], mode="bilinear", align_corners=True)
        update = self._network.update(self._pair, self.hidden, self._cells, flow.permute(0, 2, 3, 1))
        self.hidden = update.hidden
        index = self._inputs.pixel[:, None].expand(-1, 2, -1)
        target_uv = self._uv + update.flow.flatten(2).gather(2, index).transpose(1, 2)
        alike = similarity(
            self._inputs.descriptors_render[:, :, None],
            self._inputs.descriptors_photo,
            _descriptor_uv(target_uv, self._inputs.photo.shape[-1])[:, None],
            self._network.sigma,
        )[:, 0]
        return Matches(target_uv=target_uv, weights=alike * self._counts, similarity=alike * self._inputs.shown)

    def as_map(self, values: Float[Tensor, "B N *C"]) -> Float[Tensor, "B h w *C"]:
        """Values of the points at their pixels; 0 elsewhere."""
        pixel, shown = self._inputs.pixel, self._inputs.shown
        for _ in values.shape[2:]:
            pixel, shown = pixel[..., None], shown[..., None]
        height, width = self.depth.shape[1:]
        flat = values.new_zeros(len(values), height * width, *values.shape[2:])
        flat = flat.scatter_add(1, pixel.expand_as(values), values * shown)
        return flat.unflatten(1, (height, width))


def _descriptor_uv(target_uv: Tensor, size: int) -> Tensor:
    """Where the published code reads the photograph's descriptors.

    It scales targets as if the outermost pixel centres were at -1 and 1, and samples as if the outermost
    borders were. Pinned by ``test_similarity_weights_equal_the_published_ones``.
    """
    return target_uv * (size / (size - 1)) - 0.5
