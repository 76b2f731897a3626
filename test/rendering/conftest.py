"""Renderers and small meshes whose pictures are known in advance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_so3
from rnnpose_ros.rendering.backends import RENDERERS
from rnnpose_ros.rendering.reference_renderer import ReferenceRenderer
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import CameraIntrinsics, Mesh


@pytest.fixture(scope="session")
def warp_renderer() -> WarpRenderer:
    return WarpRenderer("cpu")


@pytest.fixture(params=RENDERERS)
def backend(request: pytest.FixtureRequest) -> Renderer:
    """What a user can choose; skipped with the reason where its library is not here."""
    return request.getfixturevalue(f"{request.param}_renderer")


@pytest.fixture(params=[*RENDERERS, "reference"])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    """The same, and the ray caster that judges them."""
    return ReferenceRenderer() if request.param == "reference" else request.getfixturevalue(f"{request.param}_renderer")


@pytest.fixture
def camera() -> CameraIntrinsics:
    return intrinsics(92.0, 90.0, 23.3, 15.8, width=48, height=32)


@pytest.fixture(scope="session")
def random_poses() -> Callable[..., Tensor]:
    def build(seed: int, count: int, *, z: float = 0.4) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        T = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
        T[:, :3, :3] = exp_so3(2.0 * torch.randn(count, 3, generator=generator, dtype=torch.float64))
        T[:, :2, 3] = 0.04 * torch.randn(count, 2, generator=generator, dtype=torch.float64)
        T[:, 2, 3] = z
        return T

    return build


@pytest.fixture(scope="session")
def make_mesh() -> Callable[..., Mesh]:
    def build(vertices: Tensor, faces: Tensor, **surface: Tensor) -> Mesh:
        corners = vertices[faces.long()]
        flat = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = functional.normalize(flat, dim=-1)[:, None].expand(-1, 3, -1)
        return Mesh(vertices=vertices, faces=faces, corner_normals=normals, **surface)

    return build


@pytest.fixture(scope="session")
def make_quad(make_mesh: Callable[..., Mesh]) -> Callable[..., Mesh]:
    """A square of side 2 in the plane z = 0; the texture stands upright for a camera that looks along +z, y down."""

    def build(**surface: Tensor) -> Mesh:
        vertices = torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
        faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
        if "texture" in surface:
            vertex_uvs = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
            surface["corner_uvs"] = surface.get("corner_uvs", vertex_uvs[faces])
        return make_mesh(vertices, faces, **surface)

    return build


@pytest.fixture(scope="session")
def sphere() -> Mesh:
    """Radius 0.1 m, about 2,000 faces, smooth normals."""
    rings, sectors = 32, 32
    polar = torch.linspace(0, torch.pi, rings + 1).double()[:, None]
    azimuth = (torch.arange(sectors) * (2 * torch.pi / sectors)).double()[None]
    x, y = polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin()
    directions = torch.stack([x, y, polar.cos().expand_as(x)], -1).reshape(-1, 3)
    ring, sector = (
        grid.reshape(-1) for grid in torch.meshgrid(torch.arange(rings), torch.arange(sectors), indexing="ij")
    )
    right = (sector + 1) % sectors
    a, b = ring * sectors + sector, ring * sectors + right
    c, d = (ring + 1) * sectors + right, (ring + 1) * sectors + sector
    faces = torch.cat([torch.stack([a, d, c], -1), torch.stack([a, c, b], -1)])
    return Mesh(vertices=(0.1 * directions).float(), faces=faces, corner_normals=directions.float()[faces])


@pytest.fixture(scope="session")
def random_mesh(make_mesh: Callable[..., Mesh]) -> Callable[..., Mesh]:
    """A bush of triangles that pierce one another, with colours, texture and texture coordinates."""

    def build(seed: int, *, faces: int = 60, textured: bool = False) -> Mesh:
        generator = torch.Generator().manual_seed(seed)
        centres = torch.rand(faces, 1, 3, generator=generator) * 0.16 - 0.08
        vertices = (centres + 0.05 * torch.randn(faces, 3, 3, generator=generator)).reshape(-1, 3)
        surface = {"vertex_colors": torch.randint(0, 256, (3 * faces, 3), generator=generator, dtype=torch.uint8)}
        if textured:
            surface["texture"] = torch.randint(0, 256, (37, 52, 3), generator=generator, dtype=torch.uint8)
            surface["corner_uvs"] = torch.rand(faces, 3, 2, generator=generator) * 3.0 - 1.0
        return make_mesh(vertices, torch.arange(3 * faces).reshape(-1, 3), **surface)

    return build
