"""Further starts: where they lie, and which result is taken."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch

from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3, transform
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.restarts import (
    RestartConfig,
    finish_best,
    poses_around,
    restart_poses,
    support,
    try_again,
)
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus


@pytest.fixture(scope="module")
def box() -> ObjectModel:
    return load_object("package://rnnpose_ros/models/objects/demo/tea_box")


@pytest.fixture
def start(box: ObjectModel) -> PoseHypothesis:
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.8
    return PoseHypothesis(box.label, T)


def result(hypothesis: PoseHypothesis, supported: float) -> RefinementResult:
    """Supported so much, and with a score that says the contrary."""
    return RefinementResult(
        hypothesis.label,
        hypothesis.T_camera_object,
        RefinementStatus.CONVERGED,
        1.0 - supported,
        0.3,
        measures=(supported,),
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


def test_the_starts_that_the_picture_supports_best_after_a_cycle_are_refined_to_the_end(
    box: ObjectModel, start: PoseHypothesis
) -> None:
    asked: list[tuple[int, int]] = []

    def refine(hypotheses: Sequence[PoseHypothesis], cycles: int) -> list[RefinementResult]:
        asked.append((len(hypotheses), cycles))
        return [result(h, 0.1 * i + 0.2 * (cycles - 1)) for i, h in enumerate(hypotheses)]

    config = RestartConfig(count=4, keep=2)
    found = try_again(start, result(start, 0.05), box, begin=refine, refine=refine, cycles=3, config=config)
    assert asked == [(4, 1), (2, 2)]
    assert support(found) == pytest.approx(0.3)
    assert torch.equal(found.T_camera_object, restart_poses(start.T_camera_object, box, config)[2])


def test_a_first_result_that_stays_the_best_is_kept(box: ObjectModel, start: PoseHypothesis) -> None:
    def refine(hypotheses: Sequence[PoseHypothesis], cycles: int) -> list[RefinementResult]:
        return [dataclasses.replace(result(h, 0.02), measures=None) for h in hypotheses]

    first = result(start, 0.3)
    assert try_again(start, first, box, begin=refine, refine=refine, cycles=3, config=RestartConfig()) is first


def test_poses_around_one_turn_about_the_centre_and_leave_no_gap(box: ObjectModel, start: PoseHypothesis) -> None:
    poses = poses_around(start.T_camera_object, box, count=32, within_deg=90.0)
    assert torch.equal(poses[0], start.T_camera_object)
    centres = transform(poses, box.centre.double().expand(32, 1, 3))
    torch.testing.assert_close(centres, centres[:1].expand(32, 1, 3), rtol=0, atol=1e-12)
    assert float(rotation_angle(poses[:, :3, :3]).max()) <= math.radians(90.0) + 1e-9
    axes = torch.nn.functional.normalize(torch.randn(500, 3).double(), dim=-1)
    anywhere = exp_so3(axes * torch.deg2rad(torch.linspace(0.0, 90.0, 500).double())[:, None])
    away = rotation_angle(anywhere[:, None].mT @ poses[None, :, :3, :3]).amin(1)
    assert float(torch.rad2deg(away).quantile(0.95)) < 45.0, "what the refinement can make good"


class Scripted:
    """A refinement that moves each pose by 1 m a cycle; the picture supports it by where it started, in x."""

    def __init__(self, supported: dict[float, float], *, lost: Sequence[float] = ()) -> None:
        self.supported, self.lost = supported, lost
        self.asked: list[tuple[list[float], int]] = []

    def __call__(self, hypotheses: Sequence[PoseHypothesis], cycles: int) -> list[RefinementResult]:
        places = [float(h.T_camera_object[0, 3]) for h in hypotheses]
        self.asked.append((places, cycles))
        results = []
        for hypothesis, x in zip(hypotheses, places, strict=True):
            T = hypothesis.T_camera_object.clone()
            T[2, 3] += cycles
            there = result(dataclasses.replace(hypothesis, T_camera_object=T), self.supported[x] + 0.1 * float(T[2, 3]))
            results.append(dataclasses.replace(there, measures=None) if x in self.lost else there)
        return results


def starts_at(*places: float) -> list[PoseHypothesis]:
    poses = torch.eye(4, dtype=torch.float64).repeat(len(places), 1, 1)
    poses[:, 0, 3] = torch.tensor(places)
    return [PoseHypothesis("box", T) for T in poses]


def test_the_best_starts_are_kept_and_finished_from_where_a_cycle_brought_them() -> None:
    refine = Scripted({0.0: 0.1, 1.0: 0.3, 2.0: 0.0, 3.0: 0.2})
    results = finish_best(starts_at(0.0, 1.0, 2.0, 3.0), begin=refine, refine=refine, cycles=3, keep=2)
    assert refine.asked == [([0.0, 1.0, 2.0, 3.0], 1), ([1.0, 3.0], 2)]
    assert [r.T_camera_object[:3, 3].tolist() for r in results] == [[1.0, 0.0, 3.0], [3.0, 0.0, 3.0]]
    assert [support(r) for r in results] == [pytest.approx(0.6), pytest.approx(0.5)]


def test_a_start_that_cannot_go_on_is_not_refined_again() -> None:
    refine = Scripted({0.0: 0.5, 1.0: 0.1}, lost=[0.0])
    results = finish_best(starts_at(0.0, 1.0), begin=refine, refine=refine, cycles=2, keep=2)
    assert refine.asked == [([0.0, 1.0], 1), ([1.0], 1)]
    assert [float(r.T_camera_object[0, 3]) for r in results] == [1.0, 0.0], "what failed comes last"
    assert len(finish_best(starts_at(0.0), begin=refine, refine=refine, cycles=1, keep=5)) == 1
