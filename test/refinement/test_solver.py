"""The Levenberg-Marquardt step against finite differences and exact correspondences."""

from __future__ import annotations

import math

import torch

from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.perturbation import N1, perturb
from rnnpose_ros.geometry.rotations import matrix_from_euler_xyz, rotation_angle
from rnnpose_ros.geometry.se3 import from_rotation_translation, increment_about, inverse, transform
from rnnpose_ros.refinement.solver import (
    SolverConfig,
    eliminate,
    lm_step,
    pose_covariance,
    projection_jacobian,
    robust_step,
    solve_marked,
    weighted_median,
)

CONFIG = SolverConfig()


def scene(batch: int = 4, points: int = 150) -> dict[str, torch.Tensor]:
    """Random points on an object of 20 cm before a 240-pixel crop camera, float64."""
    g = torch.Generator().manual_seed(3)
    points_object = (torch.rand(batch, points, 3, generator=g, dtype=torch.float64) - 0.5) * 0.12
    T = from_rotation_translation(
        matrix_from_euler_xyz(torch.randn(batch, 3, generator=g, dtype=torch.float64)),
        torch.tensor([0.05, -0.03, 0.8], dtype=torch.float64).repeat(batch, 1),
    )
    K = torch.tensor([[900.0, 0, 60.0], [0, 880.0, 150.0], [0, 0, 1]], dtype=torch.float64).repeat(batch, 1, 1)
    centre = torch.tensor([[0.01, -0.02, 0.015]], dtype=torch.float64).repeat(batch, 1)
    return {"points": points_object, "T": T, "K": K, "centre": centre, "diameter": torch.full((batch,), 0.2).double()}


def test_jacobian_agrees_with_finite_differences() -> None:
    s = scene()
    X = transform(s["T"], s["points"])
    c = transform(s["T"], s["centre"][:, None])[:, 0]
    J = projection_jacobian(X, c, s["K"], s["diameter"])
    step = 1e-6
    for axis in range(6):
        xi = torch.zeros(4, 6, dtype=torch.float64)
        xi[:, axis] = step
        xi[:, :3] *= s["diameter"][:, None]
        plus = project(transform(increment_about(s["T"], xi, c), s["points"]), s["K"])
        minus = project(transform(increment_about(s["T"], -xi, c), s["points"]), s["K"])
        torch.testing.assert_close(J[..., axis], (plus - minus) / (2 * step), rtol=1e-6, atol=1e-4)


def test_exact_correspondences_give_the_pose_in_five_steps() -> None:
    s = scene()
    T = perturb(s["T"], noise=N1, generator=torch.Generator().manual_seed(5))
    target = project(transform(s["T"], s["points"]), s["K"])
    weights = torch.ones(target.shape[:2], dtype=torch.float64)
    for _ in range(5):
        T = lm_step(
            T, transform(T, s["points"]), target, weights, s["K"],
            centre_camera=transform(T, s["centre"][:, None])[:, 0], diameter=s["diameter"], config=CONFIG,
        ).T_camera_object  # fmt: skip
    delta = T @ inverse(s["T"])
    assert rotation_angle(delta[:, :3, :3]).max() < math.radians(1e-3)
    assert (project(transform(T, s["points"]), s["K"]) - target).abs().max() < 2e-3


def test_points_of_weight_zero_do_not_move_the_pose() -> None:
    s = scene(batch=1)
    X = transform(s["T"], s["points"])
    target = project(X, s["K"])
    weights = torch.ones(1, 150, dtype=torch.float64)
    weights[:, :50] = 0.0
    target[:, :50] += 500.0
    step = lm_step(
        s["T"], X, target, weights, s["K"],
        centre_camera=transform(s["T"], s["centre"][:, None])[:, 0], diameter=s["diameter"], config=CONFIG,
    )  # fmt: skip
    assert step.step.abs().max() < 1e-9


def test_outliers_lose_their_say() -> None:
    s = scene()
    T = perturb(s["T"], noise=N1, generator=torch.Generator().manual_seed(5), scale=0.2)
    target = project(transform(s["T"], s["points"]), s["K"])
    target[:, :45] += torch.tensor([25.0, -15.0], dtype=torch.float64)
    weights = torch.ones(target.shape[:2], dtype=torch.float64)
    errors = {}
    for robust_steps in (0, 4):
        config = SolverConfig(robust_steps=robust_steps)
        pose = T
        for _ in range(4):
            pose = robust_step(
                pose, transform(pose, s["points"]), target, weights, s["K"],
                centre_camera=transform(pose, s["centre"][:, None])[:, 0], diameter=s["diameter"], config=config,
            ).T_camera_object  # fmt: skip
        errors[robust_steps] = (project(transform(pose, s["points"]), s["K"])[:, 45:] - target[:, 45:]).norm(dim=-1)
    assert errors[0].mean() > 5.0
    assert errors[4].max() < 0.7


