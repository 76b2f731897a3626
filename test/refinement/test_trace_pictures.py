"""Pictures of a refinement's inside, on fields and boxes that are known."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from rnnpose_ros.geometry.camera import intrinsics, pixel_grid, project
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, transform
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.refinement.pose_boxes import BoxView, PoseBox, box_corners, box_edges
from rnnpose_ros.refinement.trace_film import MOST_FRAMES, encode_film, frame_indices
from rnnpose_ros.refinement.trace_pictures import (
    at_pixels,
    color_wheel,
    draw_trace,
    field_scales,
    flow_colors,
    warp_photo,
)
from rnnpose_ros.types import CorrespondenceField, ImageFrame, IterationTrace, Mesh, ObjectModel

SIZE = 48
CAMERA = intrinsics(500.0, 510.0, 160.0, 120.0, width=320, height=240)
HIDDEN = float("nan")


def make_step(stride: int, flow_px: tuple[float, float], *, cycle: int = 0) -> IterationTrace:
    """An iteration on a disc whose field is constant, and NaN where there is no object."""
    pixels = pixel_grid(SIZE, SIZE)
    depth = ((pixels - 24).norm(dim=-1) < 15).float()
    cell_uv = pixel_grid(SIZE, SIZE, stride=stride)
    shown = depth[::stride, ::stride] > 0
    target_uv = torch.where(shown[..., None], cell_uv + torch.tensor(flow_px), torch.full_like(cell_uv, HIDDEN))
    return IterationTrace(
        cycle=cycle,
        iteration=0,
        T_camera_object=pose(),
        camera=intrinsics(100.0, 100.0, 24.0, 24.0, width=SIZE, height=SIZE),
        affine_crop_image=torch.eye(3)[:2].double(),
        induced_uv=cell_uv,
        field=CorrespondenceField(target_uv=target_uv[None], confidence=shown[None].float()),
        similarity=shown.float(),
        cell_uv=cell_uv,
        rectified_uv=cell_uv,
        depth=depth,
        photo=torch.rand(3, SIZE, SIZE),
        render=torch.rand(3, SIZE, SIZE) * depth,
    )


def pose(turn: float = 0.4, z: float = 0.6) -> torch.Tensor:
    R = exp_so3(torch.tensor([[turn, -0.3, 0.2]], dtype=torch.float64))
    return from_rotation_translation(R, torch.tensor([[0.02, -0.01, z]], dtype=torch.float64))[0]


@pytest.fixture
def model() -> ObjectModel:
    box = trimesh.creation.box((0.1, 0.06, 0.04))
    normals = torch.tensor(box.face_normals).float()[:, None].expand(-1, 3, -1).contiguous()
    mesh = Mesh(
        vertices=torch.tensor(box.vertices).float(), faces=torch.tensor(box.faces).long(), corner_normals=normals
    )
    return object_from_mesh(mesh, label="box")


@pytest.fixture
def frame() -> ImageFrame:
    return ImageFrame(rgb=torch.zeros(240, 320, 3, dtype=torch.uint8), camera=CAMERA)


@pytest.mark.parametrize(
    ("flow_px", "rgb"),
    [
        ((0.0, 0.0), (255, 255, 255)),
        ((4.0, 0.0), (255, 0, 0)),
        ((9.0, 0.0), (255, 0, 0)),
        ((2.0, 0.0), (255, 128, 128)),
        ((-4.0, 0.0), (0, 255, 255)),
        ((0.0, 4.0), (128, 255, 0)),
        ((0.0, -4.0), (128, 0, 255)),
    ],
)
def test_hue_says_the_direction_of_a_motion_and_saturation_its_length(
    flow_px: tuple[float, float], rgb: tuple[int, int, int]
) -> None:
    flow = np.broadcast_to(np.array(flow_px, np.float32), (3, 5, 2))
    colors = flow_colors(flow, 4.0)
    assert colors.shape == (3, 5, 3)
    assert np.abs(colors.astype(int) - np.array(rgb)).max() <= 1


def test_the_wheel_has_each_motions_color_where_that_motion_leads() -> None:
    wheel = color_wheel(65)
    assert wheel[32, 32].tolist() == [255, 255, 255]
    assert wheel[32, 64].tolist() == [255, 0, 0]
    assert wheel[32, 0].tolist() == [0, 255, 255]
    assert wheel[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("stride", [1, 8])
def test_a_constant_field_has_one_color_on_the_object_and_none_elsewhere(
    stride: int, model: ObjectModel, frame: ImageFrame
) -> None:
    step = make_step(stride, (3.0, 0.0))
    (pictures,) = draw_trace([step], frame, model, pose())
    shown = (step.depth > 0).numpy()
    assert field_scales([step])[0] == pytest.approx(3.0, abs=1e-4)
    assert np.abs(pictures.field[shown].astype(int) - np.array((255, 0, 0))).max() <= 1
    assert (pictures.rectified[shown] == 255).all()
    outside = pictures.field[~shown]
    assert (outside == outside[:, :1]).all()
    assert outside.max() < 128
    assert (pictures.similarity[~shown] == 0).all()
    assert (pictures.similarity[shown] > 0).any(-1).all()


def test_cells_without_the_object_say_nothing_about_its_pixels() -> None:
    step = make_step(8, (1.0, -2.0))
    spread = at_pixels(step.field.target_uv[0] - step.cell_uv, step)
    shown = step.depth > 0
    torch.testing.assert_close(spread[shown], torch.tensor((1.0, -2.0)).expand(int(shown.sum()), 2))
    assert not spread[~shown].any()


def test_a_perfect_field_fetches_the_photo_back() -> None:
    truth = torch.rand(3, SIZE, SIZE)
    photo = torch.roll(truth, shifts=(5, -3), dims=(1, 2))
    target_uv = pixel_grid(SIZE, SIZE) + torch.tensor((-3.0, 5.0))
    warped = warp_photo(photo, target_uv)
    inside = (slice(None), slice(0, SIZE - 5), slice(3, SIZE))
    torch.testing.assert_close(warped[inside], truth[inside])
    assert not warped[:, SIZE - 5 :].any()


def test_the_warped_picture_is_the_photo_sampled_at_the_fields_targets(model: ObjectModel, frame: ImageFrame) -> None:
    step = make_step(8, (4.0, -2.0))
    (pictures,) = draw_trace([step], frame, model, pose())
    shown = (step.depth > 0).numpy()
    moved = torch.roll(step.photo, shifts=(2, -4), dims=(1, 2)).permute(1, 2, 0).numpy()
    assert np.abs(pictures.warped[shown] / 255.0 - moved[shown]).max() < 0.51 / 255.0
    assert not pictures.warped[~shown].any()


def test_each_cycle_has_its_own_scale_never_below_a_pixel() -> None:
    scales = field_scales([make_step(8, (6.0, 8.0)), make_step(8, (0.1, 0.0), cycle=1)])
    assert scales == {0: pytest.approx(10.0, abs=1e-4), 1: 1.0}


def test_box_edges_end_at_the_projected_corners(model: ObjectModel) -> None:
    corners = box_corners(model.mesh.vertices)
    edges = box_edges(corners, pose(), CAMERA)
    expected = project(transform(pose(), corners)[None], CAMERA.K)[0]
    assert edges.shape == (12, 2, 2)
    ends = edges.reshape(-1, 1, 2)
    nearest = (ends - expected).norm(dim=-1).min(1)
    assert float(nearest.values.max()) < 1e-9
    assert torch.bincount(nearest.indices).tolist() == [3] * 8


def test_boxes_are_drawn_on_the_projected_corners_of_the_window(model: ObjectModel, frame: ImageFrame) -> None:
    view = BoxView(frame, model, [pose(), pose(turn=0.7)])
    for T in (pose(), pose(turn=0.7)):
        canvas = view.draw([PoseBox(T, (255, 60, 50), 3)])
        uv = project(transform(T, box_corners(model.mesh.vertices))[None], view.camera.K)[0]
        assert float(uv.min()) > 0
        assert float(uv.max()) < len(canvas) - 1
        for u, v in uv.round().long().tolist():
            assert canvas[v, u].tolist() == [255, 60, 50]
        assert (canvas == 0).all(-1).mean() > 0.7


def test_edges_that_reach_behind_the_camera_are_cut_and_impossible_poses_left_out(model: ObjectModel) -> None:
    corners = box_corners(model.mesh.vertices)
    through = pose(z=0.0)
    edges = box_edges(corners, through, CAMERA)
    assert 0 < len(edges) < 12
    assert torch.isfinite(edges).all()
    assert len(box_edges(corners, pose(z=-1.0), CAMERA)) == 0
    assert len(box_edges(corners, torch.full((4, 4), HIDDEN), CAMERA)) == 0


def test_an_iteration_without_any_solution_is_drawn_too(model: ObjectModel, frame: ImageFrame) -> None:
    step = make_step(8, (HIDDEN, HIDDEN))
    step = dataclasses.replace(step, T_camera_object=torch.full((4, 4), HIDDEN).double(), depth=step.depth * 0)
    (pictures,) = draw_trace([step], frame, model, pose(), T_camera_object_truth=pose())
    assert not pictures.warped.any()
    assert pictures.boxes.any()


def test_the_film_has_a_frame_for_each_iteration_up_to_its_limit(model: ObjectModel, frame: ImageFrame) -> None:
    trace = [make_step(8, (float(i), 0.0)) for i in range(3)]
    film = Image.open(io.BytesIO(encode_film(trace, draw_trace(trace, frame, model, pose()))))
    assert film.n_frames == 3
    assert film.info["loop"] == 0
    indices = frame_indices(400)
    assert len(set(indices)) == MOST_FRAMES
    assert indices == sorted(indices)
    assert indices[-1] == 399
