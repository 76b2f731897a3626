"""Pose errors on cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh

from rnnpose_ros.evaluation.metrics import (
    add,
    add_s,
    average_recall,
    median,
    mspd,
    mssd,
    pose_errors,
    projection_error,
    recall,
    rotation_error,
    translation_error,
    visible_points,
)
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, inverse, transform
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.objects.mesh_io import load_mesh
from rnnpose_ros.objects.symmetry import expand_symmetries

DTYPE = torch.float64
CAMERA = intrinsics(500.0, 500.0, 320.0, 240.0, width=640, height=480)


def pose(translation=(0.0, 0.0, 1.0), rotation=(0.0, 0.0, 0.0)) -> torch.Tensor:
    """One pose (B = 1) from a translation and a rotation vector."""
    omega, t = torch.tensor([rotation], dtype=DTYPE), torch.tensor([translation], dtype=DTYPE)
    return from_rotation_translation(exp_so3(omega), t)


@pytest.fixture
def points() -> torch.Tensor:
    return 0.1 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=DTYPE)


def test_equal_poses_have_no_error(points):
    T = pose(rotation=(0.3, -0.2, 0.1))
    eye = expand_symmetries()
    assert add(T, T, points_object=points).item() == 0.0
    assert add_s(T, T, points_object=points).item() < 1e-12
    assert mssd(T, T, points_object=points, symmetries=eye).item() == 0.0
    assert mspd(T, T, points_object=points, symmetries=eye, K=CAMERA.K).item() == 0.0
    assert rotation_error(T, T).item() < 1e-7


def test_a_shift_has_its_length_as_add_mssd_and_translation_error(points):
    T, T_reference = pose((0.03, 0.04, 1.0)), pose()
    assert add(T, T_reference, points_object=points).item() == pytest.approx(0.05)
    assert mssd(T, T_reference, points_object=points, symmetries=expand_symmetries()).item() == pytest.approx(0.05)
    assert translation_error(T, T_reference).item() == pytest.approx(0.05)


def test_a_sideways_shift_of_a_flat_object_moves_its_pixels_by_focal_length_over_depth():
    flat = torch.tensor([[x, y, 0.0] for x in (-0.1, 0.1) for y in (-0.1, 0.1)], dtype=DTYPE)
    T, T_reference = pose((0.01, 0.0, 2.0)), pose((0.0, 0.0, 2.0))
    assert projection_error(T, T_reference, points_object=flat, K=CAMERA.K).item() == pytest.approx(2.5)
    assert mspd(T, T_reference, points_object=flat, symmetries=expand_symmetries(), K=CAMERA.K).item() == (
        pytest.approx(2.5)
    )


def test_add_of_a_turn_is_the_chord_of_the_points():
    ring = torch.tensor([[math.cos(a), math.sin(a), 0.0] for a in torch.linspace(0, 6, 50).tolist()], dtype=DTYPE)
    T = pose(rotation=(0.0, 0.0, 0.4))
    assert add(T, pose(), points_object=ring).item() == pytest.approx(2 * math.sin(0.2))


def test_add_s_forgives_what_looks_the_same_and_add_does_not():
    square = torch.tensor([[x, y, 0.0] for x in (-0.1, 0.1) for y in (-0.1, 0.1)], dtype=DTYPE)
    T = pose(rotation=(0.0, 0.0, math.pi / 2))
    assert add_s(T, pose(), points_object=square).item() < 1e-12
    assert add(T, pose(), points_object=square).item() == pytest.approx(0.2)


def test_add_s_equals_a_search_through_all_pairs(points):
    T, T_reference = pose((0.02, 0.0, 1.1), (0.2, 0.1, 0.3)), pose(rotation=(0.1, 0.0, -0.1))
    pairs = torch.cdist(transform(T_reference, points[None]), transform(T, points[None]))
    assert add_s(T, T_reference, points_object=points).item() == pytest.approx(pairs.amin(-1).mean().item())


def test_symmetries_are_forgiven_by_mssd_mspd_and_rotation_error(points):
    half_turn = expand_symmetries(continuous=[{"axis": [0, 1, 0], "offset": [0.2, 0, 0]}], steps=2)
    T_reference = pose(rotation=(0.3, 0.2, 0.1))
    T = T_reference @ half_turn[1]
    assert mssd(T, T_reference, points_object=points, symmetries=half_turn).item() < 1e-12
    assert mspd(T, T_reference, points_object=points, symmetries=half_turn, K=CAMERA.K).item() < 1e-9
    assert rotation_error(T, T_reference, symmetries=half_turn).item() < 1e-7
    assert rotation_error(T, T_reference).item() == pytest.approx(math.pi)


def test_rotation_error_is_the_angle_of_the_turn():
    assert rotation_error(pose(rotation=(0.0, 0.7, 0.0)), pose()).item() == pytest.approx(0.7)


def test_translation_error_about_the_centre_ignores_a_turn_about_the_centre():
    centre = torch.tensor([0.5, 0.0, 0.0], dtype=DTYPE)
    R = exp_so3(torch.tensor([[0.0, 0.0, 1.0]], dtype=DTYPE))
    T = from_rotation_translation(R, (centre - R @ centre) + torch.tensor([[0.0, 0.0, 1.0]], dtype=DTYPE))
    assert translation_error(T, pose(), centre_object=centre).item() < 1e-12
    assert translation_error(T, pose()).item() > 0.4


def test_errors_of_a_batch_are_those_of_its_items(points):
    T = torch.cat([pose((0.01, 0, 1)), pose((0.02, 0, 1), (0.1, 0, 0)), pose((0, 0, 1.2))])
    T_reference = pose().expand(3, 4, 4)
    together = projection_error(T, T_reference, points_object=points, K=CAMERA.K)
    alone = [projection_error(t[None], pose(), points_object=points, K=CAMERA.K).item() for t in T]
    assert together.tolist() == pytest.approx(alone)


def test_a_pose_that_is_no_number_counts_as_a_miss(points):
    T = torch.cat([pose(), pose()])
    T[1, 0, 3] = float("nan")
    errors = add_s(T, pose().expand(2, 4, 4), points_object=points)
    assert errors.isnan().tolist() == [False, True]
    assert recall(errors, 0.1) == 0.5
    assert recall(add(T, pose().expand(2, 4, 4), points_object=points), 0.1) == 0.5


def test_recalls_count_shares_below_thresholds():
    errors = torch.tensor([1.0, 2.0, 3.0, float("nan")])
    assert recall(errors, 2.5) == 0.5
    assert average_recall(errors, torch.tensor([1.5, 2.5, 3.5])) == pytest.approx((0.25 + 0.5 + 0.75) / 3)
    assert recall(torch.zeros(0), 1.0) == 0.0


def test_the_median_takes_nan_for_infinite():
    assert median(torch.tensor([1.0, 5.0, 2.0])) == 2.0
    assert median(torch.tensor([1.0, float("nan"), 2.0])) == 2.0
    assert math.isnan(median(torch.zeros(0)))


def test_visible_points_lie_on_the_surface_that_was_drawn():
    depth = torch.zeros(480, 640)
    depth[200:280, 300:340] = 1.5
    T = pose((0.1, 0.0, 1.5), (0.0, 0.3, 0.0))[0]
    seen = transform(T[None], visible_points(depth, T, CAMERA, count=500)[None])[0]
    assert seen.shape == (500, 3)
    assert seen[:, 2].tolist() == pytest.approx([1.5] * 500)
    assert seen[:, 0].min().item() == pytest.approx((300 - 320) / 500 * 1.5)
    assert seen[:, 1].max().item() == pytest.approx((279 - 240) / 500 * 1.5)


def test_nothing_drawn_has_no_visible_points():
    assert visible_points(torch.zeros(4, 4), pose()[0], CAMERA).shape == (0, 3)


def test_all_errors_of_an_object_agree_with_the_single_functions(tmp_path):
    trimesh.creation.box(extents=(0.1, 0.2, 0.3)).export(tmp_path / "box.ply")
    model = object_from_mesh(load_mesh(tmp_path / "box.ply"), label="box")
    T, T_reference = pose((0.01, 0.0, 1.0), (0.0, 0.1, 0.0)), pose()
    errors = pose_errors(T, T_reference, model=model, camera=CAMERA)
    vertices = model.mesh.vertices.double()
    assert errors.add.item() == add(T, T_reference, points_object=vertices).item()
    assert errors.rotation.item() == pytest.approx(0.1)
    assert errors.translation.item() == pytest.approx(0.01)
    assert errors.add_s.item() <= errors.add.item() + 1e-12 <= errors.mssd.item() + 1e-12
    assert errors.projection_px.item() <= errors.mspd.item()
    assert errors.visible_projection_px is None


def test_errors_do_not_depend_on_the_frame_of_the_camera(points):
    T, T_reference, move = pose((0.02, 0.0, 1.1), (0.2, 0.1, 0.3)), pose(), pose((1, 2, 3), (0.5, 0.6, 0.7))
    moved = add(inverse(move) @ T, inverse(move) @ T_reference, points_object=points)
    assert moved.item() == pytest.approx(add(T, T_reference, points_object=points).item())
