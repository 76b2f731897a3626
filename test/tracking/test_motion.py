"""Objects go on as they moved."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, transform
from rnnpose_ros.tracking.motion import carried_on, velocity

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


def test_what_is_carried_on_is_where_constant_speed_leads() -> None:
    v = velocity(pose_at(0.0), pose_at(0.1), seconds=0.1, centre_object=CENTRE)
    later = carried_on(pose_at(0.1), v, seconds=0.25, centre_object=CENTRE)
    torch.testing.assert_close(later, pose_at(0.35), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(later[:3, :3] @ later[:3, :3].mT, torch.eye(3).double(), atol=1e-12, rtol=0.0)


def test_turning_on_the_spot_does_not_move_the_centre_however_far_the_origin_is() -> None:
    spin = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, math.pi], dtype=torch.float64)
    far = torch.tensor([5.0, 0.0, 0.0])
    turned = carried_on(pose_at(0.0), spin, seconds=0.5, centre_object=far)
    before, after = (transform(T, far.double()[None])[0] for T in (pose_at(0.0), turned))
    torch.testing.assert_close(after, before, atol=1e-12, rtol=0.0)
