"""Between two rotations."""

from __future__ import annotations

import math

import pytest
import torch

from rnnpose_ros.geometry.rotations import matrix_from_quaternion_xyzw, rotation_angle, slerp
from rnnpose_ros.geometry.se3 import exp_so3


def about_z(angle: float) -> torch.Tensor:
    return torch.tensor([0.0, 0.0, math.sin(0.5 * angle), math.cos(0.5 * angle)], dtype=torch.float64)


def at(fraction: float) -> torch.Tensor:
    return torch.tensor(fraction, dtype=torch.float64)


@pytest.mark.parametrize("whole", [1e-9, 1e-4, 0.5, 2.0, 3.1, -2.5])
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.9, 1.0])
def test_a_turn_about_one_axis_is_divided_evenly(whole: float, fraction: float) -> None:
    R = matrix_from_quaternion_xyzw(slerp(about_z(0.3), about_z(0.3 + whole), at(fraction)))
    expected = exp_so3(torch.tensor([0.0, 0.0, 0.3 + fraction * whole], dtype=torch.float64))
    torch.testing.assert_close(R, expected, atol=1e-12, rtol=0.0)


def test_the_sign_of_a_quaternion_means_nothing() -> None:
    a, b = about_z(0.2), about_z(1.4)
    torch.testing.assert_close(
        matrix_from_quaternion_xyzw(slerp(a, -b, at(0.3))), matrix_from_quaternion_xyzw(slerp(a, b, at(0.3)))
    )


def test_any_two_rotations_are_joined_at_constant_speed() -> None:
    q = torch.nn.functional.normalize(
        torch.randn(20, 2, 4, generator=torch.Generator().manual_seed(1)).double(), dim=-1
    )
    R_a, R_b = matrix_from_quaternion_xyzw(q[:, 0]), matrix_from_quaternion_xyzw(q[:, 1])
    R = matrix_from_quaternion_xyzw(slerp(q[:, 0], q[:, 1], torch.full((20,), 0.3, dtype=torch.float64)))
    whole = rotation_angle(R_a.mT @ R_b)
    torch.testing.assert_close(rotation_angle(R_a.mT @ R), 0.3 * whole)
    torch.testing.assert_close(rotation_angle(R.mT @ R_b), 0.7 * whole)
