"""What a renderer promises, and the closed form that every backend's attributes must equal.

A backend decides which face is seen at each pixel centre (top-left rule on shared edges, triangles
clipped at the near plane, both sides drawn). Depth and attributes then follow in closed form from face,
pose and camera: with corners ``p_i`` in the camera frame and the ray ``d = K^-1 (u, v, 1)``,
``w_i = (p_j x p_k) . d``, ``b = w / sum w``, ``z = b . p_z``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnpose_ros.types import CameraIntrinsics, Mesh, RenderBuffers


@runtime_checkable
class Renderer(Protocol):
    """Draws meshes at poses. Constructing allocates nothing per mesh; ``upload`` does."""

    device: torch.device

    def upload(self, mesh: Mesh) -> Any:
        """The mesh on the device, ready to draw; keep it for as long as the object is in use."""
        ...

    def render(
        self,
        meshes: Sequence[Any],
        T_camera_object: Float[Tensor, "B 4 4"],
        camera: CameraIntrinsics,
        *,
        attributes: Sequence[Float[Tensor, "_ C"]] | None = None,
    ) -> RenderBuffers:
        """One view per pose.

        Args:
            meshes: B uploaded meshes (or one, drawn at every pose).
            T_camera_object: Poses, metres, any float dtype and device.
            camera: B cameras, or one for all; integer pixel centres.
            attributes: For each mesh, values per vertex to interpolate over the faces.

        Returns:
            float32 buffers on the renderer's device. ``color`` is unlit (texture, vertex colour, or 0.7
            grey); ``attributes`` starts with the unit normal in the camera frame, turned to the viewer.
        """
        ...


def barycentrics(
    face_ids: Int[Tensor, "B H W"],
    corners_camera: Float[Tensor, "B F 3 3"],
    camera: CameraIntrinsics,
) -> tuple[Float[Tensor, "B H W 3"], Float[Tensor, "B H W"]]:
    """Perspective-correct barycentric weights and depth of every covered pixel, in closed form.

    Differentiable in the corners (so in vertices and pose); not through visibility. Zero where
    ``face_ids`` is -1.

    Args:
        face_ids: Visible face of each pixel.
        corners_camera: The three corners of every face in the camera frame, metres.
        camera: The cameras of the views.
    """
    batch, height, width = face_ids.shape
    covered = face_ids >= 0
    index = face_ids.clamp_min(0).long().reshape(batch, -1, 1, 1).expand(-1, -1, 3, 3)
    p = torch.gather(corners_camera, 1, index).reshape(batch, height, width, 3, 3)
    v, u = torch.meshgrid(
        torch.arange(height, dtype=p.dtype, device=p.device),
        torch.arange(width, dtype=p.dtype, device=p.device),
        indexing="ij",
    )
    K = camera.K.to(p)
    fx, fy, cx, cy = (K[:, i, j].reshape(-1, 1, 1) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    ray = torch.stack(torch.broadcast_tensors((u - cx) / fx, (v - cy) / fy, torch.ones_like(u)), -1)
    b = ray_weights(p, ray.expand(batch, -1, -1, -1))
    b = torch.where(covered[..., None], b, torch.zeros_like(b))
    return b, (b * p[..., 2]).sum(-1)


def ray_weights(corners_camera: Float[Tensor, "*N 3 3"], ray: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3"]:
    """Barycentric weights of the points where rays from the camera meet their triangles.

    In float32 the cross products of far corners of small triangles cancel; give float64 where that matters.

    Args:
        corners_camera: Corners of each ray's triangle, camera frame.
        ray: Of any length. Rays in the triangle's plane get zeros.
    """
    p = corners_camera
    w = torch.stack(
        [(torch.linalg.cross(p[..., j, :], p[..., k, :]) * ray).sum(-1) for j, k in ((1, 2), (2, 0), (0, 1))], -1
    )
    total = w.sum(-1, keepdim=True)
    usable = total.abs() > 0
    return torch.where(usable, w / torch.where(usable, total, torch.ones_like(total)), torch.zeros_like(w))
