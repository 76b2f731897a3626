"""Pinhole projection. Pixels are ``uv`` with integers at pixel centres."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.types import CameraIntrinsics

NEAR_M = 0.01
"""Depths below this are clamped in projections; the renderers clip their triangles here too."""


def intrinsics(
    fx: float, fy: float, cx: float, cy: float, *, width: int, height: int, dtype: torch.dtype = torch.float64
) -> CameraIntrinsics:
    """One camera (B = 1) from its four numbers in pixels."""
    K = torch.tensor([[[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]], dtype=dtype)
    return CameraIntrinsics(K=K, height=height, width=width)


def project(points_camera: Float[Tensor, "B *N 3"], K: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B *N 2"]:
    """Pixels of points in the camera frame; depths below ``NEAR_M`` are clamped to it."""
    shape = (-1,) + (1,) * (points_camera.dim() - 2)
    fx, fy, cx, cy = (K[:, i, j].reshape(shape) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x, y, z = points_camera.unbind(-1)
    z = z.clamp_min(NEAR_M)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], -1)


def backproject(
    depth: Float[Tensor, "B *N"], uv: Float[Tensor, "B *N 2"], K: Float[Tensor, "B 3 3"]
) -> Float[Tensor, "B *N 3"]:
    """Points in the camera frame of pixels with depth in metres."""
    shape = (-1,) + (1,) * (depth.dim() - 1)
    fx, fy, cx, cy = (K[:, i, j].reshape(shape) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    u, v = uv.unbind(-1)
    return torch.stack([(u - cx) / fx * depth, (v - cy) / fy * depth, depth], -1)


def pixel_grid(
    height: int, width: int, *, stride: int = 1, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "h w 2"]:
    """The pixels ``(stride * i, stride * j)`` of an image: the cell centres of a stride-s encoder."""
    v = torch.arange(0, height, stride, device=device, dtype=dtype)
    u = torch.arange(0, width, stride, device=device, dtype=dtype)
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)
