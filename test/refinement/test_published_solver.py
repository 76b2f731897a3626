"""The published step: its Jacobian, its damping, its gradients, and what it reports."""

from __future__ import annotations

import torch

from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import exp_se3, from_rotation_translation, transform
from rnnpose_ros.networks.confidence import similarity
from rnnpose_ros.refinement.published_solver import published_step
from rnnpose_ros.refinement.solver import SolverConfig, projection_jacobian

K = torch.tensor([[[900.0, 0, 110.0], [0, 880.0, 130.0], [0, 0, 1]]], dtype=torch.float64)
T = from_rotation_translation(
    exp_se3(torch.tensor([[0.0, 0, 0, 0.3, -0.5, 0.2]], dtype=torch.float64))[:, :3, :3],
    torch.tensor([[0.02, -0.01, 0.8]], dtype=torch.float64),
)
DIAMETER = torch.tensor([0.15], dtype=torch.float64)


def points(count: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(4)
    return transform(T, (torch.rand(1, count, 3, generator=g, dtype=torch.float64) - 0.5) * 0.1)


def step(X, target, weights):
    return published_step(T, X, target, weights, K, centre_camera=T[:, :3, 3], diameter=DIAMETER, config=SolverConfig())


def test_jacobian_about_the_camera_agrees_with_finite_differences():
    X = points(40)
    J = projection_jacobian(X, torch.zeros(1, 3, dtype=X.dtype), K, torch.ones(1, dtype=X.dtype))
    for axis in range(6):
        xi = torch.zeros(1, 6, dtype=X.dtype)
        xi[0, axis] = 1e-6
        plus, minus = (project(transform(exp_se3(s * xi), X), K) for s in (1, -1))
        torch.testing.assert_close(J[..., axis], (plus - minus) / 2e-6, rtol=1e-6, atol=1e-4)


def test_step_solves_the_damped_normal_equations():
    X, target = points(60), project(points(60), K) + 2.0
    weights = torch.linspace(0.1, 1.0, 60, dtype=X.dtype)[None]
    J = projection_jacobian(X, torch.zeros(1, 3, dtype=X.dtype), K, torch.ones(1, dtype=X.dtype))[0].flatten(0, 1)
    W = weights[0].repeat_interleave(2)
    H = J.T @ (W[:, None] * J)
    damped = H + 100.0 * torch.eye(6, dtype=H.dtype) + 1e-4 * torch.diag(H.diagonal())
    xi = torch.linalg.solve(damped, J.T @ (W * (target - project(X, K)).flatten()))
    torch.testing.assert_close(step(X, target, weights).T_camera_object, exp_se3(xi[None]) @ T)


def test_exact_targets_are_reached_in_the_end():
    object_points = (torch.rand(1, 80, 3, dtype=torch.float64) - 0.5) * 0.1
    target = project(transform(T, object_points), K)
    pose = exp_se3(torch.tensor([[0.01, -0.01, 0.02, 0.1, 0.05, -0.1]], dtype=torch.float64)) @ T
    weights = torch.full((1, 80), 50.0, dtype=torch.float64)
    for _ in range(60):
        pose = published_step(
            pose,
            transform(pose, object_points),
            target,
            weights,
            K,
            centre_camera=pose[:, :3, 3],
            diameter=DIAMETER,
            config=SolverConfig(),
        ).T_camera_object
    assert float((project(transform(pose, object_points), K) - target).abs().max()) < 0.05


def test_a_wild_step_is_cut_to_one_in_every_component_and_near_points_do_not_count():
    X = points(30)
    target = project(X, K) + 1e6
    moved = step(X, target, torch.ones(1, 30, dtype=X.dtype)).T_camera_object @ torch.linalg.inv(T)
    assert float(moved[0, :3, 3].norm()) < 3.0
    near = X.clone()
    near[..., 2] = 0.09
    kept = step(near, target, torch.ones(1, 30, dtype=X.dtype))
    torch.testing.assert_close(kept.T_camera_object, T)
    assert float(kept.weight_sum) == 0.0


def test_targets_that_are_no_numbers_keep_the_pose_and_are_reported():
    X = points(30)
    target = project(X, K)
    target[0, 0] = float("nan")
    kept = step(X, target, torch.ones(1, 30, dtype=X.dtype))
    assert not bool(kept.ok)
    torch.testing.assert_close(kept.T_camera_object, T)


def test_reported_motion_is_the_same_motion_about_the_centre():
    X = points(60)
    target = project(X, K) + torch.tensor([1.5, -0.7], dtype=X.dtype)
    weights = torch.ones(1, 60, dtype=X.dtype)
    report = step(X, target, weights)
    v, omega = report.step[:, :3] * DIAMETER[:, None], report.step[:, 3:]
    predicted = v + torch.linalg.cross(omega[:, None].expand_as(X), X - T[:, None, :3, 3])
    moved = transform(report.T_camera_object @ torch.linalg.inv(T), X) - X
    torch.testing.assert_close(moved, predicted, rtol=1e-2, atol=1e-5)
    J = projection_jacobian(X, T[:, :3, 3], K, DIAMETER)[0].flatten(0, 1)
    torch.testing.assert_close(report.normal_matrix[0], J.T @ J)


def test_gradients_through_flow_weights_descriptors_and_sigma_agree_with_finite_differences():
    g = torch.Generator().manual_seed(7)
    X = points(8)
    uv = project(X, K)
    flow = torch.randn(1, 8, 2, generator=g, dtype=torch.float64)
    render = torch.randn(1, 4, 1, 8, generator=g, dtype=torch.float64)
    photo = torch.randn(1, 4, 6, 7, generator=g, dtype=torch.float64)
    confidence = torch.rand(1, 8, generator=g, dtype=torch.float64)
    sigma = torch.tensor(0.7, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (flow, confidence, 0.3 * render, 0.3 * photo, sigma)]

    def pose(flow, confidence, render, photo, sigma):
        target = uv + flow
        alike = similarity(render, photo, (target / 40.0)[:, None], sigma)[:, 0]
        return step(X, target, 40.0 * alike * confidence).T_camera_object

    inputs = [x.detach().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(pose, inputs, eps=1e-6, atol=1e-7)


def test_gradient_of_the_exponential_at_zero_is_right():
    assert torch.autograd.gradcheck(exp_se3, (torch.zeros(1, 6, dtype=torch.float64, requires_grad=True),))
