"""The kernel takes the steps that the tensors' own solver takes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rnnpose_ros.acceleration.solver_kernel import fused_robust_step
from rnnpose_ros.geometry.camera import intrinsics, project
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, transform
from rnnpose_ros.refinement.solver import SolverConfig, SolverStep, robust_step

BATCH, COUNT = 3, 400


def problem(*, noise_px: float = 0.5, outliers: float = 0.2) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Poses, points, targets of poses a few degrees away, some of them wrong, weights; cameras."""
    generator = torch.Generator().manual_seed(4)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    K = intrinsics(900.0, 910.0, 120.0, 115.0, width=240, height=240).K.expand(BATCH, 3, 3)
    T = from_rotation_translation(exp_so3(draw(BATCH, 3)), torch.tensor([[0.02, -0.01, 0.8]]).double() + 0 * draw(3, 3))
    points = transform(T, 0.05 * draw(BATCH, COUNT, 3))
    centre = T[:, :3, 3] + 0.004
    turn, shift = exp_so3(0.06 * draw(BATCH, 3)), 0.01 * draw(BATCH, 3)
    moved = (points - centre[:, None]) @ turn.mT + (centre + shift)[:, None]
    target = project(moved, K) + noise_px * draw(BATCH, COUNT, 2)
    wrong = torch.rand(BATCH, COUNT, generator=generator) < outliers
    target[wrong] += 15.0
    weights = torch.rand(BATCH, COUNT, generator=generator).double() * (torch.arange(COUNT) % 5 > 0)
    # What the cycle gives: float32, with the camera in float64.
    T, points, target, weights, centre = (t.float() for t in (T, points, target, weights, centre))
    return (T, points, target, weights, K.float()), {
        "centre_camera": centre, "diameter": torch.tensor([0.2, 0.25, 0.15])
    }  # fmt: skip


def both(arguments, named, config: SolverConfig) -> tuple[SolverStep, SolverStep]:
    return fused_robust_step(*arguments, **named, config=config), robust_step(*arguments, **named, config=config)


@pytest.mark.parametrize("robust_steps", [0, 3])
def test_steps_equal_those_of_the_tensors(robust_steps: int) -> None:
    kernel, tensors = both(*problem(), SolverConfig(robust_steps=robust_steps))
    assert bool(kernel.ok.all())
    assert float(tensors.step.norm(dim=1).min()) > 0.02, "there is something to solve"
    torch.testing.assert_close(kernel.T_camera_object, tensors.T_camera_object, rtol=0, atol=2e-6)
    for name in ("step", "normal_matrix", "residual_px", "weight_sum"):
        a, b = getattr(kernel, name), getattr(tensors, name)
        torch.testing.assert_close(a, b.double(), rtol=2e-4, atol=2e-5 * float(b.abs().max()))


def test_a_step_that_is_too_long_is_cut() -> None:
    kernel, tensors = both(*problem(), SolverConfig(robust_steps=0, max_step=0.01))
    torch.testing.assert_close(kernel.step, tensors.step, rtol=1e-4, atol=1e-7)
    assert float(kernel.step.norm(dim=1).max()) == pytest.approx(0.01)


def test_what_cannot_be_solved_is_marked_and_keeps_its_pose() -> None:
    (T, points, target, weights, K), named = problem()
    target[1] = math.nan
    weights[2] = 0.0
    config = SolverConfig(prior=0.0)
    kernel = fused_robust_step(T, points, target, weights, K, **named, config=config)
    assert kernel.ok.tolist() == [True, False, False]
    torch.testing.assert_close(kernel.T_camera_object[1:], T[1:], rtol=0, atol=0)


def test_two_runs_give_the_same_bits() -> None:
    arguments, named = problem()
    first, second = (fused_robust_step(*arguments, **named, config=SolverConfig()) for _ in range(2))
    assert torch.equal(first.T_camera_object, second.T_camera_object)
    assert torch.equal(first.normal_matrix, second.normal_matrix)
