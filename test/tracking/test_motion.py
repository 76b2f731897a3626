"""Objects go on as they moved."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, transform
from rnnpose_ros.tracking.motion import carried_on, velocity
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import RefinementResult, RefinementStatus

from .conftest import box, detected, pose

CENTRE = torch.tensor([0.3, -0.1, 0.2])
SPEED = torch.tensor([0.4, -0.2, 0.1], dtype=torch.float64)
"""Of the centre, m/s."""
SPIN = torch.tensor([0.3, 2.0, -1.0], dtype=torch.float64)
"""About the camera's axes, rad/s."""


def pose_at(seconds: float) -> Tensor:
    """Of an object that turns about its centre while this moves straight on."""
    R = exp_so3(SPIN * seconds) @ exp_so3(torch.tensor([0.5, -0.7, 0.2], dtype=torch.float64))
    centre = torch.tensor([0.1, 0.05, 0.8], dtype=torch.float64) + SPEED * seconds
    return from_rotation_translation(R, centre - R @ CENTRE.double())


def test_the_velocity_is_that_of_the_centre_and_of_the_turning() -> None:
    found = velocity(pose_at(1.0), pose_at(1.04), seconds=0.04, centre_object=CENTRE)
    torch.testing.assert_close(found, torch.cat([SPEED, SPIN]), atol=1e-9, rtol=1e-9)


def test_what_is_carried_on_is_where_it_was_after_half_the_time() -> None:
    v = velocity(pose_at(0.0), pose_at(0.1), seconds=0.1, centre_object=CENTRE)
    later = carried_on(pose_at(0.1), v, seconds=0.5, centre_object=CENTRE)
    torch.testing.assert_close(later, pose_at(0.35), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(later[:3, :3] @ later[:3, :3].mT, torch.eye(3).double(), atol=1e-12, rtol=0.0)


def test_turning_on_the_spot_does_not_move_the_centre_however_far_the_origin_is() -> None:
    spin = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, math.pi], dtype=torch.float64)
    far = torch.tensor([5.0, 0.0, 0.0])
    turned = carried_on(pose_at(0.0), spin, seconds=0.5, centre_object=far)
    before, after = (transform(T, far.double()[None])[0] for T in (pose_at(0.0), turned))
    torch.testing.assert_close(after, before, atol=1e-12, rtol=0.0)


def starts_of(xs: list[float], config: TrackingConfig, *, period_ns: int) -> list[float]:
    """Where the tracker starts from in the picture after each of these results, x in metres."""
    tracker, told = Tracker(config, objects={"cube": box()}), []
    for n, x in enumerate(xs):
        starts = tracker.begin_frame(10**9 + n * period_ns, [] if n else [detected(x)])
        told += [float(start.T_camera_object[0, 3]) for start in starts]
        found = RefinementResult("cube", pose(x), RefinementStatus.CONVERGED, 0.9, 0.5)
        tracker.end_frame([found] * len(starts))
    return told[1:]


def test_a_tracked_object_is_looked_for_where_it_will_be() -> None:
    xs = [0.0, 0.01, 0.02, 0.03, 0.03]
    ahead = starts_of(xs, TrackingConfig(), period_ns=10**8)
    assert ahead == pytest.approx([0.0, 0.015, 0.025, 0.035])


def test_not_so_after_a_longer_time_or_where_it_is_not_wanted() -> None:
    xs = [0.0, 0.01, 0.02, 0.03]
    assert starts_of(xs, TrackingConfig(), period_ns=3 * 10**8) == xs[:-1]
    assert starts_of(xs, TrackingConfig(prediction=0.0), period_ns=10**8) == xs[:-1]


def test_an_error_that_nothing_corrects_dies_out() -> None:
    """As where results stay at their starts, in a direction that the pictures do not settle."""
    tracker, x = Tracker(objects={"cube": box()}), 0.0
    for n in range(12):
        starts = tracker.begin_frame(10**9 + n * 10**8, [] if n else [detected(0.0)])
        x = float(starts[0].T_camera_object[0, 3]) + (0.01 if n == 1 else 0.0)
        found = RefinementResult("cube", pose(x), RefinementStatus.CONVERGED, 0.9, 0.5)
        tracker.end_frame([found] * len(starts))
    assert x == pytest.approx(0.02, abs=1e-4)
