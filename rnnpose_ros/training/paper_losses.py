"""The published losses of pose and correspondence (RNNPose supplementary, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.camera import NEAR_M, backproject, pixel_grid
from rnnpose_ros.geometry.flow import induced_uv
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.refinement.field import inside_crop
from rnnpose_ros.training.targets import DEPTH_TOLERANCE, FieldTargets
from rnnpose_ros.types import CameraIntrinsics

_LONGEST_PX = 400.0


@dataclass(frozen=True, slots=True)
class PaperLossConfig:
    """Weights of the losses; pose and flow are summed over all iterations of all cycles."""

    pose: float = param(1.0, doc="Point alignment, metres", bounds=(0.0, 1000.0))
    flow: float = param(0.5, doc="L1 of the correspondence field, crop pixels", bounds=(0.0, 1000.0))
    circle: float = param(1.0, doc="Circle loss of the descriptors", bounds=(0.0, 1000.0))
    matching: float = param(
        0.0,
        doc="Cross-entropy of the raw correlation, as in the generic recipe; not published, speeds up the start",
        bounds=(0.0, 1000.0),
    )


@dataclass(frozen=True, slots=True, eq=False)
class DenseTargets:
    """Where the truth puts every pixel of a render."""

    target_uv: Float[Tensor, "B H W 2"]
    """Crop pixels."""
    counted: Bool[Tensor, "B H W"]
    """The render shows the object, the true point lies before the camera, and within 400 px."""
    depth_true: Float[Tensor, "B H W"]
    """Depth of the rendered surface points at the truth, metres."""


def alignment_loss(
    T_camera_object: Float[Tensor, "B 4 4"], T_true: Float[Tensor, "B 4 4"], points_object: Float[Tensor, "N 3"]
) -> Float[Tensor, ""]:
    """``mean over the points of |X - X*|_1``, metres: the same points at both poses."""
    estimated, true = (transform(T, points_object.expand(len(T), -1, -1)) for T in (T_camera_object, T_true))
    return (estimated - true).abs().sum(-1).mean()


def dense_targets(
    depth: Float[Tensor, "B H W"],
    camera: CameraIntrinsics,
    *,
    T_render: Float[Tensor, "B 4 4"],
    T_true: Float[Tensor, "B 4 4"],
) -> DenseTargets:
    """Follows every rendered surface point to the photograph; hidden ones too, as published.

    Args:
        depth: Of the render, metres; 0 = no object.
        camera: Of the crops.
        T_render: Poses of the render.
        T_true: The truth.
    """
    count, height, width = depth.shape
    depth, K = depth.double(), camera.K.to(depth.device, torch.float64)
    T_render, T_true = T_render.to(K), T_true.to(K)
    uv = pixel_grid(height, width, device=depth.device, dtype=torch.float64).expand(count, height, width, 2)
    points = backproject(depth, uv, K).flatten(1, 2)
    z = transform(T_true @ inverse(T_render), points)[..., 2].view_as(depth)
    target = induced_uv(points, T_true, T_render, K).view_as(uv)
    near = (target - uv).norm(dim=-1) < _LONGEST_PX
    return DenseTargets(target.float(), (depth > 0) & (z > NEAR_M) & near, z.float())


def cell_targets(
    targets: DenseTargets,
    camera: CameraIntrinsics,
    *,
    stride: int,
    photo_depth: Float[Tensor, "B S S"],
    photo_camera: CameraIntrinsics,
    diameter: float,
) -> FieldTargets:
    """The dense targets at the encoders' cells, and which of these the photograph shows inside the crop.

    Args:
        targets: Of the crop's pixels.
        camera: Of the crops.
        stride: Crop pixels per cell.
        photo_depth: Of the object's visible surface in the photographs that the crops are cut from, metres.
        photo_camera: Of these photographs.
        diameter: Of the object, metres.
    """
    uv, z, covered = (x[:, ::stride, ::stride] for x in (targets.target_uv, targets.depth_true, targets.counted))
    K, K_photo = (k.to(uv)[:, None, None] for k in (camera.K, photo_camera.K))
    focal, focal_photo = (k[..., :2, :2].diagonal(dim1=-2, dim2=-1) for k in (K, K_photo))
    in_photo = ((uv - K[..., :2, 2]) / focal * focal_photo + K_photo[..., :2, 2]).round()
    limits = uv.new_tensor([photo_camera.width, photo_camera.height])
    inside = (inside_crop(uv, camera) > 0) & ((in_photo >= 0) & (in_photo < limits)).all(-1)
    u, v = torch.where(inside[..., None], in_photo, torch.zeros_like(in_photo)).long().unbind(-1)
    seen = photo_depth[torch.arange(len(uv), device=uv.device)[:, None, None], v, u]
    close = (seen > 0) & ((z - seen).abs() < DEPTH_TOLERANCE * diameter)
    return FieldTargets(target_uv=uv, covered=covered, visible=covered & inside & close)


def flow_loss(target_uv: Float[Tensor, "B H W 2"], targets: DenseTargets) -> Float[Tensor, ""]:
    """``|u - u*|`` where it counts, the mean over both axes of *all* pixels of the crop."""
    error = (target_uv - targets.target_uv).abs().sum(-1)
    return torch.where(targets.counted, error, torch.zeros_like(error)).mean() / 2


def endpoint_error(target_uv: Float[Tensor, "B H W 2"], targets: DenseTargets) -> Float[Tensor, ""]:
    """Mean distance where it counts, crop pixels: for the log."""
    error = (target_uv - targets.target_uv).detach().norm(dim=-1) * targets.counted
    return error.sum() / targets.counted.sum().clamp_min(1)
