"""Measures of a score on cases with known values."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpose_ros.evaluation.score_quality import auroc, expected_calibration_error


def test_auroc_of_a_perfect_and_of_a_useless_score() -> None:
    right = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.8, 0.2, 0.1]), right) == 1.0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.5


def test_calibration_error_is_the_gap_between_score_and_share() -> None:
    scores = np.concatenate([np.full(50, 0.2), np.full(50, 0.9)])
    right = np.concatenate([np.arange(50) < 10, np.arange(50) < 35])
    assert expected_calibration_error(scores, right, bins=2) == pytest.approx(0.5 * 0.0 + 0.5 * 0.2)
