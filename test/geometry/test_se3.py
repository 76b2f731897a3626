"""Rigid motions against matrix exponentials, round trips and gradients at the identity."""

from __future__ import annotations

import math

import torch

from rnnpose_ros.geometry.rotations import (
    matrix_from_euler_xyz,
    matrix_from_quaternion_xyzw,
    nearest_rotation,
    quaternion_xyzw_from_matrix,
    rotation_angle,
)
from rnnpose_ros.geometry.se3 import exp_se3, exp_so3, hat, increment_about, inverse, log_se3, log_so3, transform


def random_twists(count: int = 50) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    xi = torch.randn(count, 6, generator=g, dtype=torch.float64)
    return xi / xi[:, 3:].norm(dim=-1, keepdim=True) * torch.linspace(0.0, 3.1, count, dtype=torch.float64)[:, None]


def test_exp_equals_the_matrix_exponential() -> None:
    xi = random_twists()
    generator = torch.zeros(len(xi), 4, 4, dtype=torch.float64)
    generator[:, :3, :3] = hat(xi[:, 3:])
    generator[:, :3, 3] = xi[:, :3]
    torch.testing.assert_close(exp_se3(xi), torch.linalg.matrix_exp(generator), rtol=1e-10, atol=1e-10)


def test_log_undoes_exp_up_to_half_a_turn() -> None:
    xi = random_twists()
    torch.testing.assert_close(log_se3(exp_se3(xi)), xi, rtol=1e-7, atol=1e-9)


def test_log_of_a_half_turn_has_the_angle_pi() -> None:
    R = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    assert math.isclose(float(log_so3(R).norm()), math.pi, abs_tol=1e-9)


def test_gradient_of_exp_at_zero_is_finite_and_right() -> None:
    zero = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(exp_se3, (zero,), atol=1e-6)


def test_inverse_takes_points_back() -> None:
    T = exp_se3(random_twists())
    points = torch.randn(50, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(transform(inverse(T), transform(T, points)), points)


def test_increment_about_a_centre_leaves_the_centre_to_the_translation_alone() -> None:
    T = exp_se3(random_twists())
    centre = torch.randn(50, 3, dtype=torch.float64)
    xi = random_twists().flip(0)
    moved = increment_about(T, xi, transform(T, centre[:, None])[:, 0])
    shift = transform(moved, centre[:, None])[:, 0] - transform(T, centre[:, None])[:, 0]
    torch.testing.assert_close(shift, xi[:, :3])


def test_quaternions_are_xyzw_and_round_trip() -> None:
    quarter_about_z = exp_so3(torch.tensor([[0.0, 0.0, math.pi / 2]], dtype=torch.float64))
    expected = torch.tensor([[0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)]], dtype=torch.float64)
    torch.testing.assert_close(quaternion_xyzw_from_matrix(quarter_about_z), expected)
    R = exp_so3(random_twists()[:, 3:])
    torch.testing.assert_close(matrix_from_quaternion_xyzw(quaternion_xyzw_from_matrix(R)), R)


def test_rotation_angle_is_exact_for_tiny_angles() -> None:
    R = exp_so3(torch.tensor([[1e-9, 0.0, 0.0]], dtype=torch.float64))
    assert math.isclose(float(rotation_angle(R)), 1e-9, rel_tol=1e-6)


def test_euler_angles_turn_about_x_first() -> None:
    R = matrix_from_euler_xyz(torch.tensor([[math.pi / 2, 0.0, math.pi / 2]], dtype=torch.float64))
    y = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(R[0] @ y, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), atol=1e-12, rtol=0)


def test_nearest_rotation_of_a_noisy_rotation_is_a_rotation_close_by() -> None:
    R = exp_so3(random_twists()[:, 3:])
    noisy = R + 0.01 * torch.randn(R.shape, dtype=torch.float64)
    near = nearest_rotation(noisy)
    torch.testing.assert_close(near @ near.transpose(-1, -2), torch.eye(3, dtype=torch.float64).expand_as(near))
    assert torch.linalg.det(near).min() > 0.999
    assert rotation_angle(near @ R.transpose(-1, -2)).max() < 0.05
