"""Steps of a pose in (v / D, omega) about the object's centre: the coordinates that all solvers here share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.se3 import increment_about, log_so3, transform


def moved_by(
    T_camera_object: Float[Tensor, "4 4"],
    step: Float[Tensor, "6"],
    *,
    centre_object: Float[Tensor, "3"],
    diameter: float,
) -> Float[Tensor, "4 4"]:
    """The pose after a step.

    Args:
        T_camera_object: Before.
        step: Shift of the centre in diameters, and turn in radians, camera axes.
        centre_object: Metres.
        diameter: D, metres.
    """
    metric = torch.cat([step[:3] * diameter, step[3:]])
    return increment_about(T_camera_object[None], metric[None], transform(T_camera_object, centre_object[None]))[0]


def step_between(
    T_from: Float[Tensor, "4 4"], T_to: Float[Tensor, "4 4"], *, centre_object: Float[Tensor, "3"], diameter: float
) -> Float[Tensor, "6"]:
    """The step that leads from one pose to another."""
    centre = centre_object.to(T_to)[None]
    shift = (transform(T_to, centre) - transform(T_from, centre))[0] / diameter
    return torch.cat([shift, log_so3(T_to[:3, :3] @ T_from[:3, :3].mT)])
