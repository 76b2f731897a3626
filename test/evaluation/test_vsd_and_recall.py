"""VSD and matching on cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnnpose_ros.evaluation.bop_recall import (
    Pairs,
    average_recall,
    errors_of_instances,
    found,
    recall,
    wanted_instances,
)
from rnnpose_ros.evaluation.vsd import DepthViews, distances, vsd
from rnnpose_ros.geometry.camera import intrinsics

FLAT = torch.zeros(10, 10, dtype=torch.float64)


def block(columns: slice, distance: float) -> torch.Tensor:
    """Ten rows of some columns at one distance."""
    picture = FLAT.clone()
    picture[:, columns] = distance
    return picture


def test_a_perfect_estimate_has_no_error_and_one_elsewhere_has_all() -> None:
    views = DepthViews(FLAT, 0.015)
    reference = block(slice(0, 4), 1.0)
    assert vsd(reference, reference, views, diameter=0.1).tolist() == [0.0] * 10
    assert vsd(block(slice(5, 9), 1.0), reference, views, diameter=0.1).tolist() == [1.0] * 10


def test_what_is_missed_and_what_is_too_deep_counts_against_the_union() -> None:
    views = DepthViews(FLAT, 0.015)
    # Columns 0-3 against 2-5: the union has 6 columns, the overlap 2, and those are 0.2 diameters too far.
    errors = vsd(block(slice(2, 6), 1.02), block(slice(0, 4), 1.0), views, diameter=0.1, taus=(0.1, 0.3))
    assert errors.tolist() == pytest.approx([1.0, 4 / 6])


def test_what_an_occluder_hides_does_not_count_and_holes_hide_nothing() -> None:
    measured = block(slice(0, 2), 0.5)  # an occluder before columns 0 and 1; no measurement elsewhere
    reference = block(slice(0, 4), 1.0)
    views = DepthViews(measured, 0.015)
    assert views.visible_reference(reference).sum() == 20
    assert vsd(reference, reference, views, diameter=0.1).tolist() == [0.0] * 10
    assert vsd(block(slice(0, 3), 1.0), reference, views, diameter=0.1, taus=(0.5,)).tolist() == [0.5]


def test_nothing_visible_is_all_wrong() -> None:
    hidden = DepthViews(block(slice(0, 10), 0.3), 0.015)
    reference = block(slice(0, 4), 1.0)
    assert vsd(reference, reference, hidden, diameter=0.1).tolist() == [1.0] * 10


def test_distances_follow_the_ray() -> None:
    camera = intrinsics(10.0, 10.0, 0.0, 0.0, width=11, height=11)
    depth = torch.full((11, 11), 2.0)
    depth[3, 3] = 0
    away = distances(depth, camera)
    assert away[0, 0] == 2.0
    assert float(away[10, 10]) == pytest.approx(2.0 * 3**0.5)
    assert away[3, 3] == 0.0


def pairs(scores: list[float], errors: list[list[float]], wanted: list[bool] | None = None) -> Pairs:
    matrix = np.array(errors, float).reshape(len(scores), -1, 1)
    return Pairs(np.array(scores), np.array(wanted or [True] * matrix.shape[1]), matrix)


def test_the_surest_estimate_takes_the_nearest_free_instance() -> None:
    both = pairs([0.5, 0.9], [[0.1, 0.2], [0.15, 0.3]])
    # The second is surer and takes instance 0; the first is left with instance 1.
    assert found(both, (0.25,)).tolist() == [True, True]
    assert found(both, (0.18,)).tolist() == [True, False]
    assert errors_of_instances([both]).tolist() == pytest.approx([0.15, 0.2])


def test_instances_nobody_asked_for_are_not_found_and_misses_count() -> None:
    unwanted = pairs([1.0], [[0.1, 0.05]], [True, False])
    nothing = Pairs(np.zeros(0), np.array([True]), np.zeros((0, 1, 1)))
    assert found(unwanted, (0.2,)).tolist() == [True, False]
    assert recall([unwanted, nothing], (0.2,)) == 0.5
    assert errors_of_instances([unwanted, nothing]).tolist() == [0.1, np.inf]


def test_all_of_several_measures_must_be_below() -> None:
    errors = np.array([[[4.0, 6.0]], [[4.5, 4.5]]])
    both = Pairs(np.array([0.9, 0.1]), np.array([True]), errors)
    assert recall([both], (5.0, 5.0)) == 1.0
    assert recall([Pairs(both.scores[:1], both.wanted, errors[:1])], (5.0, 5.0)) == 0.0


def test_a_pose_that_is_no_number_is_a_miss() -> None:
    lost = pairs([0.9], [[float("nan")]])
    assert recall([lost], (1e9,)) == 0.0
    assert errors_of_instances([lost]).tolist() == [np.inf]


def test_average_recall_is_over_thresholds_and_measures() -> None:
    one = Pairs(np.array([1.0]), np.array([True]), np.array([[[0.12, 0.32]]]))
    assert average_recall([one], (0.1, 0.2, 0.3, 0.4)) == pytest.approx((3 + 1) / 8)
    assert average_recall([], (0.1,)) == 0.0


def test_the_most_visible_instances_are_wanted() -> None:
    assert wanted_instances(np.array([0.2, 0.9, 0.9, 0.5]), 2).tolist() == [False, True, True, False]
    assert wanted_instances(np.array([0.2]), 3).tolist() == [True]
