"""What looks solved is not always believed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rnnpose_ros.geometry.se3 import exp_se3
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.refinement.solution import spread_diameters
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.tracking.trust import doubted
from rnnpose_ros.types import Mesh, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

START = exp_se3(torch.tensor([0.0, 0.0, 0.5, 0.1, 0.2, 0.3], dtype=torch.float64))
SURE = torch.diag(torch.tensor([1e-3] * 6, dtype=torch.float64)) ** 2


def model(*, twofold: bool = False) -> ObjectModel:
    """A bar of 0.2 m along x."""
    vertices = torch.tensor([[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0]])
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    symmetries = torch.stack([torch.eye(4, dtype=torch.float64), half_turn]) if twofold else None
    return object_from_mesh(
        Mesh(vertices, torch.tensor([[0, 1, 2]]), torch.ones(1, 3, 3)), label="bar", symmetries=symmetries
    )


def judged(T: Tensor, *, covariance: Tensor | None = SURE, twofold: bool = False, **config: float) -> RefinementStatus:
    result = RefinementResult("bar", T, RefinementStatus.CONVERGED, 0.9, 0.5, covariance)
    start = PoseHypothesis("bar", START)
    return doubted(result, start, model(twofold=twofold), TrackingConfig(**config)).status


def moved(**twist: float) -> Tensor:
    """The start, moved in its own axes."""
    values = [twist.get(name, 0.0) for name in ("x", "y", "z", "rx", "ry", "rz")]
    return START @ exp_se3(torch.tensor(values, dtype=torch.float64))


def test_a_result_may_lie_as_far_from_its_start_as_the_parameters_say() -> None:
    assert judged(moved(x=0.19)) is RefinementStatus.CONVERGED
    assert judged(moved(x=0.21)) is RefinementStatus.DIVERGED
    assert judged(moved(rz=0.89)) is RefinementStatus.CONVERGED
    assert judged(moved(rz=0.91)) is RefinementStatus.DIVERGED
    assert judged(moved(x=5.0, rz=3.0), max_translation=0.0, max_rotation=0.0) is RefinementStatus.CONVERGED


def test_a_turn_that_nobody_can_see_is_no_turn() -> None:
    assert judged(moved(rz=math.pi - 0.1)) is RefinementStatus.DIVERGED
    assert judged(moved(rz=math.pi - 0.1), twofold=True) is RefinementStatus.CONVERGED


def test_the_predicted_motion_of_the_outline_is_that_of_drawn_poses() -> None:
    """To first order, of a sphere's outline: a turn moves it by the angle times half the diameter."""
    stds = torch.tensor([0.002, 0.001, 0.004, 0.01, 0.02, 0.015], dtype=torch.float64)
    draws = torch.randn(20_000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * stds
    squared = draws[:, :3].square().sum(1) + (0.1 * draws[:, 3:]).square().sum(1)
    expected = float(squared.mean().sqrt()) / 0.2
    assert spread_diameters(torch.diag(stds**2), 0.2) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("std", [0.06, math.nan])
def test_a_result_that_calls_itself_unsure_is_taken_at_its_word(std: float) -> None:
    covariance = torch.diag(torch.tensor([std, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)) ** 2
    assert judged(START, covariance=covariance) is RefinementStatus.UNCERTAIN
    assert judged(START, covariance=covariance, max_uncertainty=0.0) is RefinementStatus.CONVERGED


def test_a_tracked_object_may_be_half_as_unsure_again_so_that_it_does_not_come_and_go() -> None:
    tracker, told = Tracker(objects={"bar": model()}), []
    for stamp, share in enumerate((0.24, 0.18, 0.24, 0.28, 0.32, 0.24, 0.18), start=1):
        covariance = torch.diag(torch.tensor([share * 0.2, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)) ** 2
        starts = tracker.begin_frame(stamp, [] if told and told[-1] else [PoseHypothesis("bar", START)])
        results = [RefinementResult("bar", START, RefinementStatus.CONVERGED, 0.9, 0.5, covariance) for _ in starts]
        told.append(len(tracker.end_frame(results).tracked))
    assert told == [0, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(("score", "expected"), [(0.9, moved(x=0.01)), (0.3, START)], ids=["seen", "not seen"])
def test_where_an_object_is_seen_unsurely_the_next_picture_starts_though_nothing_is_published(
    score: float, expected: Tensor
) -> None:
    tracker = Tracker(TrackingConfig(prediction=0.0), objects={"bar": model()})
    tracker.begin_frame(1, [PoseHypothesis("bar", START)])
    tracker.end_frame([RefinementResult("bar", START, RefinementStatus.CONVERGED, 0.9, 0.5, SURE)])
    tracker.begin_frame(2, [])
    unsure = RefinementResult("bar", moved(x=0.01), RefinementStatus.CONVERGED, score, 0.5, 1e4 * SURE)
    assert not tracker.end_frame([unsure]).tracked
    (start,) = tracker.begin_frame(3, [])
    torch.testing.assert_close(start.T_camera_object, expected)


def test_without_a_covariance_the_score_alone_decides() -> None:
    assert judged(START, covariance=None) is RefinementStatus.CONVERGED


def test_the_tracker_publishes_nothing_that_is_doubted_and_says_why() -> None:
    tracker = Tracker(objects={"bar": model()})
    for stamp, T, tracked in ((1, START, 1), (2, moved(x=0.3), 0), (3, moved(x=0.01), 1)):
        starts = tracker.begin_frame(stamp, [PoseHypothesis("bar", START)])
        results = [RefinementResult("bar", T, RefinementStatus.CONVERGED, 0.9, 0.5, SURE) for _ in starts]
        outcome = tracker.end_frame(results)
        assert len(outcome.tracked) == tracked
        if not tracked:
            assert {item.result.status for item in outcome.lost} == {RefinementStatus.DIVERGED}
