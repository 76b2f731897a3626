"""A slow ray caster that is easy to believe: it judges the other backends, and shares no code with them.

Every pixel's ray meets every face (Möller and Trumbore, 1997) in float64; the nearest hit in front of the near
plane wins, the lower face index among equals. A pixel exactly on an edge counts as inside both faces. Textures
are read at the level of a mip chain that follows from where the neighbouring rays meet the same face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.types import CameraIntrinsics, Mesh, RenderBuffers

_GREY = 0.7
_NEIGHBOUR_PX = 1e-4
"""How far away the neighbouring rays are from which the texture's scale is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """Where the P rays that hit something meet the mesh."""

    pixel: Int[Tensor, "P"]
    face: Int[Tensor, "P"]
    ray: Float[Tensor, "P 3"]
    depth: Float[Tensor, "P"]
    barycentrics: Float[Tensor, "P 3"]


class ReferenceRenderer:
    """Draws on the CPU, one pixel row after the other, in float64."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def upload(self, mesh: Mesh) -> Mesh:
        """The mesh itself: nothing needs to be prepared."""
        return mesh

    def render(
        self,
        meshes: Sequence[Mesh],
        T_camera_object: Float[Tensor, "B 4 4"],
        camera: CameraIntrinsics,
        *,
        attributes: Sequence[Float[Tensor, "_ C"]] | None = None,
    ) -> RenderBuffers:
        """One view per pose; see :class:`rnnpose_ros.rendering.renderer.Renderer`."""
        views = []
        for i, T in enumerate(T_camera_object.detach().cpu().double()):
            j = i if len(meshes) > 1 else 0
            K = camera.K[i if len(camera.K) > 1 else 0].detach().cpu().double()
            values = torch.zeros(len(meshes[j].vertices), 0) if attributes is None else attributes[j].detach().cpu()
            views.append(_view(meshes[j], T, K, values.double(), camera.height, camera.width))
        depth, color, attribute_maps, face_ids = (torch.stack(maps) for maps in zip(*views, strict=True))
        return RenderBuffers(
            depth=depth.float(), color=color.float(), attributes=attribute_maps.float(), face_ids=face_ids.int()
        )


def _view(
    mesh: Mesh, T: Float[Tensor, "4 4"], K: Float[Tensor, "3 3"], values: Float[Tensor, "V C"], height: int, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Depth, colour, attributes and face ids of one pose, float64."""
    depth = torch.zeros(height * width, dtype=torch.float64)
    color = torch.zeros(3, height * width, dtype=torch.float64)
    maps = torch.zeros(3 + values.shape[1], height * width, dtype=torch.float64)
    face_ids = torch.full((height * width,), -1)
    if bool(torch.isfinite(T).all()) and bool(torch.isfinite(K).all()):
        corners = (mesh.vertices.double() @ T[:3, :3].T + T[:3, 3])[mesh.faces.long()]
        for row in range(height):
            hits = _cast(corners, K, row, width)
            b = hits.barycentrics
            depth[hits.pixel] = hits.depth
            face_ids[hits.pixel] = hits.face
            color[:, hits.pixel] = _surface_color(mesh, corners, K, hits).T
            maps[:3, hits.pixel] = _normals(mesh, T, hits).T
            maps[3:, hits.pixel] = torch.einsum("pi,pic->cp", b, values[mesh.faces[hits.face].long()])
    shape = (height, width)
    return depth.reshape(shape), color.reshape(3, *shape), maps.reshape(-1, *shape), face_ids.reshape(shape)


def _rays(u: Float[Tensor, "P"], v: Float[Tensor, "P"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "P 3"]:
    return torch.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], torch.ones_like(u)], -1)


def _cast(corners: Float[Tensor, "F 3 3"], K: Float[Tensor, "3 3"], row: int, width: int) -> _Hits:
    """The nearest hits of one pixel row."""
    u = torch.arange(width, dtype=torch.float64)
    rays = _rays(u, torch.full_like(u, row), K)
    z, b = _meet(corners[None], rays[:, None])
    hit = (b >= 0).all(-1) & (z >= NEAR_M)
    nearest, face = torch.where(hit, z, torch.inf).min(1)
    seen = torch.isfinite(nearest).nonzero()[:, 0]
    face = face[seen]
    return _Hits(pixel=row * width + seen, face=face, ray=rays[seen], depth=nearest[seen], barycentrics=b[seen, face])


