"""Interpolation over visible surfaces against the renderer's own attributes, and its gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import trimesh

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_se3, from_rotation_translation
from rnnpose_ros.rendering.shading import published_light
from rnnpose_ros.rendering.surface import (
    Surface,
    albedo,
    make_surface,
    nearest_vertex_depth,
    vertex_normals,
    visible_points,
)
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import Mesh

CAMERA = intrinsics(200.0, 205.0, 40.0, 35.0, width=80, height=70)
CPU = torch.device("cpu")
POSE = from_rotation_translation(
    exp_se3(torch.tensor([[0.0, 0, 0, 0.4, -0.7, 0.2]], dtype=torch.float64))[:, :3, :3],
    torch.tensor([[0.01, 0.0, 0.5]], dtype=torch.float64),
)[0]


def ball() -> Mesh:
    sphere = trimesh.creation.icosphere(3, radius=0.06)
    vertices, faces = torch.tensor(sphere.vertices).float(), torch.tensor(sphere.faces).long()
    normals = torch.nn.functional.normalize(vertices, dim=1)[faces]
    return Mesh(vertices=vertices, faces=faces, corner_normals=normals)


@pytest.fixture
def seen() -> tuple[Surface, torch.Tensor]:
    renderer = WarpRenderer("cpu")
    face_ids = renderer.render([renderer.upload(ball())], POSE[None], CAMERA).face_ids[0]
    return make_surface(ball(), device=CPU), face_ids


def test_values_equal_the_attributes_of_the_renderer(seen):
    surface, face_ids = seen
    values = torch.rand(len(surface.vertices), 5)
    renderer = WarpRenderer("cpu")
    drawn = renderer.render([renderer.upload(ball())], POSE[None], CAMERA, attributes=[values]).attributes[0, 3:]
    points = visible_points(face_ids, surface, POSE, CAMERA.K[0])
    torch.testing.assert_close(points.interpolate(values).T, drawn.flatten(1)[:, points.pixel], rtol=1e-4, atol=1e-5)
    assert len(points.pixel) == int((face_ids >= 0).sum())


def test_asking_for_some_pixels_gives_their_part_of_all(seen):
    surface, face_ids = seen
    everything = visible_points(face_ids, surface, POSE, CAMERA.K[0])
    wanted = torch.arange(0, face_ids.numel(), 3)
    some = visible_points(face_ids, surface, POSE, CAMERA.K[0], pixels=wanted)
    kept = everything.pixel % 3 == 0
    assert torch.equal(some.pixel, everything.pixel[kept])
    torch.testing.assert_close(some.weights, everything.weights[kept])


def test_gradients_reach_pose_vertices_and_values(seen):
    surface, face_ids = seen
    pixels = (face_ids.reshape(-1) >= 0).nonzero()[::400, 0]
    points = visible_points(face_ids, surface, POSE, CAMERA.K[0], pixels=pixels)
    corners = points.corners.unique()
    values = torch.rand(len(surface.vertices), 2, dtype=torch.float64, requires_grad=True)
    moved = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    vertices = surface.vertices.double().requires_grad_()
    placed = dataclasses.replace(surface, vertices=vertices)
    points = visible_points(face_ids, placed, exp_se3(moved) @ POSE, CAMERA.K[0], pixels=pixels)
    points.interpolate(values).sum().backward()
    assert float(moved.grad.abs().sum()) > 0
    assert set(vertices.grad.abs().sum(1).nonzero()[:, 0].tolist()) <= set(corners.tolist())
    counted = torch.zeros_like(values).index_add(
        0, points.corners.reshape(-1), points.weights.detach().double().reshape(-1, 1).expand(-1, 2)
    )
    torch.testing.assert_close(values.grad, counted)


def test_depth_is_that_of_the_vertex_with_the_largest_weight(seen):
    surface, face_ids = seen
    points = visible_points(face_ids, surface, POSE, CAMERA.K[0])
    z = (surface.vertices.double() @ POSE[:3, :3].T + POSE[:3, 3])[:, 2]
    expected = z[points.corners[torch.arange(len(points.face)), points.weights.argmax(1)]]
    torch.testing.assert_close(nearest_vertex_depth(points, surface, POSE), expected.float())


def test_vertex_normals_weigh_faces_by_area():
    vertices = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 1]])
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    torch.testing.assert_close(normals[0], torch.nn.functional.normalize(torch.tensor([3.0, 0.0, 9.0]), dim=0))
    torch.testing.assert_close(normals[1], torch.tensor([0.0, 0.0, 1.0]))


def test_lamp_stands_in_the_object_frame_and_gloss_also_in_the_shade():
    points = torch.zeros(2, 3)
    to_lamp = torch.tensor([1.0, 1.0, -1.0])
    white = torch.ones(2, 3)
    lit = published_light(white, torch.stack([5 * to_lamp, -to_lamp]), points)
    torch.testing.assert_close(lit, torch.tensor([[1.0], [0.7]]).expand(2, 3))


def test_texture_is_read_with_its_outermost_texels_at_the_ends():
    mesh = ball()
    row = torch.arange(5, dtype=torch.uint8) * 50
    texture = row[None, :, None].expand(4, 5, 3).contiguous()
    uvs = torch.tensor([0.0, 0.5]).expand(len(mesh.faces), 3, 2).clone()
    for u, expected in ((0.0, 0.0), (0.25, 50.0), (0.6, 120.0), (1.0, 200.0), (1.4, 200.0)):
        uvs[..., 0] = u
        surface = make_surface(dataclasses.replace(mesh, texture=texture, corner_uvs=uvs), device=CPU)
        face_ids = torch.zeros(1, 1, dtype=torch.int32)
        points = visible_points(face_ids, surface, POSE, CAMERA.K[0])
        torch.testing.assert_close(albedo(points, surface) * 255, torch.full((1, 3), expected), rtol=0, atol=1e-2)


@pytest.mark.parametrize(("colors", "instead"), [(None, "grey"), (torch.full((642, 3), 51).byte(), "vertex colours")])
def test_a_mesh_without_texture_falls_back_and_says_so(colors, instead, caplog):
    surface = make_surface(dataclasses.replace(ball(), vertex_colors=colors), device=CPU, name="object 'cup'")
    assert "object 'cup' has no texture" in caplog.text
    assert instead in caplog.text
    points = visible_points(torch.zeros(1, 1, dtype=torch.int32), surface, POSE, CAMERA.K[0])
    torch.testing.assert_close(albedo(points, surface), torch.full((1, 3), 0.7 if colors is None else 0.2))
