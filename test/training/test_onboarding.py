"""How an onboarding spends its budget."""

from __future__ import annotations

import pytest

from rnnpose_ros.training.onboarding import share_budget


@pytest.mark.parametrize(
    ("budget_s", "making", "measuring", "views", "minutes"),
    [
        (1800.0, 10.0, 2.0, 32, (1800 - 32 * 14 - 10) / 60),  # no more than 32 pictures
        (900.0, 10.0, 5.0, 20, (900 - 20 * 20 - 10) / 60),  # 45 % of the budget
        (120.0, 10.0, 5.0, 8, 0.3 * 120 / 60),  # no fewer than 8, and some training all the same
    ],
)
def test_pictures_and_training_share_the_budget(
    budget_s: float, making: float, measuring: float, views: int, minutes: float
) -> None:
    slow_start = [5 * making] + [making] * 4, [5 * measuring] + [measuring] * 4
    assert share_budget(budget_s, *slow_start) == (views, pytest.approx(minutes))


def test_where_nothing_was_measured_the_fewest_pictures_are_taken() -> None:
    assert share_budget(900.0, [], []) == (8, pytest.approx(890 / 60))
