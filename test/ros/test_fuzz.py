"""Whatever comes in, nothing crashes, no impossible pose goes out, and nothing disappears without a count."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 on this machine")

from .fuzz_messages import fuzz

pytestmark = pytest.mark.ros


def test_made_up_messages_of_every_kind_do_no_harm() -> None:
    tally = fuzz(messages=1000, first_seed=1)
    assert tally.hangs == 0
    assert tally.answered > 100, "some get all the way"
    assert tally.transforms_out > 10
    assert sum(tally.refused.values()) > 200
    assert len(tally.refused) > 10, "for many reasons"
