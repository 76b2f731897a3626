"""Start noise has the protocol's spread."""

from __future__ import annotations

import math

import pytest
import torch

from rnnpose_ros.geometry.perturbation import N1, N3, perturb
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_se3, from_rotation_translation

TRUTH = exp_se3(torch.tensor([[0.1, 0.2, 0.8, 0.3, -1.0, 0.4]], dtype=torch.float64)).repeat(4000, 1, 1)


def test_n1_spreads_as_printed_and_caps_at_45_degrees() -> None:
    T = perturb(TRUTH, noise=N1, generator=torch.Generator().manual_seed(0))
    shift = T[:, :3, 3] - TRUTH[:, :3, 3]
    torch.testing.assert_close(shift.std(0), torch.tensor([0.01, 0.01, 0.05], dtype=torch.float64), rtol=0.05, atol=0.0)
    angle = rotation_angle(T[:, :3, :3] @ TRUTH[:, :3, :3].transpose(1, 2))
    assert angle.max() <= math.radians(45.0)
    assert math.radians(20.0) < angle.median() < math.radians(25.0)


def test_rotation_turns_about_the_given_centre() -> None:
    centre = torch.tensor([[0.0, 0.0, 0.3]], dtype=torch.float64).repeat(4000, 1)
    T = perturb(TRUTH, generator=torch.Generator().manual_seed(0), centre_object=centre)
    moved = (T[:, :3, :3] @ centre[..., None])[..., 0] + T[:, :3, 3]
    still = (TRUTH[:, :3, :3] @ centre[..., None])[..., 0] + TRUTH[:, :3, 3]
    assert float((moved - still)[:, 0].std()) < 0.011


def test_same_seed_gives_the_same_poses_and_scale_zero_none() -> None:
    first = perturb(TRUTH, generator=torch.Generator().manual_seed(7))
    second = perturb(TRUTH, generator=torch.Generator().manual_seed(7))
    assert torch.equal(first, second)
    still = perturb(TRUTH, generator=torch.Generator().manual_seed(7), scale=0.0)
    torch.testing.assert_close(still, TRUTH)


def test_pose_helper_builds_the_matrix() -> None:
    T = from_rotation_translation(torch.eye(3), torch.tensor([1.0, 2.0, 3.0]))
    assert T[3].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert T[:3, 3].tolist() == [1.0, 2.0, 3.0]


def test_n3_turns_by_every_angle_from_45_to_90_degrees_alike() -> None:
    T = torch.eye(4, dtype=torch.float64).repeat(4000, 1, 1)
    angles = torch.rad2deg(rotation_angle(perturb(T, noise=N3, generator=torch.Generator().manual_seed(0))[:, :3, :3]))
    assert 45.0 <= float(angles.min()) < 45.2
    assert 89.8 < float(angles.max()) <= 90.0
    assert float(angles.mean()) == pytest.approx(67.5, abs=1.0)


@pytest.mark.parametrize(("diameter", "factor"), [(0.05, 0.5), (0.1, 1.0), (0.2, 1.0), (0.4, 1.0), (0.8, 2.0)])
def test_translation_noise_grows_with_objects_far_from_20_cm_and_rotation_does_not(diameter, factor) -> None:
    noise = N1.for_diameter(diameter)
    assert noise.translation_std == pytest.approx(tuple(factor * s for s in N1.translation_std))
    assert noise.rotation_std == N1.rotation_std
