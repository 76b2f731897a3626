"""What the truth says about every cell of a render: where it should be found and whether it can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.geometry.camera import backproject, project
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.types import TrainingBatch

DEPTH_TOLERANCE = 0.03
"""Of the diameter: a point this far behind the photograph's visible surface is hidden."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldTargets:
    """True correspondence of every cell."""

    target_uv: Float[Tensor, "B h w 2"]
    """Crop pixels."""
    covered: Bool[Tensor, "B h w"]
    """The render shows the object here."""
    visible: Bool[Tensor, "B h w"]
    """The same surface point can be seen in the photograph, inside the crop."""


def field_targets(
    batch: TrainingBatch, depth: Float[Tensor, "B h w"], cell_uv: Float[Tensor, "h w 2"], diameter: Float[Tensor, "B"]
) -> FieldTargets:
    """Follows each rendered surface point to the photograph.

    Args:
        batch: Photographs and truth.
        depth: Of the render at the initial pose, at the cells.
        cell_uv: Crop pixel of each cell.
        diameter: Of the objects, metres.
    """
    count, h, w = depth.shape
    K = batch.camera.K.to(depth)
    points = backproject(depth, cell_uv.expand(count, h, w, 2), K).flatten(1, 2)
    move = batch.T_camera_object @ inverse(batch.T_camera_object_initial)
    points_true = transform(move.to(depth), points)
    uv = project(points_true, K)
    covered = (depth > 0) & batch.valid[:, None, None]
    size = batch.camera.height
    u, v = uv.round().long().unbind(-1)
    inside = (u >= 0) & (v >= 0) & (u < size) & (v < size)
    flat = batch.photo_depth.flatten(1)
    seen = torch.gather(flat, 1, v.clamp(0, size - 1) * size + u.clamp(0, size - 1))
    close = (points_true[..., 2] - seen).abs() < DEPTH_TOLERANCE * diameter[:, None]
    visible = (inside & (seen > 0) & close).view(count, h, w) & covered
    return FieldTargets(target_uv=uv.view(count, h, w, 2), covered=covered, visible=visible)
