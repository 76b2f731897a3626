"""What a network family estimates in one cycle, behind one interface: where the render's points are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import backproject, pixel_grid
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.networks.rnnpose_network import CorrespondenceNetwork
from rnnpose_ros.refinement.solver import SolverConfig, SolverStep, robust_step
from rnnpose_ros.stages import stage
from rnnpose_ros.types import CameraIntrinsics, RenderBuffers


@dataclass(frozen=True, slots=True, eq=False)
class CycleInputs:
    """A render and the crop of the photograph it is compared with, at one and the same camera."""

    photo: Float[Tensor, "B 3 S S"]
    """0..1"""
    render: RenderBuffers
    """Lit reference at ``T_render``."""
    camera: CameraIntrinsics
    T_render: Float[Tensor, "B 4 4"]
    centre_object: Float[Tensor, "B 3"]
    diameter: Float[Tensor, "B"]

    @property
    def depth_centre(self) -> Float[Tensor, "B"]:
        """Depth of the objects' centres at the render, metres."""
        return transform(self.T_render.to(self.photo), self.centre_object[:, None])[:, 0, 2]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """One iteration's answer at the points."""

    target_uv: Float[Tensor, "B N 2"]
    """Crop pixels."""
    weights: Float[Tensor, "B N"]
    """What the solver uses; 0 where there is no object."""
    similarity: Float[Tensor, "B N"]
    """0..1"""
    confidence_logit: Float[Tensor, "B N"] | None = None


@runtime_checkable
class Solve(Protocol):
    """One pose step; :func:`~rnnpose_ros.refinement.solver.robust_step` is one."""

    def __call__(
        self,
        T_camera_object: Tensor,
        points_camera: Tensor,
        target_uv: Tensor,
        weights: Tensor,
        K: Tensor,
        *,
        centre_camera: Tensor,
        diameter: Tensor,
        config: SolverConfig,
    ) -> SolverStep: ...


@runtime_checkable
class CorrespondenceEstimator(Protocol):
    """The estimation of one cycle: constructing it encodes, :meth:`match` iterates and carries the state."""

    solve: Solve
    """The step that the weights were trained with."""
    stride: int
    """Crop pixels from cell to cell."""
    cell_uv: Float[Tensor, "h w 2"]
    depth: Float[Tensor, "B h w"]
    """Of the render at the cells, metres; 0 = no object."""
    points_render: Float[Tensor, "B N 3"]
    """The points that are matched, in the camera frame of the render."""
    correlation: Float[Tensor, "M 1 _ _"]
    """Raw correlation volume."""
    descriptors: tuple[Tensor, Tensor] | None
    """Of the render and of the photograph at the cells, where there are both."""

    def match(self, induced_uv: Float[Tensor, "B N 2"]) -> Matches:
        """One iteration.

        Args:
            induced_uv: Where the present pose puts the points, crop pixels.
        """
        ...

    def as_map(self, values: Float[Tensor, "B N *C"]) -> Float[Tensor, "B h w *C"]:
        """Values of the points at their cells; 0 elsewhere."""
        ...


class CellField:
    """The ``small`` and ``base`` networks: one point per cell of the encoders."""

    solve: Solve = staticmethod(robust_step)

    def __init__(self, network: CorrespondenceNetwork, inputs: CycleInputs, *, weighting: str) -> None:
        self._network = network
        self._weighting = weighting
        self._camera = camera = inputs.camera
        self.stride = stride = network.stride
        K = camera.K.to(inputs.photo)
        self.cell_uv = pixel_grid(camera.height, camera.width, stride=stride, device=K.device, dtype=K.dtype)
        self.depth = inputs.render.depth[:, ::stride, ::stride]
        self._shape = batch, h, w = self.depth.shape
        self._mask = self.depth > 0
        self.points_render = backproject(self.depth, self.cell_uv.expand(batch, h, w, 2), K).flatten(1, 2)
        with stage("encode"):
            self._pair, self._hidden = network.encode(
                inputs.render, inputs.photo, depth_centre=inputs.depth_centre, diameter=inputs.diameter
            )
        self.correlation = self._pair.correlation.levels[0]
        self.descriptors: tuple[Tensor, Tensor] | None = (self._pair.descriptors_render, self._pair.descriptors_photo)

    def match(self, induced_uv: Float[Tensor, "B N 2"]) -> Matches:
        """One iteration; see :class:`CorrespondenceEstimator`."""
        induced = self.as_map(induced_uv)
        flow = torch.where(self._mask[..., None], (induced - self.cell_uv) / self.stride, torch.zeros_like(induced))
        update = self._network.update(self._pair, self._hidden, self.cell_uv / self.stride, flow)
        self._hidden = update.hidden
        target_uv = self.cell_uv + (flow + update.delta) * self.stride
        weights = _weights(update.confidence_logit, update.similarity, self._weighting)
        weights = weights * self._mask * inside_crop(target_uv.detach(), self._camera)
        return Matches(
            target_uv=target_uv.flatten(1, 2),
            weights=weights.flatten(1),
            similarity=update.similarity.flatten(1),
            confidence_logit=update.confidence_logit.flatten(1),
        )

    def as_map(self, values: Float[Tensor, "B N *C"]) -> Float[Tensor, "B h w *C"]:
        """Values of the points at their cells."""
        return values.unflatten(1, self._shape[1:])


def _weights(confidence_logit: Tensor, similarity: Tensor, weighting: str) -> Tensor:
    if weighting == "confidence":
        return torch.sigmoid(confidence_logit)
    if weighting == "similarity":
        return similarity
    return torch.sigmoid(confidence_logit) * similarity


def inside_crop(target_uv: Float[Tensor, "*N 2"], camera: CameraIntrinsics) -> Float[Tensor, "*N"]:
    """1 where a target lies in the crop: outside it nothing was compared."""
    u, v = target_uv.unbind(-1)
    return ((u > -0.5) & (v > -0.5) & (u < camera.width - 0.5) & (v < camera.height - 0.5)).to(target_uv.dtype)
