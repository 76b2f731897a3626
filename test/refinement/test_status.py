"""Which cycle's solution is taken, and when further cycles are spared."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.refiner import RefinerConfig
from rnnpose_ros.refinement.solution import Solution
from rnnpose_ros.refinement.status import Calibration, CycleState, judge
from rnnpose_ros.types import PoseHypothesis, RefinementStatus

FOUND = Solution(
    torch.eye(4, dtype=torch.float64), torch.eye(6, dtype=torch.float64), None, mean_weight=0.8, residual_cells=0.05,
    residual_px=0.3, step_cells=0.01, step_px=0.1, spread_diameters=0.01, motion_px=30.0,
)  # fmt: skip


def found(**changes: object) -> Solution:
    return dataclasses.replace(FOUND, **changes)


@pytest.fixture
def state() -> CycleState:
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.8
    return CycleState(PoseHypothesis("tea_box", T), load_object("package://rnnpose_ros/models/objects/demo/tea_box"))


def test_of_aligned_solutions_the_one_whose_pictures_agree_more_is_taken(state: CycleState) -> None:
    first, second = found(aligned=True, agreement=0.5), found(aligned=True, agreement=0.45)
    state.take(first, settled_px=10.0)
    state.take(second, settled_px=10.0)
    assert state.solution is first
    assert state.T_camera_object is second.T_camera_object, "the next cycle goes on from the last"
    assert state.goes_on, "pictures that agree little decide nothing"


def test_without_alignment_the_last_solution_is_taken(state: CycleState) -> None:
    for residual in (0.3, 0.5):
        state.take(found(residual_px=residual), settled_px=10.0)
    assert state.solution is not None
    assert state.solution.residual_px == 0.5
    assert state.goes_on


@pytest.mark.parametrize(
    ("changes", "goes_on"),
    [
        ({"aligned": True, "agreement": 0.9, "motion_px": 30.0}, True),
        ({"aligned": True, "agreement": 0.9, "motion_px": 3.0}, False),
        ({"aligned": True, "agreement": 0.4, "motion_px": 3.0}, True),
        ({"aligned": False, "agreement": 0.9, "motion_px": 3.0}, True),
    ],
)
def test_little_motion_of_pictures_that_agree_is_the_end(
    state: CycleState, changes: dict[str, object], goes_on: bool
) -> None:
    state.take(found(**changes), settled_px=10.0)
    assert state.goes_on is goes_on


def test_pictures_that_agree_and_are_not_bettered_are_the_end(state: CycleState) -> None:
    best = found(aligned=True, agreement=0.9)
    state.take(best, settled_px=0.01)
    assert state.goes_on
    state.take(found(aligned=True, agreement=0.8), settled_px=0.01)
    assert not state.goes_on
    assert state.solution is best


def test_a_result_without_a_solution_says_so(state: CycleState) -> None:
    state.take(found(), settled_px=0.01)
    state.status = RefinementStatus.OUT_OF_VIEW
    result = judge(state, RefinerConfig(), Calibration())
    assert result.status is RefinementStatus.OUT_OF_VIEW
    assert result.score == 0.0
    assert result.measures is None
    assert math.isfinite(result.residual_px)
