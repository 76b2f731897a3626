"""The crop cuts the image and makes its camera by one map."""

from __future__ import annotations

import pytest
import torch

from rnnpose_ros.geometry.camera import backproject, intrinsics, pixel_grid, project
from rnnpose_ros.geometry.crop import crop_camera, crop_image, object_window
from rnnpose_ros.geometry.flow import induced_uv
from rnnpose_ros.geometry.se3 import exp_se3, from_rotation_translation, transform

CAMERA = intrinsics(600.0, 590.0, 318.3, 243.7, width=640, height=480)
BOX = torch.tensor(
    [[x, y, z] for x in (-0.05, 0.07) for y in (-0.04, 0.04) for z in (-0.03, 0.05)], dtype=torch.float64
)
CENTRE = torch.tensor([[0.01, 0.0, 0.01]], dtype=torch.float64)
POSE = from_rotation_translation(
    torch.eye(3, dtype=torch.float64)[None], torch.tensor([[0.06, -0.02, 0.7]], dtype=torch.float64)
)


def ramp() -> torch.Tensor:
    """An image whose channels are the pixel's own u and v."""
    grid = pixel_grid(480, 640, dtype=torch.float64)
    return grid.permute(2, 0, 1)[None]


def test_crop_and_intrinsics_agree_to_a_hundredth_pixel() -> None:
    affine = object_window(BOX[None], CENTRE, POSE, CAMERA, margin=1.2, size=240)
    cut = crop_image(ramp(), affine, size=240)[0]
    zoomed = crop_camera(CAMERA, affine, size=240)
    points = transform(POSE, BOX[None])
    in_image, in_crop = project(points, CAMERA.K)[0], project(points, zoomed.K)[0]
    for uv_image, uv_crop in zip(in_image, in_crop, strict=True):
        column, row = uv_crop.floor().long().tolist()
        fraction = uv_crop - uv_crop.floor()
        patch = cut[:, row : row + 2, column : column + 2]
        across = patch[:, :, 0] * (1 - fraction[0]) + patch[:, :, 1] * fraction[0]
        seen = across[:, 0] * (1 - fraction[1]) + across[:, 1] * fraction[1]
        assert (seen - uv_image).abs().max() < 0.01


def test_crop_and_intrinsics_agree_where_the_crop_shrinks_and_blurs_the_image() -> None:
    near = POSE.clone()
    near[:, 2, 3] = 0.16
    affine = object_window(BOX[None], CENTRE, near, CAMERA, margin=1.2, size=160)
    scale = float(affine[0, 0, 0])
    assert scale < 0.5
    cut = crop_image(ramp(), affine, size=160)[0]
    u_image = (80 - affine[0, 0, 2]) / scale
    assert abs(float(cut[0, 80, 80]) - float(u_image)) < 0.05


def test_centre_of_the_object_lands_on_the_middle_pixel() -> None:
    affine = object_window(BOX[None], CENTRE, POSE, CAMERA, margin=1.2, size=240)
    zoomed = crop_camera(CAMERA, affine, size=240)
    uv = project(transform(POSE, CENTRE[None]), zoomed.K)[0, 0]
    torch.testing.assert_close(uv, torch.tensor([120.0, 120.0], dtype=torch.float64))


def test_outline_fills_the_window_up_to_the_margin() -> None:
    affine = object_window(BOX[None], CENTRE, POSE, CAMERA, margin=1.25, size=240)
    uv = project(transform(POSE, BOX[None]), crop_camera(CAMERA, affine, size=240).K)[0]
    assert abs(float((uv - 120).abs().max()) - 120 / 1.25) < 1e-6


def test_window_outside_the_image_is_black() -> None:
    away = POSE.clone()
    away[:, 0, 3] = 5.0
    affine = object_window(BOX[None], CENTRE, away, CAMERA, margin=1.2, size=64)
    assert float(crop_image(torch.ones(1, 3, 480, 640), affine, size=64).abs().max()) == 0.0


@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-300, 0.0, float("nan"), float("inf")])
def test_a_window_that_the_whole_image_would_be_a_speck_in_is_black_and_costs_nothing(scale: float) -> None:
    """So asks a pose right before the lens; blurred by its scale, the image would fill the memory."""
    affine = torch.tensor([[[scale, 0.0, 32.0], [0.0, scale, 32.0]]], dtype=torch.float64)
    assert float(crop_image(torch.ones(1, 3, 480, 640), affine, size=64).abs().max()) == 0.0


def test_backprojected_pixels_project_onto_themselves() -> None:
    uv = pixel_grid(48, 64, stride=8, dtype=torch.float64)[None]
    depth = torch.rand(1, 6, 8, dtype=torch.float64) + 0.3
    torch.testing.assert_close(project(backproject(depth, uv, CAMERA.K), CAMERA.K), uv)


def test_induced_field_follows_the_pose() -> None:
    uv = pixel_grid(480, 640, stride=64, dtype=torch.float64).reshape(1, -1, 2)
    points = backproject(torch.full(uv.shape[:2], 0.7, dtype=torch.float64), uv, CAMERA.K)
    torch.testing.assert_close(induced_uv(points, POSE, POSE, CAMERA.K), uv)
    nearer = exp_se3(torch.tensor([[0.007, 0.0, 0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)) @ POSE
    shift = induced_uv(points, nearer, POSE, CAMERA.K) - uv
    torch.testing.assert_close(shift, torch.tensor([6.0, 0.0], dtype=torch.float64).expand_as(shift))


@pytest.mark.parametrize("scale", [0.11, 0.35, 0.8])
def test_both_ways_of_blurring_give_the_same(scale: float) -> None:
    """A gradient is wanted, or the picture is on a GPU: torch; else OpenCV."""
    image = torch.rand(1, 3, 120, 160, generator=torch.Generator().manual_seed(0))
    affine = torch.tensor([[[scale, 0.0, 5.0 - 30.0 * scale], [0.0, scale, 3.0 - 40.0 * scale]]], dtype=torch.float64)
    quick = crop_image(image, affine, size=48)
    with_gradient = crop_image(image.clone().requires_grad_(True), affine, size=48)
    torch.testing.assert_close(quick, with_gradient.detach(), atol=2e-6, rtol=0.0)


def test_bytes_become_floats_from_0_to_1() -> None:
    image = torch.randint(0, 256, (1, 3, 60, 80), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for scale in (0.4, 1.3):
        affine = torch.tensor([[[scale, 0.0, 2.0], [0.0, scale, -1.0]]], dtype=torch.float64)
        torch.testing.assert_close(
            crop_image(image, affine, size=32), crop_image(image.float() / 255.0, affine, size=32), atol=1e-6, rtol=0.0
        )
    affine[0, 0, 0] = 0.001
    assert crop_image(image, affine, size=32).dtype is torch.float32
