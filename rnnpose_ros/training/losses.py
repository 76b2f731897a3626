"""The losses that teach correspondence, confidence and pose together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.refinement.cycle import CycleOutput
from rnnpose_ros.training.recipe import Losses
from rnnpose_ros.training.targets import FieldTargets


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the losses."""

    decay: float = param(0.8, doc="Weight of an iteration relative to the next", bounds=(0.0, 1.0))
    flow: float = param(1.0, doc="L1 of the correspondence field, cells", bounds=(0.0, 100.0))
    hidden: float = param(0.1, doc="Weight of the field where the point is hidden", bounds=(0.0, 1.0))
    pose: float = param(5.0, doc="Point alignment, diameters", bounds=(0.0, 100.0))
    depth: float = param(0.4, doc="Weight of distances along z in the point alignment", bounds=(0.0, 10.0))
    confidence: float = param(0.2, doc="Cross-entropy of the confidence", bounds=(0.0, 100.0))
    matching: float = param(0.3, doc="Cross-entropy of the raw correlation volume", bounds=(0.0, 100.0))
    descriptor: float = param(0.1, doc="InfoNCE of the descriptors", bounds=(0.0, 100.0))
    teaching: float = param(0.3, doc="Divergence from a teacher's correlation, if there is one", bounds=(0.0, 100.0))
    temperature: float = param(0.1, doc="Of the descriptors' InfoNCE", bounds=(0.01, 10.0))


def refinement_losses(
    output: CycleOutput,
    targets: FieldTargets,
    T_camera_object: Float[Tensor, "B 4 4"],
    points_object: Float[Tensor, "B P 3"],
    diameter: Float[Tensor, "B"],
    *,
    config: LossConfig,
    pose_ramp: float = 1.0,
    taught: Float[Tensor, "M h w"] | None = None,
    stride: int = 8,
) -> Losses:
    """All losses of one cycle.

    Args:
        output: What the loop computed.
        targets: What the truth says.
        T_camera_object: The truth.
        points_object: Points on each object for the alignment loss, metres.
        diameter: Metres.
        config: Weights.
        pose_ramp: Factor on the pose loss, 0..1, while the field is still random.
        taught: A teacher's correlation of each render cell with the photograph's cells; None without a teacher.
        stride: Crop pixels per cell.
    """
    count = len(output.iterations)
    gamma = [config.decay ** (count - 1 - i) for i in range(count)]
    area = targets.visible + config.hidden * (targets.covered & ~targets.visible)
    truth = transform(T_camera_object.to(points_object), points_object)
    flow = pose = confidence = torch.zeros((), device=diameter.device)
    for weight, it in zip(gamma, output.iterations, strict=True):
        error = (it.target_uv - targets.target_uv).abs().sum(-1) / stride
        flow = flow + weight * _mean(error.clamp(max=30.0), area)
        pose = pose + weight * point_alignment(
            transform(it.T_camera_object, points_object), truth, diameter, depth=config.depth
        )
        assert it.confidence_logit is not None
        goal = targets.visible * torch.exp(-error.detach() / 0.7)
        entropy = F.binary_cross_entropy_with_logits(it.confidence_logit, goal, reduction="none")
        confidence = confidence + weight * _mean(entropy, targets.covered)
    assert output.descriptors is not None
    render, photo = output.descriptors
    size = render.shape[-1]
    similarity = (render.flatten(2).transpose(1, 2) @ photo.flatten(2)) / config.temperature
    descriptor = matching_entropy(similarity.reshape(-1, size, size), targets, stride=stride)
    matching = matching_entropy(output.correlation[:, 0], targets, stride=stride)
    total = (
        config.flow * flow
        + config.pose * pose_ramp * pose
        + config.confidence * confidence
        + config.matching * matching
        + config.descriptor * descriptor
    )
    teaching = torch.zeros((), device=diameter.device)
    if taught is not None:
        teaching = divergence(output.correlation[:, 0], taught, targets.covered)
        total = total + config.teaching * teaching
    last = output.iterations[-1]
    endpoint = (last.target_uv - targets.target_uv).norm(dim=-1) / stride
    parts = {
        "loss": float(total.detach()),
        "flow": float(flow.detach()),
        "pose": float(pose.detach()),
        "confidence": float(confidence.detach()),
        "matching": float(matching.detach()),
        "descriptor": float(descriptor.detach()),
        **({} if taught is None else {"teaching": float(teaching.detach())}),
        "epe_cells": float(_mean(endpoint.detach(), targets.visible)),
    }
    return Losses(total=total, parts=parts)


def point_alignment(
    points: Float[Tensor, "B P 3"], truth: Float[Tensor, "B P 3"], diameter: Float[Tensor, "B"], *, depth: float
) -> Float[Tensor, ""]:
    """Mean L1 distance of corresponding points in diameters; depth has a weight of its own, outliers are limited."""
    error = (points - truth).abs() / diameter[:, None, None]
    axes = torch.tensor([1.0, 1.0, depth], device=error.device, dtype=error.dtype)
    return (error * axes).sum(-1).clamp(max=3.0).mean()


def matching_entropy(logits: Float[Tensor, "M h w"], targets: FieldTargets, *, stride: int) -> Float[Tensor, ""]:
    """Cross-entropy of each visible render cell's scores over all photograph cells.

    The target distribution puts the bilinear weights on the four cells around the true position.
    """
    h, w = logits.shape[-2:]
    visible = targets.visible.flatten()
    cells = (targets.target_uv / stride).reshape(-1, 2)[visible]
    if cells.shape[0] == 0:
        return logits.sum() * 0.0
    log_probability = F.log_softmax(logits[visible].flatten(1), dim=1)
    cells = torch.stack([cells[:, 0].clamp(0, w - 1.001), cells[:, 1].clamp(0, h - 1.001)], -1)
    corner = cells.floor()
    fraction = cells - corner
    u, v = corner.long().unbind(-1)
    loss = torch.zeros_like(fraction[:, 0])
    for du in (0, 1):
        for dv in (0, 1):
            share = (fraction[:, 0] if du else 1 - fraction[:, 0]) * (fraction[:, 1] if dv else 1 - fraction[:, 1])
            picked = torch.gather(log_probability, 1, ((v + dv) * w + u + du)[:, None])[:, 0]
            loss = loss - share * picked
    return loss.mean()


def divergence(
    logits: Float[Tensor, "M h w"], taught: Float[Tensor, "M h w"], covered: Bool[Tensor, "B h w"]
) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of a teacher's distributions over the photograph's cells from the student's.

    Of a cell whose match is ambiguous or hidden the truth names one place, the teacher how likely each is (Hinton,
    Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015; temperature 1).
    """
    counted = covered.flatten()
    if not counted.any():
        return logits.sum() * 0.0
    student = F.log_softmax(logits[counted].flatten(1), dim=1)
    teacher = F.log_softmax(taught[counted].flatten(1), dim=1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def _mean(values: Float[Tensor, "B h w"], area: Float[Tensor, "B h w"] | Bool[Tensor, "B h w"]) -> Float[Tensor, ""]:
    """Weighted mean over the cells of all items."""
    area = area.to(values.dtype)
    return (values * area).sum() / area.sum().clamp_min(1.0)
