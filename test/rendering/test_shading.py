"""The lamp at the camera."""

from __future__ import annotations

import torch

from rnnpose_ros.geometry.camera import backproject, intrinsics, pixel_grid
from rnnpose_ros.rendering.shading import head_light
from rnnpose_ros.types import CameraIntrinsics, RenderBuffers

CAMERA = intrinsics(30.0, 30.0, 3.5, 2.5, width=8, height=6)


def viewing_rays(camera: CameraIntrinsics) -> torch.Tensor:
    """Unit vectors from the camera through every pixel centre, camera frame."""
    uv = pixel_grid(camera.height, camera.width)[None]
    points = backproject(torch.ones(1, camera.height, camera.width), uv, camera.K.float())
    return torch.nn.functional.normalize(points, dim=-1).permute(0, 3, 1, 2)


def view(normals: torch.Tensor, *, albedo: float) -> RenderBuffers:
    face_ids = torch.zeros(1, 6, 8, dtype=torch.int32)
    face_ids[0, 0, 0] = -1
    depth = (face_ids >= 0).float()
    return RenderBuffers(
        depth=depth, color=torch.full((1, 3, 6, 8), albedo) * depth, attributes=normals * depth, face_ids=face_ids
    )


def test_a_surface_that_faces_the_camera_is_brightest():
    lit = head_light(view(-viewing_rays(CAMERA), albedo=0.5), CAMERA).color
    torch.testing.assert_close(lit[0, :, 1:], torch.full((3, 5, 8), 0.5 * 1.05))


def test_brightness_falls_with_the_cosine_and_stops_at_the_ambient_light():
    rays = viewing_rays(CAMERA)
    across = torch.nn.functional.normalize(
        torch.linalg.cross(rays, torch.tensor([0.0, 1.0, 0.0])[None, :, None, None], dim=1), dim=1
    )
    slanted = 0.6 * -rays + 0.8 * across
    torch.testing.assert_close(
        head_light(view(slanted, albedo=0.5), CAMERA).color[0, :, 1:], torch.full((3, 5, 8), 0.5 * (0.6 + 0.45 * 0.6))
    )
    torch.testing.assert_close(head_light(view(rays, albedo=0.5), CAMERA).color[0, :, 1:], torch.full((3, 5, 8), 0.3))


def test_white_stays_white_and_the_background_black():
    lit = head_light(view(-viewing_rays(CAMERA), albedo=1.0), CAMERA).color
    assert float(lit.max()) == 1.0
    assert not bool(lit[0, :, 0, 0].any())
