"""The published crops against OpenCV, and their borders."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from rnnpose_ros.geometry import official_crop as crop
from rnnpose_ros.geometry.camera import intrinsics, pixel_grid, project

CAMERA = intrinsics(570.0, 572.0, 325.0, 242.0, width=640, height=480)
BOX = torch.tensor([[x, y, z] for x in (-0.05, 0.05) for y in (-0.04, 0.04) for z in (-0.03, 0.03)])


def pose(x: float, y: float, z: float) -> torch.Tensor:
    T = torch.eye(4, dtype=torch.float64)
    T[:3, 3] = torch.tensor([x, y, z])
    return T


@pytest.mark.parametrize("window", [(40, 30, 253), (600, 400, 97), (0, 0, 320), (100, 50, 641), (3, 5, 4)])
def test_first_crop_equals_opencv_bit_for_bit_with_black_outside(window):
    image = np.random.default_rng(5).integers(0, 256, (480, 640, 3), np.uint8)
    left, top, side = window
    padded = np.zeros((top + side, left + side, 3), np.uint8)
    padded[: min(480, top + side), : min(640, left + side)] = image[: top + side, : left + side]
    expected = cv2.resize(padded[top:, left:], (320, 320), interpolation=cv2.INTER_LINEAR)
    ours = crop.cut_first(torch.from_numpy(image), crop.FirstWindow(left=left, top=top, side=side))
    np.testing.assert_array_equal((ours * 255).round().numpy(), expected.transpose(2, 0, 1))


def test_window_is_2_7_times_the_box_and_is_pushed_inside_at_the_left_and_top_alone():
    box = crop.splat_box(BOX, pose(0.0, 0.0, 0.8), CAMERA)
    side = int(float(max(box[2] - box[0], box[3] - box[1]) + 1) * 2.7)
    assert crop.first_window(box).side == side
    corner = crop.first_window(crop.splat_box(BOX, pose(-0.4, -0.3, 0.8), CAMERA))
    assert (corner.left, corner.top) == (0, 0)
    far = crop.first_window(crop.splat_box(BOX, pose(0.4, 0.3, 0.8), CAMERA))
    assert far.left + far.side > 640


def test_vertices_outside_of_the_image_count_at_its_border_and_those_behind_the_camera_not():
    assert crop.splat_box(BOX, pose(3.0, 0.0, 0.8), CAMERA)[[0, 2]].tolist() == [639, 639]
    assert crop.splat_box(BOX, pose(0.0, 0.0, -0.8), CAMERA) is None


def test_zoom_camera_and_picture_differ_by_the_published_half_pixels():
    window = crop.ZoomWindow(left=61.3, top=72.9, side=184.0)
    ramp = pixel_grid(320, 320, dtype=torch.float64).permute(2, 0, 1)
    sampled = crop.cut_zoom(ramp, window)[0, 120]
    said = window.left + torch.arange(240, dtype=torch.float64) * window.side / 239
    gap = said - sampled
    assert [round(float(gap[i]), 2) for i in (0, 120, 239)] == [0.12, 0.5, 0.88]
    first = intrinsics(720.0, 725.0, 130.0, 170.0, width=320, height=320)
    zoomed = crop.zoom_camera(first, window)
    point = torch.tensor([[[0.01, -0.02, 0.8]]], dtype=torch.float64)
    in_first, in_zoom = project(point, first.K)[0, 0, 0], project(point, zoomed.K)[0, 0, 0]
    torch.testing.assert_close(in_zoom, (in_first - window.left) * 239 / window.side)


def test_zoom_is_centred_on_the_projected_origin_and_reaches_1_4_times_as_far():
    first = intrinsics(720.0, 725.0, 160.0, 160.0, width=320, height=320)
    T = pose(0.02, 0.0, 0.8)
    box = crop.splat_box(BOX, T, first)
    window = crop.zoom_window(box, T, first)
    u = 160.0 + 720.0 * 0.02 / 0.8
    assert window.left + window.side / 2 == pytest.approx(u)
    assert window.side == pytest.approx(2.8 * max(u - float(box[0]), float(box[2]) - u))