def _meet(
    corners: Float[Tensor, "*#P 3 3"], rays: Float[Tensor, "*#P 3"]
) -> tuple[Float[Tensor, "*#P"], Float[Tensor, "*#P 3"]]:
    """Depth and barycentrics where rays from the origin meet the planes of faces; NaN or infinite when parallel."""
    a, b, c = corners.unbind(-2)
    edge_ab, edge_ac = b - a, c - a
    across = torch.linalg.cross(rays, edge_ac)
    scale = 1.0 / (across * edge_ab).sum(-1)
    beta = -(a * across).sum(-1) * scale
    sideways = torch.linalg.cross(-a, edge_ab)
    gamma = (rays * sideways).sum(-1) * scale
    depth = (edge_ac * sideways).sum(-1) * scale * rays[..., 2]
    return depth, torch.stack([1.0 - beta - gamma, beta, gamma], -1)


def _normals(mesh: Mesh, T: Float[Tensor, "4 4"], hits: _Hits) -> Float[Tensor, "P 3"]:
    normals = torch.einsum("pi,pic->pc", hits.barycentrics, mesh.corner_normals[hits.face].double())
    normals = functional.normalize(normals @ T[:3, :3].T, dim=-1)
    return torch.where((normals * hits.ray).sum(-1, keepdim=True) > 0, -normals, normals)


def _surface_color(
    mesh: Mesh, corners: Float[Tensor, "F 3 3"], K: Float[Tensor, "3 3"], hits: _Hits
) -> Float[Tensor, "P 3"]:
    if mesh.texture is not None and mesh.corner_uvs is not None:
        return _texture_color(mesh.texture, mesh.corner_uvs[hits.face].double(), corners[hits.face], K, hits)
    if mesh.vertex_colors is not None:
        colors = mesh.vertex_colors[mesh.faces[hits.face].long()].double() / 255.0
        return torch.einsum("pi,pic->pc", hits.barycentrics, colors)
    return torch.full((len(hits.face), 3), _GREY, dtype=torch.float64)


def _texture_color(
    texture: Tensor, corner_uvs: Tensor, corners: Float[Tensor, "P 3 3"], K: Float[Tensor, "3 3"], hits: _Hits
) -> Float[Tensor, "P 3"]:
    """Trilinear, at the level of whose texels a pixel covers one by area."""
    uv = torch.einsum("pi,pic->pc", hits.barycentrics, corner_uvs)
    steps = torch.tensor([[_NEIGHBOUR_PX / K[0, 0], 0.0, 0.0], [0.0, _NEIGHBOUR_PX / K[1, 1], 0.0]]).double()
    beside = [torch.einsum("pi,pic->pc", _meet(corners, hits.ray + step)[1], corner_uvs) for step in steps]
    moved = torch.stack([(neighbour - uv) / _NEIGHBOUR_PX for neighbour in beside], -1)
    texels_per_pixel = torch.linalg.det(moved).abs() * texture.shape[0] * texture.shape[1]

    level_image = texture.permute(2, 0, 1)[None].double()
    chain = [level_image]
    while max(level_image.shape[2:]) > 1:
        level_image = functional.adaptive_avg_pool2d(level_image, _half(level_image))
        chain.append(level_image)
    level = (0.5 * torch.log2(texels_per_pixel)).clamp(0.0, len(chain) - 1.0)
    weights = (1.0 - (level[:, None] - torch.arange(len(chain))).abs()).clamp_min(0.0)
    colors = torch.stack([_bilinear(image[0], uv) for image in chain], 1)
    return (weights[..., None] * colors).sum(1) / 255.0


def _half(image: Float[Tensor, "1 3 Ht Wt"]) -> tuple[int, int]:
    return max(image.shape[2] // 2, 1), max(image.shape[3] // 2, 1)


def _bilinear(image: Float[Tensor, "3 Ht Wt"], uv: Float[Tensor, "P 2"]) -> Float[Tensor, "P 3"]:
    """Repeats beyond the sides; texel centres at (i + 0.5) / n, v upwards."""
    height, width = image.shape[1:]
    x, y = uv[:, 0] * width - 0.5, (1.0 - uv[:, 1]) * height - 0.5
    color = torch.zeros(len(uv), 3, dtype=torch.float64)
    for column in (x.floor(), x.floor() + 1):
        for row in (y.floor(), y.floor() + 1):
            weight = (1.0 - (x - column).abs()) * (1.0 - (y - row).abs())
            color += weight[:, None] * image[:, row.long() % height, column.long() % width].T
    return color
