"""Following an object by the pictures alone, on the packaged sequence."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from rnnpose_ros.checkpoints.checkpoint import default_weights, load_network
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.perturbation import perturb
from rnnpose_ros.geometry.se3 import exp_so3, transform
from rnnpose_ros.refinement.kernels import Kernels
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.refinement.status import SCORE_MEASURES, Calibration
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.sources.sequence import Sequence, read_sequence
from rnnpose_ros.types import ImageFrame, PoseHypothesis, RefinementResult

INDEX = 20
MEASURED = (0.6, -3.0, -4.0, -1.0, 0.8, 0.9, 1.0, math.nan)


@pytest.fixture(scope="module")
def sequence() -> Sequence:
    return read_sequence("package://rnnpose_ros/models/sequences/tea_box")


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    network, info = load_network(default_weights())
    calibration = Calibration.from_mapping(info.calibration)
    return Refiner(network, WarpRenderer("cpu"), RefinerConfig(crop_size=160), calibration=calibration)


def last_pose(sequence: Sequence, *, scale: float = 0.12) -> PoseHypothesis:
    """As it may have been one picture ago."""
    T = perturb(
        sequence.poses[INDEX][None], generator=torch.Generator().manual_seed(3), scale=scale,
        centre_object=sequence.object.centre[None],
    )[0]  # fmt: skip
    return PoseHypothesis(sequence.object.label, T, measures=MEASURED)


def followed(
    refiner: Refiner, sequence: Sequence, start: PoseHypothesis, *, rgb: torch.Tensor | None = None, least: float = 0.7
) -> RefinementResult | None:
    frame = ImageFrame(rgb=sequence.frame(INDEX) if rgb is None else rgb, camera=sequence.camera)
    (result,) = refiner.follow(frame, [start], {"tea_box": sequence.object}, least_agreement=least)
    return result


def error_px(sequence: Sequence, T: torch.Tensor) -> float:
    points = sequence.object.mesh.vertices.double()
    uv, true = (project(transform(pose, points)[None], sequence.camera.K) for pose in (T, sequence.poses[INDEX]))
    return float((uv - true).norm(dim=-1).mean())


def test_a_small_motion_is_followed_to_a_pixel(refiner: Refiner, sequence: Sequence) -> None:
    start = last_pose(sequence)
    assert error_px(sequence, start.T_camera_object) > 1.5
    result = followed(refiner, sequence, start)
    assert result is not None
    assert error_px(sequence, result.T_camera_object) < 1.0
    assert result.is_usable
    assert not result.by_network
    assert math.isnan(result.residual_px)


def test_uncertainty_and_agreement_are_measured_anew_and_the_score_is_of_them(
    refiner: Refiner, sequence: Sequence
) -> None:
    result = followed(refiner, sequence, last_pose(sequence))
    assert result is not None
    assert result.measures is not None
    assert result.covariance is not None
    assert result.measures[:3] == MEASURED[:3], "only the network could measure these"
    assert result.measures[3] < MEASURED[3]
    assert 0.7 <= result.measures[SCORE_MEASURES.index("agreement")] < 1.0
    assert result.score == refiner.calibration.score(result.measures)
    assert bool((torch.linalg.eigvalsh(result.covariance) > 0).all())


def test_where_the_pictures_do_not_agree_the_network_is_needed(refiner: Refiner, sequence: Sequence) -> None:
    start = last_pose(sequence)
    hidden = torch.randint(0, 256, (*sequence.frame(INDEX).shape,), generator=torch.Generator().manual_seed(0)).byte()
    assert followed(refiner, sequence, start, rgb=hidden) is None
    assert followed(refiner, sequence, start, least=0.999) is None
    assert followed(refiner, sequence, dataclasses.replace(start, measures=None)) is None
    far = last_pose(sequence, scale=1.5)
    assert followed(refiner, sequence, far) is None


def test_what_the_network_corrected_stays_corrected(refiner: Refiner, sequence: Sequence) -> None:
    start = last_pose(sequence)
    plain = followed(refiner, sequence, start)
    assert plain is not None
    correction = torch.eye(4, dtype=torch.float64)
    correction[:3, :3] = exp_so3(torch.tensor([0.0, 0.1, 0.0], dtype=torch.float64))
    correction[0, 3] = 0.01
    there = dataclasses.replace(start, T_camera_object=start.T_camera_object @ correction, correction=correction)
    corrected = followed(refiner, sequence, there)
    assert corrected is not None
    torch.testing.assert_close(corrected.T_camera_object, plain.T_camera_object @ correction, atol=1e-6, rtol=0)
    assert corrected.score == pytest.approx(plain.score, abs=1e-4)


def test_torch_has_its_threads_back_afterwards(sequence: Sequence, refiner: Refiner) -> None:
    before = torch.get_num_threads()
    with Kernels(threads=before + 1).torch_threads():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
