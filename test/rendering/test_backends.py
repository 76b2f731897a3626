"""Every backend against the reference ray caster and the closed form, on meshes nobody drew by hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional

from rnnpose_ros.errors import AssetError, InputError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_se3, transform
from rnnpose_ros.rendering.reference_renderer import ReferenceRenderer
from rnnpose_ros.rendering.renderer import barycentrics
from rnnpose_ros.types import CameraIntrinsics

FACE = torch.tensor([[0, 1, 2]])


@pytest.mark.parametrize("textured", [False, True])
@pytest.mark.parametrize("z", [0.4, 0.1])
def test_random_meshes_look_as_the_reference_says(backend, random_poses, random_mesh, camera, textured, z):
    reference = ReferenceRenderer()
    pixels = strangers = 0
    for seed in range(6):
        mesh = random_mesh(seed, textured=textured)
        values = [torch.cat([mesh.vertices, mesh.vertices.sin()], 1)]
        T = random_poses(seed, 1, z=z)
        seen = backend.render([backend.upload(mesh)], T, camera, attributes=values)
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


def test_a_closed_surface_has_no_hole_however_it_is_turned(backend, random_poses, sphere):
    camera = intrinsics(400.0, 400.0, 63.5, 63.5, width=128, height=128)
    T = random_poses(5, 8, z=0.8)
    T[:, :2, 3] = 0
    covered = backend.render([backend.upload(sphere)], T, camera).depth > 0
    outside = functional.max_pool2d((~covered).float()[:, None], 3, stride=1, padding=1)[:, 0]
    lonely_holes = ~covered & (functional.avg_pool2d(covered.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0.85)
    assert int(covered.sum()) > 8 * 7000
    assert int(outside.sum()) > 0
    assert int(lonely_holes.sum()) == 0


def test_a_batch_of_different_meshes_equals_one_render_each(backend, random_poses, random_mesh):
    meshes = [backend.upload(random_mesh(seed, faces=20 + 15 * seed, textured=seed != 1)) for seed in range(3)]
    values = [mesh.vertices * (i + 1.0) for i, mesh in enumerate(meshes)]
    T = random_poses(3, 3)
    K = torch.cat([intrinsics(80.0 + 9 * i, 85.0, 24.0, 15.0 + i, width=48, height=32).K for i in range(3)])
    together = backend.render(meshes, T, CameraIntrinsics(K=K, height=32, width=48), attributes=values)
    for i in range(3):
        camera = CameraIntrinsics(K=K[i : i + 1], height=32, width=48)
        alone = backend.render([meshes[i]], T[i : i + 1], camera, attributes=[values[i]])
        for name in ("depth", "face_ids", "color", "attributes"):
            assert torch.equal(getattr(together, name)[i], getattr(alone, name)[0]), name


def test_one_mesh_at_many_poses_equals_the_mesh_repeated(backend, random_poses, random_mesh, camera):
    mesh = backend.upload(random_mesh(1, textured=True))
    T = random_poses(4, 5)
    once = backend.render([mesh], T, camera, attributes=[mesh.vertices])
    repeated = backend.render([mesh] * 5, T, camera, attributes=[mesh.vertices] * 5)
    for name in ("depth", "face_ids", "color", "attributes"):
        assert torch.equal(getattr(once, name), getattr(repeated, name)), name


def test_depth_and_attributes_equal_the_closed_form(backend, random_poses, random_mesh, camera):
    mesh = random_mesh(7)
    T = random_poses(7, 2)
    buffers = backend.render([backend.upload(mesh)], T, camera, attributes=[mesh.vertices])
    points = mesh.vertices.double() @ T[:, :3, :3].mT + T[:, None, :3, 3]
    b, z = barycentrics(buffers.face_ids, points[:, mesh.faces], camera)
    torch.testing.assert_close(buffers.depth, z.float(), atol=1e-6, rtol=0)
    corners = mesh.vertices[mesh.faces][buffers.face_ids.clamp_min(0).long()]
    expected = (b.float()[..., None] * corners).sum(-2).permute(0, 3, 1, 2)
    torch.testing.assert_close(buffers.attributes[:, 3:], expected, atol=1e-6, rtol=0)


def test_two_runs_give_the_same_bits(backend, random_poses, random_mesh, camera):
    mesh = backend.upload(random_mesh(2, textured=True))
    T = random_poses(2, 2)
    first, second = (backend.render([mesh], T, camera) for _ in range(2))
    assert torch.equal(first.color, second.color)
    assert torch.equal(first.depth, second.depth)


def test_threads_may_share_a_renderer(backend, random_poses, random_mesh, camera):
    meshes = [backend.upload(random_mesh(seed)) for seed in range(4)]
    T = random_poses(9, 1)
    expected = [backend.render([mesh], T, camera).depth for mesh in meshes]
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda i: backend.render([meshes[i % 4]], T, camera).depth, range(40)))
    assert all(torch.equal(seen[i], expected[i % 4]) for i in range(40))


def test_numbers_of_meshes_that_do_not_fit_are_refused(backend, random_poses, make_quad, camera):
    mesh = backend.upload(make_quad())
    T = random_poses(0, 3)
    with pytest.raises(InputError, match="1 or 3 meshes"):
        backend.render([mesh, mesh], T, camera)
    with pytest.raises(InputError, match="attributes"):
        backend.render([mesh], T, camera, attributes=[torch.zeros(7, 2)])


def test_faces_beyond_the_vertices_are_refused(backend, make_quad):
    mesh = make_quad()
    mesh.faces[0, 0] = 4
    with pytest.raises(AssetError, match="vertices 0 to 4"):
        backend.upload(mesh)


def test_no_pixel_between_faces_is_left_out_where_its_centre_lies_exactly_on_their_edge(backend, make_mesh):
    # Every vertex of the grid lies on a pixel centre, and every diagonal runs through pixel centres.
    rows, columns = torch.meshgrid(torch.arange(0, 17, 4.0), torch.arange(0, 17, 4.0), indexing="ij")
    vertices = torch.stack([columns / 32, rows / 32, torch.ones_like(rows)], -1).reshape(-1, 3)
    a = (torch.arange(4)[:, None] * 5 + torch.arange(4)).reshape(-1)
    faces = torch.cat([torch.stack([a, a + 1, a + 6], -1), torch.stack([a, a + 6, a + 5], -1)])
    camera = intrinsics(32.0, 32.0, 2.0, 3.0, width=24, height=24)
    drawn = backend.render([backend.upload(make_mesh(vertices, faces))], torch.eye(4)[None], camera).face_ids[0] >= 0
    assert bool(drawn[4:19, 3:18].all())
    assert int(drawn.sum()) <= 17 * 17


@pytest.mark.parametrize("size", [(24, 40), (40, 24)])
def test_pictures_of_any_shape_show_a_point_where_it_projects(backend, make_mesh, size):
    height, width = size
    camera = intrinsics(50.0, 60.0, 0.3 * width, 0.6 * height, width=width, height=height)
    for u, v in ((3, 5), (width - 2, 4), (6, height - 3)):
        point = torch.tensor([(u - 0.3 * width) / 50.0, (v - 0.6 * height) / 60.0, 1.0])
        mesh = make_mesh(point + 0.01 * torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 0.0]]), FACE)
        drawn = backend.render([backend.upload(mesh)], torch.eye(4)[None], camera).face_ids[0] >= 0
        assert drawn.nonzero().tolist() == [[v, u]]


def test_a_vertex_in_the_plane_of_the_camera_does_not_harm_its_faces(backend, make_mesh):
    # One corner has depth 0, another is behind; the visible part begins at the near plane.
    vertices = torch.tensor([[-0.51, 0.1, 0.0], [0.03, 0.11, 1.0], [0.52, 0.12, -0.43]])
    camera = intrinsics(64.0, 64.0, 15.5, 11.5, width=32, height=24)
    seen = backend.render([backend.upload(make_mesh(vertices, FACE))], torch.eye(4)[None], camera)
    expected = ReferenceRenderer().render([make_mesh(vertices, FACE)], torch.eye(4)[None], camera)
    assert torch.equal(seen.face_ids, expected.face_ids)
    assert int((seen.face_ids >= 0).sum()) > 20
    torch.testing.assert_close(seen.depth, expected.depth, atol=1e-6, rtol=0)


def test_gradients_of_the_closed_form_are_the_slopes_of_what_is_drawn(backend, sphere, camera):
    step, values = 1e-3, sphere.vertices
    uploaded = backend.upload(sphere)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, 3] = torch.tensor([0.01, -0.02, 0.4])
    moves = step * torch.cat([torch.eye(6), -torch.eye(6), torch.zeros(1, 6)]).double()
    buffers = backend.render([uploaded], exp_se3(moves) @ pose, camera, attributes=[values])
    faces = buffers.face_ids[-1]
    inside = (buffers.face_ids == faces).all(0) & (faces >= 0) & (buffers.attributes[-1, 2] < -0.5)
    assert int(inside.sum()) > 200

    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    points = transform(exp_se3(twist) @ pose, sphere.vertices.double())
    b, z = barycentrics(faces[None], points[sphere.faces][None], camera)
    drawn = [buffers.depth, buffers.attributes[:, 3]]
    closed = [z[0], (b[0] * values.double()[sphere.faces[faces.clamp_min(0).long()]][..., 0]).sum(-1)]
    for maps, scalar in zip(drawn, closed, strict=True):
        sums = maps.double()[:, inside].mean(1)
        slopes = (sums[:6] - sums[6:12]) / (2 * step)
        (gradient,) = torch.autograd.grad(scalar[inside].mean(), twist, retain_graph=True)
        torch.testing.assert_close(gradient, slopes, atol=1e-4, rtol=1e-3)