def test_weighted_median_counts_weights() -> None:
    values = torch.tensor([[5.0, 1.0, 3.0, 2.0]])
    assert float(weighted_median(values, torch.ones(1, 4))) == 2.0
    assert float(weighted_median(values, torch.tensor([[10.0, 1.0, 1.0, 1.0]]))) == 5.0


def test_no_weight_at_all_keeps_the_pose_and_non_finite_targets_are_reported() -> None:
    s = scene(batch=2)
    X = transform(s["T"], s["points"])
    target = project(X, s["K"]) + 3.0
    target[1, 0] = float("nan")
    weights = torch.zeros(2, 150, dtype=torch.float64)
    weights[1] = 1.0
    step = lm_step(
        s["T"], X, target, weights, s["K"],
        centre_camera=transform(s["T"], s["centre"][:, None])[:, 0], diameter=s["diameter"], config=CONFIG,
    )  # fmt: skip
    torch.testing.assert_close(step.T_camera_object, s["T"])
    assert step.ok.tolist() == [True, False]


def test_gradients_through_targets_and_weights_agree_with_finite_differences() -> None:
    s = scene(batch=2, points=12)
    X = transform(s["T"], s["points"])
    g = torch.Generator().manual_seed(1)
    target = (project(X, s["K"]) + torch.randn(2, 12, 2, generator=g, dtype=torch.float64)).requires_grad_()
    weights = torch.rand(2, 12, generator=g, dtype=torch.float64).requires_grad_()
    c = transform(s["T"], s["centre"][:, None])[:, 0]

    def pose(target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return lm_step(
            s["T"], X, target, weights, s["K"], centre_camera=c, diameter=s["diameter"], config=CONFIG
        ).T_camera_object

    assert torch.autograd.gradcheck(pose, (target, weights), eps=1e-6, atol=1e-6)


def test_covariance_predicts_the_scatter_of_noisy_solutions() -> None:
    s = scene(batch=1, points=60)
    noise_px, trials = 0.5, 800
    X = transform(s["T"], s["points"]).expand(trials, -1, -1)
    g = torch.Generator().manual_seed(2)
    target = project(X, s["K"].expand(trials, -1, -1))
    target = target + torch.randn(target.shape, generator=g, dtype=torch.float64) * noise_px
    c = transform(s["T"], s["centre"][:, None])[:, 0]
    step = lm_step(
        s["T"].expand(trials, -1, -1),
        X,
        target,
        torch.ones(trials, 60, dtype=torch.float64),
        s["K"].expand(trials, -1, -1),
        centre_camera=c.expand(trials, -1),
        diameter=s["diameter"].expand(trials),
        config=SolverConfig(damping=0.0, prior=0.0),
    )
    origin = s["T"][0, :3, 3]
    shift = step.T_camera_object[:, :3, 3] - origin
    predicted = pose_covariance(step.normal_matrix[0], noise_px**2, diameter=0.2, origin_from_centre=origin - c[0])
    assert predicted is not None
    measured = shift.T @ shift / trials
    ratio = measured.diagonal() / predicted.diagonal()[:3]
    assert ratio.min() > 0.8
    assert ratio.max() < 1.25


def test_elimination_solves_as_cholesky_does_and_marks_the_same() -> None:
    J = torch.randn(5, 40, 6, dtype=torch.float64) * torch.logspace(-2, 2, 6, dtype=torch.float64)
    A, b = J.mT @ J, torch.randn(5, 6, dtype=torch.float64)
    A[1] -= 2 * A[1].diagonal().diag()  # indefinite
    A[2, 3, :] = A[2, :, 3] = 0.0  # singular
    usable = torch.tensor([True, True, True, False, True])
    expected, expected_ok = solve_marked(A, b, usable=usable)
    assert expected_ok.tolist() == [True, False, False, False, True]
    x, positive = eliminate(A, b)
    assert positive.tolist() == [True, False, False, True, True]
    torch.testing.assert_close(x[expected_ok], expected[expected_ok], rtol=1e-9, atol=0)
    assert bool(torch.isfinite(x).all())


def test_on_a_gpu_unsolvable_items_keep_their_pose_too(monkeypatch) -> None:
    A, b = torch.eye(6).double().repeat(3, 1, 1), torch.ones(3, 6).double()
    A[1], A[2, 0, 0] = -A[1], float("nan")
    usable = torch.tensor([True, True, False])
    expected = solve_marked(A, b, usable=usable)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda _: True))
    for ours, theirs in zip(solve_marked(A, b, usable=usable), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_gradients_through_elimination_agree_with_finite_differences() -> None:
    half, b = torch.randn(2, 6, 6).double().requires_grad_(), torch.randn(2, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda h, b: eliminate(h @ h.mT + torch.eye(6).double(), b)[0], (half, b))
