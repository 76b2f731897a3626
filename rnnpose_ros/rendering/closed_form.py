"""The maps of a view in closed form, in torch, for backends that only say which face each pixel sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rnnpose_ros.rendering.renderer import ray_weights
from rnnpose_ros.rendering.texture import MipChain
from rnnpose_ros.types import Mesh, RenderBuffers

_GREY = 0.7
_STEP_PX = 1e-3
"""How far away the neighbouring rays are that say how fast texture coordinates change."""


@dataclass(frozen=True, slots=True, eq=False)
class TorchMesh:
    """A mesh on a device, with its texture's mip chain."""

    vertices: Float[Tensor, "V 3"]
    """float64."""
    faces: Int[Tensor, "F 3"]
    corner_normals: Float[Tensor, "F 3 3"]
    vertex_colors: Float[Tensor, "V 3"] | None
    """0..1"""
    corner_uvs: Float[Tensor, "F 3 2"] | None
    texture: MipChain | None


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The covered pixels of a view."""

    pixel: Int[Tensor, "N"]
    """row * width + column"""
    face: Int[Tensor, "N"]
    corners: Float[Tensor, "N 3 3"]
    """Camera frame."""
    ray: Float[Tensor, "N 3"]
    weights: Float[Tensor, "N 3"]
    """Barycentric."""


def upload_mesh(mesh: Mesh, *, device: torch.device) -> TorchMesh:
    """The mesh on the device; it must have passed ``checks.check_mesh``."""
    uvs, texture = (mesh.corner_uvs, mesh.texture) if mesh.corner_uvs is not None else (None, None)
    return TorchMesh(
        vertices=mesh.vertices.detach().to(device, torch.float64),
        faces=mesh.faces.detach().to(device, torch.int64),
        corner_normals=mesh.corner_normals.detach().to(device, torch.float64),
        vertex_colors=None if mesh.vertex_colors is None else mesh.vertex_colors.to(device).float() / 255.0,
        corner_uvs=None if uvs is None else uvs.detach().to(device, torch.float64),
        texture=None if texture is None else MipChain.of(texture.to(device)),
    )


def empty_buffers(batch: int, height: int, width: int, *, channels: int, device: torch.device) -> RenderBuffers:
    """Views of nothing; ``channels`` counts the attributes without the normal."""
    return RenderBuffers(
        depth=torch.zeros(batch, height, width, device=device),
        color=torch.zeros(batch, 3, height, width, device=device),
        attributes=torch.zeros(batch, 3 + channels, height, width, device=device),
        face_ids=torch.full((batch, height, width), -1, dtype=torch.int32, device=device),
    )


def draw_view(
    buffers: RenderBuffers,
    item: int,
    mesh: TorchMesh,
    T_camera_object: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    *,
    values: Float[Tensor, "V C"] | None,
) -> None:
    """Fills in one view's depth, colour and attributes; its face ids are there, the rest is zero.

    Args:
        buffers: Of the batch.
        item: Which view.
        mesh: That was drawn.
        T_camera_object: Its pose, float64.
        K: The camera, float64.
        values: Per vertex, to interpolate.
    """
    seen = _seen_points(buffers.face_ids[item], mesh, T_camera_object, K)
    b = seen.weights
    width = buffers.depth.shape[2]
    row, column = torch.div(seen.pixel, width, rounding_mode="floor"), seen.pixel % width
    buffers.depth[item, row, column] = (b * seen.corners[..., 2]).sum(-1).float()
    buffers.color[item, :, row, column] = _albedo(mesh, seen, K).T.float()
    buffers.attributes[item, :3, row, column] = _normals(mesh, seen, T_camera_object).T.float()
    if values is not None:
        blended = (values.double()[mesh.faces[seen.face]] * b[..., None]).sum(1)
        buffers.attributes[item, 3:, row, column] = blended.T.float()


def _seen_points(face_ids: Int[Tensor, "H W"], mesh: TorchMesh, T: Float[Tensor, "4 4"], K: Tensor) -> _Seen:
    """Weights are kept inside of the face: a pixel counted in from just outside an edge reads the edge."""
    flat = face_ids.reshape(-1)
    (pixel,) = (flat >= 0).nonzero(as_tuple=True)
    face = flat[pixel].long()
    corners = (mesh.vertices @ T[:3, :3].T + T[:3, 3])[mesh.faces[face]]
    u, v = pixel % face_ids.shape[1], torch.div(pixel, face_ids.shape[1], rounding_mode="floor")
    ray = torch.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], torch.ones_like(corners[:, 0, 0])], -1)
    weights = ray_weights(corners, ray).clamp_min(0.0)
    return _Seen(pixel, face, corners, ray, weights / weights.sum(-1, keepdim=True).clamp_min(1e-12))


def _normals(mesh: TorchMesh, seen: _Seen, T: Float[Tensor, "4 4"]) -> Float[Tensor, "N 3"]:
    """Unit, in the camera frame, against the ray."""
    blended = (mesh.corner_normals[seen.face] * seen.weights[..., None]).sum(1)
    normals = functional.normalize(blended @ T[:3, :3].T, dim=-1)
    return torch.where((normals * seen.ray).sum(-1, keepdim=True) > 0, -normals, normals)


def _albedo(mesh: TorchMesh, seen: _Seen, K: Float[Tensor, "3 3"]) -> Float[Tensor, "N 3"]:
    """Texture, else vertex colours, else grey."""
    if mesh.texture is not None and mesh.corner_uvs is not None:
        corner_uvs = mesh.corner_uvs[seen.face]
        uv, steps = (corner_uvs * seen.weights[..., None]).sum(1), torch.eye(2, 3).to(K)
        here = ray_weights(seen.corners, seen.ray)
        moved = [
            (corner_uvs * (ray_weights(seen.corners, seen.ray + step * (_STEP_PX / f)) - here)[..., None]).sum(1)
            for step, f in zip(steps, (K[0, 0], K[1, 1]), strict=True)
        ]
        area = (moved[0][:, 0] * moved[1][:, 1] - moved[0][:, 1] * moved[1][:, 0]).abs() / _STEP_PX**2
        return mesh.texture.read(uv, area) / 255.0
    if mesh.vertex_colors is not None:
        return (mesh.vertex_colors[mesh.faces[seen.face]] * seen.weights[..., None].float()).sum(1)
    return torch.full_like(seen.ray, _GREY)
