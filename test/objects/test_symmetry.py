"""Symmetries of objects."""

from __future__ import annotations

import math

import pytest
import torch

from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_se3, exp_so3, from_rotation_translation, transform
from rnnpose_ros.objects.symmetry import expand_symmetries, nearest_symmetric, symmetries_from_bop

X, Y, Z = torch.eye(3, dtype=torch.float64)


def turn(axis: torch.Tensor, angle: float) -> torch.Tensor:
    return from_rotation_translation(exp_so3(axis * angle), torch.zeros(3, dtype=torch.float64))


def test_without_symmetries_there_is_the_identity():
    assert expand_symmetries().tolist() == torch.eye(4)[None].tolist()


def test_a_continuous_axis_is_sampled_once_around():
    symmetries = expand_symmetries(continuous=[{"axis": [0, 0, 2], "offset": [0, 0, 0]}], steps=36)
    assert symmetries.shape == (36, 4, 4)
    assert torch.equal(symmetries[0], torch.eye(4, dtype=torch.float64))
    angles = rotation_angle(symmetries[:, :3, :3]).sort().values
    assert angles[1].item() == pytest.approx(math.radians(10))


def test_turns_go_about_the_offset():
    offset = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    symmetries = expand_symmetries(continuous=[{"axis": [1, 2, 3], "offset": offset.tolist()}], steps=7)
    points = offset.expand(7, 1, 3)
    torch.testing.assert_close(transform(symmetries, points), points)


def test_a_cylinder_that_may_stand_on_its_head_has_every_product_once():
    upside_down = turn(X, math.pi).flatten().tolist()
    symmetries = expand_symmetries([upside_down], [{"axis": [0, 0, 1], "offset": [0, 0, 0]}], steps=12)
    assert symmetries.shape == (24, 4, 4)
    expected = {round(math.degrees(rotation_angle(s[:3, :3]).item())) for s in symmetries}
    assert 180 in expected


def test_duplicates_are_removed():
    half = turn(Z, math.pi).tolist()
    symmetries = expand_symmetries([half, half], [{"axis": [0, 0, 1], "offset": [0, 0, 0]}], steps=4)
    assert symmetries.shape == (4, 4, 4)


def test_bop_entries_are_millimetres():
    entry = {"symmetries_continuous": [{"axis": [0, 0, 1], "offset": [1000, 0, 0]}]}
    symmetries = symmetries_from_bop(entry, steps=2)
    assert symmetries[1, :3, 3].tolist() == pytest.approx([2.0, 0.0, 0.0], abs=1e-9)


def test_the_nearest_symmetric_pose_undoes_a_symmetry():
    generator = torch.Generator().manual_seed(0)
    symmetries = expand_symmetries([turn(Z, math.pi).tolist()], [{"axis": [0, 1, 0]}], steps=8)
    T = exp_se3(torch.randn(5, 6, generator=generator, dtype=torch.float64))
    for S in symmetries:
        torch.testing.assert_close(nearest_symmetric(T @ S, symmetries, T), T)


def test_a_pose_without_symmetries_stays():
    T = exp_se3(torch.tensor([1.0, 2, 3, 0.1, 0.2, 0.3], dtype=torch.float64))
    torch.testing.assert_close(nearest_symmetric(T, expand_symmetries(), torch.eye(4, dtype=torch.float64)), T)
