"""Further starts: where they lie, and which result is taken."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch

from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.restarts import RestartConfig, restart_poses, try_again
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus


@pytest.fixture(scope="module")
def box() -> ObjectModel:
    return load_object("package://rnnpose_ros/models/objects/demo/tea_box")


@pytest.fixture
def start(box: ObjectModel) -> PoseHypothesis:
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.8
    return PoseHypothesis(box.label, T)


def result(hypothesis: PoseHypothesis, score: float) -> RefinementResult:
    return RefinementResult(
        hypothesis.label, hypothesis.T_camera_object, RefinementStatus.CONVERGED, score, 0.3, measures=(score,)
    )


def test_further_starts_surround_the_rough_pose_and_are_always_the_same(
    box: ObjectModel, start: PoseHypothesis
) -> None:
    poses = restart_poses(start.T_camera_object, box, RestartConfig(count=40))
    assert torch.equal(poses, restart_poses(start.T_camera_object, box, RestartConfig(count=40)))
    angles = rotation_angle(poses[:, :3, :3])
    assert float(angles.max()) <= math.radians(45.0) + 1e-9
    assert float(angles.median()) > math.radians(10.0)
    assert float((poses[:, :3, 3] - start.T_camera_object[:3, 3]).norm(dim=-1).max()) < 0.25


def test_the_start_that_scores_best_after_a_cycle_is_refined_to_the_end(
    box: ObjectModel, start: PoseHypothesis
) -> None:
    asked: list[tuple[int, int]] = []

    def refine(hypotheses: Sequence[PoseHypothesis], cycles: int) -> list[RefinementResult]:
        asked.append((len(hypotheses), cycles))
        if len(hypotheses) > 1:
            return [result(h, 0.1 * i) for i, h in enumerate(hypotheses)]
        return [result(hypotheses[0], 0.9)]

    found = try_again(start, result(start, 0.05), box, refine=refine, cycles=3, config=RestartConfig())
    assert asked == [(4, 1), (1, 2)]
    assert found.score == 0.9
    assert torch.equal(found.T_camera_object, restart_poses(start.T_camera_object, box, RestartConfig())[3])


def test_a_first_result_that_stays_the_best_is_kept(box: ObjectModel, start: PoseHypothesis) -> None:
    def refine(hypotheses: Sequence[PoseHypothesis], cycles: int) -> list[RefinementResult]:
        return [dataclasses.replace(result(h, 0.02), measures=None) for h in hypotheses]

    first = result(start, 0.3)
    assert try_again(start, first, box, refine=refine, cycles=3, config=RestartConfig()) is first
