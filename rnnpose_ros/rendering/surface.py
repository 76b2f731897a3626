"""Values per vertex, seen at pixels: barycentric interpolation in closed form (RNNPose supplementary, section 1.1).

A backend says which face each pixel sees; all here follows from that, is differentiable in vertices, pose
and values (not through visibility), and touches only the pixels that are asked for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.rendering.renderer import ray_weights
from rnnpose_ros.types import Mesh

logger = logging.getLogger(__name__)

_GREY = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """What the closed form reads of a mesh, on one device."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    normals: Float[Tensor, "V 3"]
    """Per vertex: the mean of its faces' normals, weighted by their areas."""
    vertex_colors: Float[Tensor, "V 3"] | None
    """0..1"""
    corner_uvs: Float[Tensor, "F 3 2"] | None
    texture: Float[Tensor, "1 3 Ht Wt"] | None
    """0..1"""


@dataclass(frozen=True, slots=True, eq=False)
class VisiblePoints:
    """Surface points at pixels of one view."""

    pixel: Int[Tensor, "N"]
    """row * width + column, ascending."""
    face: Int[Tensor, "N"]
    corners: Int[Tensor, "N 3"]
    """Vertices of the face."""
    weights: Float[Tensor, "N 3"]
    """Barycentric."""

    def interpolate(self, values: Float[Tensor, "V C"]) -> Float[Tensor, "N C"]:
        """Values per vertex at the points."""
        return (values[self.corners] * self.weights[..., None].to(values.dtype)).sum(1)


def make_surface(mesh: Mesh, *, device: torch.device, name: str = "the mesh") -> Surface:
    """The surface of a mesh; says aloud when it has no texture.

    Args:
        mesh: In metres.
        device: Where it will be read.
        name: What messages call it.
    """
    if mesh.texture is None:
        instead = "grey" if mesh.vertex_colors is None else "its vertex colours"
        logger.warning("%s has no texture to compare with photographs: %s instead", name, instead)
    vertices, faces = mesh.vertices.to(device, torch.float32), mesh.faces.to(device, torch.int64)
    uvs, texture = (mesh.corner_uvs, mesh.texture) if mesh.corner_uvs is not None else (None, None)
    return Surface(
        vertices=vertices,
        faces=faces,
        normals=vertex_normals(vertices, faces),
        vertex_colors=None if mesh.vertex_colors is None else mesh.vertex_colors.to(device).float() / 255.0,
        corner_uvs=None if uvs is None else uvs.to(device, torch.float32),
        texture=None if texture is None else texture.to(device).permute(2, 0, 1)[None].float() / 255.0,
    )


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Unit normals per vertex, smooth everywhere: faces weigh by their areas."""
    p = vertices[faces]
    doubled_areas = torch.linalg.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    summed = torch.zeros_like(vertices).index_add(0, faces.reshape(-1), doubled_areas.repeat_interleave(3, 0))
    return F.normalize(summed, dim=-1, eps=1e-6)


def visible_points(
    face_ids: Int[Tensor, "H W"],
    surface: Surface,
    T_camera_object: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    *,
    pixels: Int[Tensor, "P"] | None = None,
) -> VisiblePoints:
    """The surface points at the covered pixels.

    Args:
        face_ids: From a renderer, at this pose and camera.
        surface: That was drawn.
        T_camera_object: The pose.
        K: The camera, integer pixel centres.
        pixels: Only these, ascending; all when None.
    """
    flat = face_ids.reshape(-1)
    seen = (flat >= 0).nonzero()[:, 0] if pixels is None else pixels[flat[pixels] >= 0]
    face = flat[seen].long()
    corners = surface.faces[face]
    p = transform(T_camera_object.double(), surface.vertices.double())[corners]
    v = torch.div(seen, face_ids.shape[1], rounding_mode="floor")
    u = seen - v * face_ids.shape[1]
    K = K.double()
    ray = torch.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], torch.ones_like(p[:, 0, 0])], -1)
    return VisiblePoints(pixel=seen, face=face, corners=corners, weights=ray_weights(p, ray).float())


def nearest_vertex_depth(
    points: VisiblePoints, surface: Surface, T_camera_object: Float[Tensor, "4 4"]
) -> Float[Tensor, "N"]:
    """The depth of each point's nearest corner (largest weight), metres: the published code's depth."""
    nearest = points.corners.gather(1, points.weights.argmax(1, keepdim=True))[:, 0]
    return transform(T_camera_object.double(), surface.vertices.double())[:, 2][nearest].float()


def albedo(points: VisiblePoints, surface: Surface) -> Float[Tensor, "N 3"]:
    """Unlit colour, 0..1: texture, else vertex colours, else grey.

    The texture is read as the published renderer does: bilinear, its outermost texel centres at 0 and 1,
    not repeated, and without a mip chain.
    """
    if surface.texture is not None and surface.corner_uvs is not None:
        uv = (surface.corner_uvs[points.face] * points.weights[..., None]).sum(1)
        grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], -1)[None, None]
        return F.grid_sample(surface.texture, grid, align_corners=True, padding_mode="border")[0, :, 0].T
    if surface.vertex_colors is not None:
        return points.interpolate(surface.vertex_colors)
    return torch.full_like(points.weights, _GREY)
