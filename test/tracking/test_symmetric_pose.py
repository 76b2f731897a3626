"""Frames of symmetric objects do not jump, and their covariance goes along."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_se3, increment_about, transform
from rnnpose_ros.objects.symmetry import turn_about_axes
from rnnpose_ros.refinement.symmetric_pose import is_one_body, nearest_member
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import RefinementResult, RefinementStatus

from .conftest import Run, box, detected, pose

TWO_FOLD = {"discrete": [[-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]}
ROUND = {"continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]}
ROUND_BESIDE = {"continuous": [{"axis": [0, 0, 2], "offset": [0.03, 0.01, 0.0]}]}


def angle_deg(T_a: Tensor, T_b: Tensor) -> float:
    return math.degrees(float(rotation_angle(T_a[:3, :3].T @ T_b[:3, :3])))


@pytest.mark.parametrize("symmetries", [TWO_FOLD, ROUND], ids=["two-fold", "round"])
def test_outputs_of_a_symmetric_object_do_not_jump(symmetries: dict) -> None:
    """Every picture is answered at another symmetric pose of an object that turns slowly about x."""
    model = box(**symmetries)
    generator = torch.Generator().manual_seed(0)
    run = Run(objects={"cube": model})
    last = None
    for i in range(40):
        tilt = exp_se3(torch.tensor([0.0, 0.0, 0.0, math.radians(2.0 * i), 0.0, 0.0], dtype=torch.float64))
        member = model.symmetries[int(torch.randint(len(model.symmetries), (), generator=generator))]
        truth = pose() @ tilt
        run.answer = lambda T, T_now=truth @ member: T_now
        outcome = run.frame(*([detected()] if i == 0 else []))
        T = outcome.tracked[0].result.T_camera_object
        if last is not None:
            assert angle_deg(last, T) == pytest.approx(2.0, abs=1e-4)
        last = T


def test_a_round_object_is_brought_back_exactly_between_the_samples_of_its_axis() -> None:
    model = box(**ROUND)
    result = _result(pose(turn_z=1.2345))
    brought = nearest_member(result, model, pose())
    torch.testing.assert_close(brought.T_camera_object, pose(), atol=1e-9, rtol=0.0)


def test_an_axis_beside_the_origin_moves_the_origin_on_its_circle() -> None:
    model = box(**ROUND_BESIDE)
    brought = nearest_member(_result(pose(turn_z=2.0)), model, pose(turn_z=0.5))
    axis_point = torch.tensor([[0.03, 0.01, 0.0], [0.03, 0.01, 1.0]], dtype=torch.float64)
    before, after = transform(pose(turn_z=2.0), axis_point), transform(brought.T_camera_object, axis_point)
    torch.testing.assert_close(after, before, atol=1e-9, rtol=0.0)
    assert angle_deg(brought.T_camera_object, pose(turn_z=0.5)) < 1e-6


def test_a_sphere_keeps_its_centre_and_takes_any_turn_back() -> None:
    centre = [0.02, -0.01, 0.03]
    axes = [{"axis": [0, 0, 1], "offset": centre}, {"axis": [1, 1, 0], "offset": [1.02, 0.99, 0.03]}]
    turn = exp_se3(torch.tensor([0.0, 0.0, 0.0, 0.4, -1.1, 0.9], dtype=torch.float64))
    brought = nearest_member(_result(pose() @ turn), box(continuous=axes), pose()).T_camera_object
    assert angle_deg(brought, pose()) < 1e-6
    point = torch.tensor([centre], dtype=torch.float64)
    torch.testing.assert_close(transform(brought, point), transform(pose() @ turn, point), atol=1e-9, rtol=0.0)


def test_an_axis_that_points_the_other_way_leaves_the_pose() -> None:
    flipped = pose() @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    axes = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]], dtype=torch.float64)
    torch.testing.assert_close(turn_about_axes(flipped, axes, pose()), flipped)


def test_an_object_without_symmetries_keeps_its_result() -> None:
    result = _result(pose(turn_z=2.0))
    assert nearest_member(result, box(), pose()) is result
    assert nearest_member(result, None, pose()) is result


def test_the_covariance_is_that_of_the_new_origin() -> None:
    """Against samples: the same motions of the body, seen at its other origin."""
    model = box(**ROUND_BESIDE)
    T_old = pose(turn_z=2.5)
    generator = torch.Generator().manual_seed(3)
    A = 0.002 * torch.randn(6, 6, generator=generator, dtype=torch.float64)
    covariance = A @ A.T
    brought = nearest_member(dataclasses.replace(_result(T_old), covariance=covariance), model, pose())
    T_new = brought.T_camera_object
    T_old_new = torch.linalg.solve(T_old, T_new)
    xi = torch.randn(20_000, 6, generator=generator, dtype=torch.float64) @ A.T
    moved = increment_about(T_old.expand(len(xi), 4, 4), xi, T_old[:3, 3].expand(len(xi), 3)) @ T_old_new
    shifts = moved[:, :3, 3] - T_new[:3, 3]
    measured = shifts.T @ shifts / len(xi)
    assert brought.covariance is not None
    torch.testing.assert_close(brought.covariance[:3, :3], measured, rtol=0.05, atol=float(0.03 * measured.abs().max()))
    torch.testing.assert_close(brought.covariance[3:, 3:], covariance[3:, 3:])


def _result(T: Tensor) -> RefinementResult:
    return RefinementResult("cube", T, RefinementStatus.CONVERGED, 0.9, 0.5)


@pytest.mark.parametrize(("shift", "turn_z", "expected"), [(0.04, 0.0, True), (0.04, 0.8, True), (0.06, 0.8, False)])
def test_bodies_that_pass_through_each_other_are_one(shift: float, turn_z: float, *, expected: bool) -> None:
    assert is_one_body(pose(), pose(shift, turn_z=turn_z), box()) is expected


def test_thin_plates_on_each_other_are_two() -> None:
    cube = box()
    corners = cube.mesh.vertices * torch.tensor([1.0, 1.0, 0.2])
    plate = dataclasses.replace(cube, mesh=dataclasses.replace(cube.mesh, vertices=corners))
    T_upper, T_lower = pose(z=0.5), pose(z=0.52, turn_z=0.8)
    assert not is_one_body(T_upper, T_lower, plate)
    assert is_one_body(T_upper, pose(z=0.508, turn_z=0.8), plate)


@pytest.mark.parametrize(("score", "expected"), [(0.95, 0.9), (0.7, 0.0)])
def test_a_pose_turned_far_in_the_same_place_is_the_same_object_and_the_better_stays(
    score: float, expected: float
) -> None:
    run = Run(objects={"cube": box()}, score=lambda T: score if float(T[1, 0]) > 0.5 else 0.9)
    run.frame(detected())
    for _ in range(TrackingConfig().disagreements):
        outcome = run.frame(detected(0.01, turn_z=0.9))
    (item,) = outcome.tracked
    assert math.atan2(float(item.result.T_camera_object[1, 0]), float(item.result.T_camera_object[0, 0])) == (
        pytest.approx(expected)
    )
