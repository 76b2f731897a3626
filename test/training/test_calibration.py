"""Measures of calibration on cases with known values."""

from __future__ import annotations

import numpy as np

from rnnpose_ros.refinement.status import SCORE_MEASURES, Calibration
from rnnpose_ros.training.calibration import Case, _fit_logistic, fit_calibration


def test_logistic_fit_finds_the_law_that_made_the_cases() -> None:
    rng = np.random.default_rng(0)
    measures = rng.normal(size=(4000, 2)) * [2.0, 0.5] + [1.0, -3.0]
    probability = 1 / (1 + np.exp(-(0.5 + 1.0 * measures[:, 0] + 2.0 * (measures[:, 1] + 3))))
    weights = _fit_logistic(measures, (rng.random(4000) < probability).astype(float))
    np.testing.assert_allclose(weights, [6.5, 1.0, 2.0], rtol=0.15)


def test_score_falls_with_the_residual_and_ignores_unknown_names() -> None:
    calibration = Calibration.from_mapping({"score_by_log_residual": -2.0, "from_a_later_version": 1.0})
    good = calibration.score((0.6, -2.0, -3.0, -4.0, 0.9, 0.9, 1.0))
    assert 0.0 < calibration.score((0.6, 0.5, -3.0, -4.0, 0.9, 0.9, 1.0)) < good < 1.0


def test_the_fit_describes_cases_it_has_not_seen() -> None:
    rng = np.random.default_rng(1)
    cases = []
    for _ in range(3000):
        measures = tuple(float(m) for m in rng.normal(size=len(SCORE_MEASURES)))
        right = bool(rng.random() < 1 / (1 + np.exp(-(1.0 + 4.0 * measures[0] - 2.0 * measures[1]))))
        squared = float(7.0 * rng.chisquare(6)) if right else float("nan")
        cases.append(Case(measures=measures, right=right, error_squared=squared))
    report = fit_calibration(cases)
    assert report.expected_calibration_error < 0.04
    assert report.auroc > 0.9
    assert 0.92 < report.covered_95 < 0.98
    assert 6.0 < report.calibration.covariance_scale < 8.0
