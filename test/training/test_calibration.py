"""Measures of calibration on cases with known values."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpose_ros.refinement.status import Calibration
from rnnpose_ros.training.calibration import _fit_logistic, auroc, expected_calibration_error


def test_auroc_of_a_perfect_and_of_a_useless_score() -> None:
    right = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.8, 0.2, 0.1]), right) == 1.0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.5


def test_calibration_error_is_the_gap_between_score_and_share() -> None:
    scores = np.concatenate([np.full(50, 0.2), np.full(50, 0.9)])
    right = np.concatenate([np.arange(50) < 10, np.arange(50) < 35])
    assert expected_calibration_error(scores, right, bins=2) == pytest.approx(0.5 * 0.0 + 0.5 * 0.2)


def test_logistic_fit_finds_the_law_that_made_the_cases() -> None:
    rng = np.random.default_rng(0)
    measures = rng.normal(size=(4000, 2)) * [2.0, 0.5] + [1.0, -3.0]
    probability = 1 / (1 + np.exp(-(0.5 + 1.0 * measures[:, 0] + 2.0 * (measures[:, 1] + 3))))
    weights = _fit_logistic(measures, (rng.random(4000) < probability).astype(float))
    np.testing.assert_allclose(weights, [6.5, 1.0, 2.0], rtol=0.15)


def test_score_falls_with_the_residual_and_ignores_unknown_names() -> None:
    calibration = Calibration.from_mapping({"score_by_log_residual": -2.0, "from_a_later_version": 1.0})
    good = calibration.score((0.6, -2.0, -3.0, -4.0, 0.9))
    assert 0.0 < calibration.score((0.6, 0.5, -3.0, -4.0, 0.9)) < good < 1.0
