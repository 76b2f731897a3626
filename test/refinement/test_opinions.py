"""Second opinions: which result stands, and what their distance does to it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch

from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3, transform
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.opinions import OpinionConfig, ask_again, in_their_midst, poses_near
from rnnpose_ros.refinement.status import SCORE_MEASURES, Calibration
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

CALIBRATION = Calibration(
    score_bias=-15.0, score_by_mean_weight=2.0, score_by_log_spread=-2.0, opinion_bias=-6.0, opinion_by_log_apart=-1.0
)
_VARIANCE = 1e-8


@pytest.fixture(scope="module")
def box() -> ObjectModel:
    return load_object("package://rnnpose_ros/models/objects/demo/tea_box")


def result(z: float, *, turn: float = 0.0, solved: bool = True) -> RefinementResult:
    """Of a box so far away, turned so much about the camera's z axis."""
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = exp_so3(torch.tensor([0.0, 0.0, turn], dtype=torch.float64))
    T[2, 3] = z
    measures = (0.9, -2.0, -3.0, -6.0, 0.5, 1.0, 1.0, math.nan)
    return RefinementResult(
        "tea_box",
        T,
        RefinementStatus.CONVERGED,
        CALIBRATION.score(measures),
        0.3,
        covariance=_VARIANCE * torch.eye(6, dtype=torch.float64),
        measures=measures if solved else None,
    )


def test_the_result_in_the_midst_of_all_stands(box: ObjectModel) -> None:
    found = in_their_midst([result(0.9), result(0.51), result(0.5), result(0.52)], box, calibration=CALIBRATION)
    assert float(found.T_camera_object[2, 3]) == 0.51


def test_how_far_they_lie_apart_goes_into_covariance_and_score(box: ObjectModel) -> None:
    first = result(0.5)
    found = in_their_midst([first, result(0.5, turn=0.3), result(0.5), result(0.5)], box, calibration=CALIBRATION)
    assert found.covariance is not None
    expected = torch.full((6,), _VARIANCE, dtype=torch.float64)
    expected[5] += 0.3**2 / 3
    torch.testing.assert_close(found.covariance.diagonal(), expected, rtol=1e-6, atol=0)
    assert found.measures is not None
    log_apart = found.measures[SCORE_MEASURES.index("log_apart")]
    assert log_apart == pytest.approx(math.log(0.5 * 0.3 / math.sqrt(3)), abs=1e-3)
    assert first.measures is not None
    assert found.measures[:-1] == first.measures[:-1]
    assert found.score == CALIBRATION.score(found.measures)
    assert found.score < 0.5 * first.score


def test_equal_opinions_change_nothing(box: ObjectModel) -> None:
    first = result(0.5)
    found = in_their_midst([first, result(0.5), result(0.5)], box, calibration=CALIBRATION)
    assert torch.equal(found.T_camera_object, first.T_camera_object)
    assert found.covariance is not None
    assert first.covariance is not None
    torch.testing.assert_close(found.covariance, first.covariance)


def test_symmetric_poses_are_the_same_opinion(box: ObjectModel) -> None:
    half_turn = torch.eye(4, dtype=torch.float64)
    half_turn[:2, :2] *= -1.0
    symmetric = dataclasses.replace(box, symmetries=torch.stack([torch.eye(4, dtype=torch.float64), half_turn]))
    found = in_their_midst([result(0.5), result(0.5, turn=math.pi)], symmetric, calibration=CALIBRATION)
    assert found.covariance is not None
    assert float(found.covariance.diagonal().max()) < 2 * _VARIANCE
    apart = in_their_midst([result(0.5), result(0.5, turn=math.pi)], box, calibration=CALIBRATION)
    assert apart.covariance is not None
    assert float(apart.covariance[5, 5]) == pytest.approx(math.pi**2, rel=1e-6)


def test_opinions_start_nearer_farther_and_around(box: ObjectModel) -> None:
    T = result(0.5).T_camera_object
    poses = poses_near(T, box, OpinionConfig(count=6, depth_share=0.1))
    centre = transform(T, box.centre.double()[None])[0]
    centres = transform(poses, box.centre.double().expand(6, 1, 3))[:, 0]
    torch.testing.assert_close(centres[:2], torch.stack([0.9 * centre, 1.1 * centre]))
    assert torch.equal(poses[:2, :3, :3], T[:3, :3].expand(2, 3, 3))
    assert (rotation_angle(T[:3, :3].mT @ poses[2:, :3, :3]) > math.radians(1.0)).all()
    assert torch.equal(poses, poses_near(T, box, OpinionConfig(count=6, depth_share=0.1)))
    assert len(poses_near(T, box, OpinionConfig(count=1))) == 1


def ask(answers: list[RefinementResult], model: ObjectModel, *, min_score: float = 0.0) -> RefinementResult:
    def refine(hypotheses: Sequence[PoseHypothesis], cycles: int) -> list[RefinementResult]:
        assert (len(hypotheses), cycles) == (len(answers), 2)
        offsets = torch.stack([h.T_camera_object[:3, 3] for h in hypotheses]) - torch.tensor([0.0, 0.0, 0.5])
        assert 0.0 < float(offsets.norm(dim=-1).min()) < float(offsets.norm(dim=-1).max()) < 0.2
        return answers

    config = OpinionConfig(count=len(answers))
    return ask_again(result(0.5), model, refine=refine, config=config, calibration=CALIBRATION, min_score=min_score)


def test_opinions_that_were_not_solved_do_not_count(box: ObjectModel) -> None:
    lost = result(0.9, solved=False)
    assert float(ask([lost, result(0.51), result(0.51)], box).T_camera_object[2, 3]) == 0.51
    alone = ask([lost, lost, lost], box)
    assert alone.score == result(0.5).score
    assert float(alone.T_camera_object[2, 3]) == 0.5


def test_a_result_whose_opinions_lie_far_apart_is_marked(box: ObjectModel) -> None:
    wide = [result(0.5, turn=1.5), result(0.5, turn=-1.5), result(0.8)]
    assert ask(wide, box).status is RefinementStatus.CONVERGED
    assert ask(wide, box, min_score=0.9).status is RefinementStatus.LOW_SCORE
