"""Measures of calibration on cases with known values."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

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
    good = calibration.score((0.6, -2.0, -3.0, -4.0, 0.9, 0.9, 1.0, math.nan))
    assert 0.0 < calibration.score((0.6, 0.5, -3.0, -4.0, 0.9, 0.9, 1.0, math.nan)) < good < 1.0


def test_the_fit_describes_cases_it_has_not_seen() -> None:
    rng = np.random.default_rng(1)
    cases = []
    for _ in range(3000):
        measures = (*map(float, rng.normal(size=len(SCORE_MEASURES) - 1)), math.nan)
        right = bool(rng.random() < 1 / (1 + np.exp(-(1.0 + 4.0 * measures[0] - 2.0 * measures[1]))))
        squared = float(7.0 * rng.chisquare(6)) if right else float("nan")
        cases.append(Case(measures=measures, right=right, error_squared=squared))
    report = fit_calibration(cases)
    assert report.expected_calibration_error < 0.04
    assert report.auroc > 0.9
    assert 0.92 < report.covered_95 < 0.98
    assert 6.0 < report.calibration.covariance_scale < 8.0


def opinionated_cases(number: int) -> list[Case]:
    """The first score says half of it, how far second opinions lie apart the other half."""
    rng = np.random.default_rng(2)
    cases = []
    for _ in range(number):
        first, apart = rng.normal(size=2)
        right = bool(rng.random() < 1 / (1 + np.exp(-(3.0 * first - 3.0 * apart))))
        rest = (0.0,) * (len(SCORE_MEASURES) - 2)
        case = Case((first, *rest, math.nan), right=right, error_squared=1.0 if right else math.nan)
        asked = dataclasses.replace(case, measures=(first, *rest, apart - 4.0))
        cases.append(dataclasses.replace(case, reconsidered=asked))
    return cases


def test_opinions_that_lie_apart_lower_the_score_as_much_as_they_tell() -> None:
    report = fit_calibration(opinionated_cases(6000), low=0.2, high=0.95)
    fitted = report.calibration
    assert fitted.opinion_by_log_apart == pytest.approx(-3.0, rel=0.15)
    assert report.asked_error < 0.04
    assert report.asked_auroc > report.asked_auroc_before + 0.1
    measures = (0.5, *(0.0,) * (len(SCORE_MEASURES) - 2))
    near, far = (fitted.score((*measures, apart)) for apart in (-6.0, -2.0))
    assert far < fitted.score((*measures, math.nan)) < near


def test_only_cases_that_will_be_asked_about_tell_what_opinions_mean() -> None:
    cases = opinionated_cases(400)
    everything = fit_calibration(cases)
    some = fit_calibration(cases, low=0.2, high=0.95)
    assert 0 < some.asked < everything.asked == 400
    nothing = fit_calibration([dataclasses.replace(case, reconsidered=None) for case in cases])
    assert nothing.asked == 0
    assert nothing.calibration.score((0.1,) * len(SCORE_MEASURES)) == nothing.calibration.score(
        (*(0.1,) * (len(SCORE_MEASURES) - 1), math.nan)
    )
