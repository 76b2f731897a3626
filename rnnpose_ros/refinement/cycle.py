"""One render cycle of RNNPose: the loop itself. Training and inference both run this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.profiler import record_function

from rnnpose_ros.geometry.camera import backproject, pixel_grid
from rnnpose_ros.geometry.flow import induced_uv
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.networks.rnnpose_network import CorrespondenceNetwork
from rnnpose_ros.refinement.solver import SolverConfig, SolverStep, robust_step
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


@dataclass(frozen=True, slots=True, eq=False)
class IterationOutput:
    """Everything one iteration computed; the trace that losses and debug pictures read."""

    T_camera_object: Float[Tensor, "B 4 4"]
    induced_uv: Float[Tensor, "B h w 2"]
    target_uv: Float[Tensor, "B h w 2"]
    confidence_logit: Float[Tensor, "B h w"]
    similarity: Float[Tensor, "B h w"]
    weights: Float[Tensor, "B h w"]
    step: SolverStep


@dataclass(frozen=True, slots=True, eq=False)
class CycleOutput:
    """The iterations of one cycle and the cells they speak of."""

    iterations: tuple[IterationOutput, ...]
    cell_uv: Float[Tensor, "h w 2"]
    depth: Float[Tensor, "B h w"]
    """Of the render at the cells, metres; 0 = no object."""
    correlation: Float[Tensor, "M 1 h w"]
    """Raw correlation volume, for the matching loss."""
    descriptors: tuple[Float[Tensor, "B D h w"], Float[Tensor, "B D h w"]]
    """Of the render and of the photograph."""


def refine_cycle(
    network: CorrespondenceNetwork,
    inputs: CycleInputs,
    *,
    iterations: int,
    solver: SolverConfig,
    weighting: str = "both",
) -> CycleOutput:
    """Refines the poses of one render: estimate the field, weigh it, solve for the pose, repeat.

    Args:
        network: Estimates correspondences.
        inputs: Render, photograph, camera, poses.
        iterations: Recurrent iterations, one solver step each.
        solver: Damping and limits.
        weighting: "confidence", "similarity" or "both" (their product).
    """
    stride, camera = network.stride, inputs.camera
    K = camera.K.to(inputs.photo)
    T_render = inputs.T_render.to(inputs.photo)
    cell_uv = pixel_grid(camera.height, camera.width, stride=stride, device=K.device, dtype=K.dtype)
    depth = inputs.render.depth[:, ::stride, ::stride]
    mask = depth > 0
    batch, h, w = depth.shape
    points_render = backproject(depth, cell_uv.expand(batch, h, w, 2), K).flatten(1, 2)
    centre_render = transform(T_render, inputs.centre_object[:, None])[:, 0]
    with record_function("rnnpose/encode"):
        pair, hidden = network.encode(
            inputs.render, inputs.photo, depth_centre=centre_render[:, 2], diameter=inputs.diameter
        )

    T = T_render
    outputs = []
    for _ in range(iterations):
        T = T.detach()
        induced = induced_uv(points_render, T, T_render, K).view(batch, h, w, 2)
        flow = torch.where(mask[..., None], (induced - cell_uv) / stride, torch.zeros_like(induced))
        with record_function("rnnpose/update"):
            update = network.update(pair, hidden, cell_uv / stride, flow)
        hidden = update.hidden
        target_uv = cell_uv + (flow + update.delta) * stride
        weights = _weights(update.confidence_logit, update.similarity, weighting)
        weights = weights * mask * _inside(target_uv.detach(), camera)
        with record_function("rnnpose/solve"):
            step = robust_step(
                T,
                transform(T @ inverse(T_render), points_render),
                target_uv.flatten(1, 2),
                weights.flatten(1),
                K,
                centre_camera=transform(T, inputs.centre_object[:, None])[:, 0],
                diameter=inputs.diameter,
                config=solver,
            )
        T = step.T_camera_object
        outputs.append(
            IterationOutput(T, induced, target_uv, update.confidence_logit, update.similarity, weights, step)
        )
    return CycleOutput(
        tuple(outputs), cell_uv, depth, pair.correlation.levels[0], (pair.descriptors_render, pair.descriptors_photo)
    )


def _weights(confidence_logit: Tensor, similarity: Tensor, weighting: str) -> Tensor:
    if weighting == "confidence":
        return torch.sigmoid(confidence_logit)
    if weighting == "similarity":
        return similarity
    return torch.sigmoid(confidence_logit) * similarity


def _inside(target_uv: Tensor, camera: CameraIntrinsics) -> Tensor:
    """1 where a target lies in the crop: outside it nothing was compared."""
    u, v = target_uv.unbind(-1)
    return ((u > -0.5) & (v > -0.5) & (u < camera.width - 0.5) & (v < camera.height - 0.5)).to(target_uv.dtype)
