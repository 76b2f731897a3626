"""What every backend must draw, from pictures that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch

from rnnpose_ros.geometry.camera import NEAR_M, intrinsics, pixel_grid, project
from rnnpose_ros.geometry.se3 import exp_so3
from rnnpose_ros.types import CameraIntrinsics


def pose(
    *, x: float = 0.0, y: float = 0.0, z: float, turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = exp_so3(torch.tensor([turn], dtype=torch.float64))[0]
    T[:3, 3] = torch.tensor([x, y, z])
    return T[None]


@pytest.fixture
def camera() -> CameraIntrinsics:
    return intrinsics(64.0, 64.0, 15.5, 11.5, width=32, height=24)


def test_tilted_plane_has_the_depth_of_its_equation(renderer, make_quad, camera):
    T = pose(z=1.0, turn=(0.5, -0.4, 0.1))
    buffers = renderer.render([renderer.upload(make_quad())], T, camera)
    normal, point = T[0, :3, 2], T[0, :3, 3]
    u, v = pixel_grid(24, 32, dtype=torch.float64).unbind(-1)
    rays = torch.stack([(u - 15.5) / 64.0, (v - 11.5) / 64.0, torch.ones_like(u)], -1)
    expected = (normal @ point) / (rays @ normal)
    assert bool((buffers.face_ids >= 0).all())
    torch.testing.assert_close(buffers.depth[0].double(), expected, atol=1e-6, rtol=0)


def test_sphere_outline_lies_between_the_ball_and_the_chords_of_its_faces(renderer, sphere, camera):
    buffers = renderer.render([renderer.upload(sphere)], pose(z=0.7), camera)
    u, v = pixel_grid(24, 32).unbind(-1)
    tangent = torch.hypot(u - 15.5, v - 11.5) / 64.0
    outline = 0.1 / (0.7**2 - 0.1**2) ** 0.5
    covered = buffers.depth[0] > 0
    assert bool((tangent[covered] <= outline).all())
    assert bool(covered[tangent < 0.985 * outline].all())
    torch.testing.assert_close(buffers.depth[0].where(covered, 9.0).min(), torch.tensor(0.6), atol=1e-3, rtol=0)


def test_normals_point_from_the_centre_of_a_sphere_and_are_unit(renderer, sphere, camera):
    buffers = renderer.render([renderer.upload(sphere)], pose(z=0.7, turn=(0.3, 0.2, 0.1)), camera)
    covered = buffers.depth[0] > 0
    u, v = pixel_grid(24, 32).unbind(-1)
    points = torch.stack([(u - 15.5) / 64.0, (v - 11.5) / 64.0, torch.ones_like(u)], 0) * buffers.depth[0]
    outward = (points - torch.tensor([0.0, 0.0, 0.7])[:, None, None]) / 0.1
    normals = buffers.attributes[0, :3]
    torch.testing.assert_close(normals[:, covered], outward[:, covered], atol=0.03, rtol=0)
    torch.testing.assert_close(normals[:, covered].norm(dim=0), torch.ones(int(covered.sum())), atol=1e-5, rtol=0)


def test_normals_turn_to_the_viewer_on_the_back_of_a_face(renderer, make_quad, camera):
    mesh = renderer.upload(make_quad())
    for turn in ((0.0, 0.0, 0.0), (torch.pi, 0.0, 0.0)):
        buffers = renderer.render([mesh], pose(z=1.0, turn=turn), camera)
        assert bool((buffers.face_ids >= 0).all())
        assert float(buffers.attributes[0, 2].max()) < -0.99


def test_a_small_triangle_is_drawn_at_the_pixel_where_its_point_projects(renderer, make_mesh, camera):
    point = torch.tensor([[0.055, -0.0425, 0.8]])
    around = torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.5, 0.0]])
    size_m = 0.6 * 0.8 / 64.0
    mesh = make_mesh(point + around * size_m, torch.tensor([[0, 1, 2]]))
    buffers = renderer.render([renderer.upload(mesh)], torch.eye(4)[None], camera)
    u, v = project(point[None].double(), camera.K)[0, 0].round().long().tolist()
    assert (buffers.depth[0] > 0).nonzero().tolist() == [[v, u]]


def test_a_floor_that_runs_behind_the_camera_is_clipped_and_not_dropped(renderer, make_quad, camera):
    # The square is 2 m long and lies 0.1 m below the camera; half of it is behind.
    T = pose(y=0.1, z=0.0, turn=(torch.pi / 2, 0.0, 0.0))
    buffers = renderer.render([renderer.upload(make_quad())], T, camera)
    v = torch.arange(24, dtype=torch.float64)
    expected = 0.1 * 64.0 / (v - 11.5)
    seen = (expected > NEAR_M) & (expected < 1.0)
    assert int(seen.sum()) > 5
    torch.testing.assert_close(buffers.depth[0, seen, 16].double(), expected[seen], atol=1e-6, rtol=0)
    assert bool((buffers.depth[0, ~seen] == 0).all())


def test_nothing_nearer_than_the_near_plane_is_drawn(renderer, make_quad, camera):
    mesh = renderer.upload(make_quad())
    for z, drawn in ((0.9 * NEAR_M, False), (1.1 * NEAR_M, True), (-0.5, False)):
        # To the side: an edge of faces this large, exactly through pixel centres, is beyond float32 (PyTorch3D).
        buffers = renderer.render([mesh], pose(x=0.0007, z=z), camera)
        assert bool((buffers.depth > 0).all()) is drawn
        assert bool((buffers.face_ids >= 0).any()) is drawn


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("row_column", [(0, 0), (0, 3), (2, 3)])
def test_a_pose_that_is_not_finite_gives_an_empty_view_and_spares_its_neighbour(
    renderer, make_quad, camera, value, row_column
):
    T = pose(z=1.0).repeat(2, 1, 1)
    T[0][row_column] = value
    buffers = renderer.render([renderer.upload(make_quad())], T, camera)
    assert bool((buffers.face_ids[0] == -1).all())
    for empty in (buffers.depth[0], buffers.color[0], buffers.attributes[0]):
        assert bool((empty == 0).all())
    assert bool((buffers.depth[1] > 0).all())


@pytest.mark.parametrize("row_column", [(0, 0), (1, 1), (0, 2), (1, 2)])
def test_a_camera_that_is_not_finite_gives_an_empty_view(renderer, make_quad, camera, row_column):
    K = camera.K.clone()
    K[0][row_column] = float("nan")
    view = CameraIntrinsics(K=K, height=24, width=32)
    buffers = renderer.render([renderer.upload(make_quad())], pose(z=1.0), view)
    assert bool((buffers.face_ids == -1).all())
    assert bool((buffers.color == 0).all())


def test_texture_stands_upright_and_begins_at_its_top_left(renderer, make_quad, camera):
    red, green, blue, white = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]
    texture = torch.tensor([[red, green], [blue, white]], dtype=torch.uint8)
    # 8 m away the square is 16 pixels wide; a texel is 8, its centre 4 from the middle.
    view = renderer.render([renderer.upload(make_quad(texture=texture))], pose(z=8.0), camera)
    color = view.color[0]
    for (row, column), expected in {(7, 11): red, (7, 20): green, (16, 11): blue, (16, 20): white}.items():
        torch.testing.assert_close(color[:, row, column] * 255, torch.tensor(expected).float(), atol=40.0, rtol=0)


def test_texture_blends_linearly_between_texel_centres_and_repeats_at_the_border(renderer, make_quad):
    texture = torch.tensor([[[0, 0, 0], [200, 100, 50]]], dtype=torch.uint8)
    camera = intrinsics(32.0, 32.0, 31.5, 0.0, width=64, height=1)
    color = renderer.render([renderer.upload(make_quad(texture=texture))], pose(z=1.0), camera).color[0, 0, 0] * 255
    s = (torch.arange(64) + 0.5) / 64 * 2 - 0.5
    expected = torch.where(s < 0, -s, torch.where(s > 1, 2 - s, s)) * 200
    torch.testing.assert_close(color, expected, atol=1e-2, rtol=0)


def test_a_fine_checker_seen_small_is_grey(renderer, make_quad):
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    checker = (((rows + columns) % 2) * 255).to(torch.uint8)[..., None].expand(-1, -1, 3).contiguous()
    camera = intrinsics(32.0, 32.0, 31.5, 31.5, width=64, height=64)
    view = renderer.render([renderer.upload(make_quad(texture=checker))], pose(z=1.03), camera)
    covered = view.depth[0] > 0
    torch.testing.assert_close(view.color[0, :, covered], torch.full((3, int(covered.sum())), 0.5), atol=0.01, rtol=0)


def test_vertex_colours_and_attributes_blend_over_the_face(renderer, make_quad, camera):
    colors = torch.tensor([[0, 0, 0], [255, 0, 0], [255, 255, 0], [0, 255, 0]], dtype=torch.uint8)
    mesh = make_quad(vertex_colors=colors)
    buffers = renderer.render([renderer.upload(mesh)], pose(z=1.0), camera, attributes=[mesh.vertices])
    x, y = buffers.attributes[0, 3:5]
    torch.testing.assert_close(x[0], (torch.arange(32) - 15.5) / 64.0, atol=1e-6, rtol=0)
    torch.testing.assert_close(y[:, 0], (torch.arange(24) - 11.5) / 64.0, atol=1e-6, rtol=0)
    torch.testing.assert_close(buffers.color[0, 0], (x + 1) / 2, atol=1e-6, rtol=0)
    torch.testing.assert_close(buffers.color[0, 1], (y + 1) / 2, atol=1e-6, rtol=0)


def test_a_mesh_without_colours_is_grey(renderer, make_quad, camera):
    buffers = renderer.render([renderer.upload(make_quad())], pose(z=1.0), camera)
    torch.testing.assert_close(buffers.color, torch.full_like(buffers.color, 0.7))
