"""The Warp renderer against the reference ray caster, and what only it promises."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional

from rnnpose_ros.errors import AssetError, BackendUnavailableError, InputError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_so3
from rnnpose_ros.rendering.reference_renderer import ReferenceRenderer
from rnnpose_ros.rendering.renderer import barycentrics
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import CameraIntrinsics


def random_poses(seed: int, count: int, *, z: float = 0.4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    T = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    T[:, :3, :3] = exp_so3(2.0 * torch.randn(count, 3, generator=generator, dtype=torch.float64))
    T[:, :2, 3] = 0.04 * torch.randn(count, 2, generator=generator, dtype=torch.float64)
    T[:, 2, 3] = z
    return T


@pytest.fixture
def camera() -> CameraIntrinsics:
    return intrinsics(92.0, 90.0, 23.3, 15.8, width=48, height=32)


@pytest.mark.parametrize("textured", [False, True])
@pytest.mark.parametrize("z", [0.4, 0.1])
def test_random_meshes_look_as_the_reference_says(warp_renderer, random_mesh, camera, textured, z):
    reference = ReferenceRenderer()
    pixels = strangers = 0
    for seed in range(6):
        mesh = random_mesh(seed, textured=textured)
        values = [torch.cat([mesh.vertices, mesh.vertices.sin()], 1)]
        T = random_poses(seed, 1, z=z)
        seen = warp_renderer.render([warp_renderer.upload(mesh)], T, camera, attributes=values)
        expected = reference.render([mesh], T, camera, attributes=values)
        agree = seen.face_ids == expected.face_ids
        pixels += agree.numel()
        strangers += int((~agree).sum())
        torch.testing.assert_close(seen.depth[agree], expected.depth[agree], atol=1e-6, rtol=1e-5)
        both = agree[0]
        torch.testing.assert_close(seen.attributes[0, :, both], expected.attributes[0, :, both], atol=1e-5, rtol=0)
        # Half a grey value: the Warp renderer keeps its mip chain in 8 bits.
        torch.testing.assert_close(seen.color[0, :, both], expected.color[0, :, both], atol=0.5 / 255, rtol=0)
    assert strangers <= 1e-4 * pixels


def test_pixel_centres_on_shared_edges_belong_to_exactly_one_face(warp_renderer, make_mesh):
    # Every vertex of the grid lies on a pixel centre, and every diagonal runs through pixel centres.
    rows, columns = torch.meshgrid(torch.arange(0, 17, 4.0), torch.arange(0, 17, 4.0), indexing="ij")
    vertices = torch.stack([columns / 32, rows / 32, torch.ones_like(rows)], -1).reshape(-1, 3)
    a = (torch.arange(4)[:, None] * 5 + torch.arange(4)).reshape(-1)
    faces = torch.cat([torch.stack([a, a + 1, a + 6], -1), torch.stack([a, a + 6, a + 5], -1)])
    camera = intrinsics(32.0, 32.0, 2.0, 3.0, width=24, height=24)
    hits = torch.zeros(24, 24)
    for face in faces:
        alone = warp_renderer.upload(make_mesh(vertices, face[None]))
        hits += warp_renderer.render([alone], torch.eye(4)[None], camera).face_ids[0] >= 0
    expected = torch.zeros(24, 24)
    expected[3:19, 2:18] = 1  # top and left borders drawn, bottom and right ones not
    assert torch.equal(hits, expected)


def test_a_closed_surface_has_no_hole_however_it_is_turned(warp_renderer, sphere):
    camera = intrinsics(400.0, 400.0, 63.5, 63.5, width=128, height=128)
    T = random_poses(5, 8, z=0.8)
    T[:, :2, 3] = 0
    covered = warp_renderer.render([warp_renderer.upload(sphere)], T, camera).depth > 0
    outside = functional.max_pool2d((~covered).float()[:, None], 3, stride=1, padding=1)[:, 0]
    lonely_holes = ~covered & (functional.avg_pool2d(covered.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0.85)
    assert int(covered.sum()) > 8 * 7000
    assert int(outside.sum()) > 0
    assert int(lonely_holes.sum()) == 0


def test_a_batch_of_different_meshes_equals_one_render_each(warp_renderer, random_mesh):
    meshes = [warp_renderer.upload(random_mesh(seed, faces=20 + 15 * seed, textured=seed != 1)) for seed in range(3)]
    values = [mesh.vertices * (i + 1.0) for i, mesh in enumerate(meshes)]
    T = random_poses(3, 3)
    K = torch.cat([intrinsics(80.0 + 9 * i, 85.0, 24.0, 15.0 + i, width=48, height=32).K for i in range(3)])
    together = warp_renderer.render(meshes, T, CameraIntrinsics(K=K, height=32, width=48), attributes=values)
    for i in range(3):
        camera = CameraIntrinsics(K=K[i : i + 1], height=32, width=48)
        alone = warp_renderer.render([meshes[i]], T[i : i + 1], camera, attributes=[values[i]])
        for name in ("depth", "face_ids", "color", "attributes"):
            assert torch.equal(getattr(together, name)[i], getattr(alone, name)[0]), name


def test_one_mesh_at_many_poses_equals_the_mesh_repeated(warp_renderer, random_mesh, camera):
    mesh = warp_renderer.upload(random_mesh(1, textured=True))
    T = random_poses(4, 5)
    once = warp_renderer.render([mesh], T, camera, attributes=[mesh.vertices])
    repeated = warp_renderer.render([mesh] * 5, T, camera, attributes=[mesh.vertices] * 5)
    for name in ("depth", "face_ids", "color", "attributes"):
        assert torch.equal(getattr(once, name), getattr(repeated, name)), name


def test_depth_and_attributes_equal_the_closed_form(warp_renderer, random_mesh, camera):
    mesh = random_mesh(7)
    T = random_poses(7, 2)
    buffers = warp_renderer.render([warp_renderer.upload(mesh)], T, camera, attributes=[mesh.vertices])
    points = mesh.vertices.double() @ T[:, :3, :3].mT + T[:, None, :3, 3]
    b, z = barycentrics(buffers.face_ids, points[:, mesh.faces], camera)
    torch.testing.assert_close(buffers.depth, z.float(), atol=1e-6, rtol=0)
    corners = mesh.vertices[mesh.faces][buffers.face_ids.clamp_min(0).long()]
    expected = (b.float()[..., None] * corners).sum(-2).permute(0, 3, 1, 2)
    torch.testing.assert_close(buffers.attributes[:, 3:], expected, atol=1e-6, rtol=0)


def test_two_runs_give_the_same_bits(warp_renderer, random_mesh, camera):
    mesh = warp_renderer.upload(random_mesh(2, textured=True))
    T = random_poses(2, 2)
    first, second = (warp_renderer.render([mesh], T, camera) for _ in range(2))
    assert torch.equal(first.color, second.color)
    assert torch.equal(first.depth, second.depth)


def test_threads_may_share_a_renderer(warp_renderer, random_mesh, camera):
    meshes = [warp_renderer.upload(random_mesh(seed)) for seed in range(4)]
    T = random_poses(9, 1)
    expected = [warp_renderer.render([mesh], T, camera).depth for mesh in meshes]
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda i: warp_renderer.render([meshes[i % 4]], T, camera).depth, range(40)))
    assert all(torch.equal(seen[i], expected[i % 4]) for i in range(40))


def test_numbers_of_meshes_that_do_not_fit_are_refused(warp_renderer, make_quad, camera):
    mesh = warp_renderer.upload(make_quad())
    T = random_poses(0, 3)
    with pytest.raises(InputError, match="1 or 3 meshes"):
        warp_renderer.render([mesh, mesh], T, camera)
    with pytest.raises(InputError, match="attributes"):
        warp_renderer.render([mesh], T, camera, attributes=[torch.zeros(7, 2)])


def test_faces_beyond_the_vertices_are_refused(warp_renderer, make_quad):
    mesh = make_quad()
    mesh.faces[0, 0] = 4
    with pytest.raises(AssetError, match="vertices 0 to 4"):
        warp_renderer.upload(mesh)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_with_the_remedy():
    with pytest.raises(BackendUnavailableError, match="--device cpu"):
        WarpRenderer("cuda")


def test_constructing_says_nothing_and_importing_starts_nothing():
    script = (
        "import warp, rnnpose_ros.rendering.warp_renderer as module\n"
        "assert warp._src.context.runtime is None\n"
        "module.WarpRenderer()\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_sees_what_the_cpu_sees(warp_renderer, random_mesh, camera):
    mesh = random_mesh(3, textured=True)
    cuda = WarpRenderer("cuda")
    T = random_poses(3, 2)
    expected = warp_renderer.render([warp_renderer.upload(mesh)], T, camera, attributes=[mesh.vertices])
    seen = cuda.render([cuda.upload(mesh)], T, camera, attributes=[mesh.vertices])
    assert torch.equal(seen.face_ids.cpu(), expected.face_ids)
    torch.testing.assert_close(seen.depth.cpu(), expected.depth, atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.attributes.cpu(), expected.attributes, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.color.cpu(), expected.color, atol=1e-4, rtol=0)
