"""Start poses of the benchmark: N1, N2, N3 and fixed angles."""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.perturbation import N1, NOISES, PoseNoise, perturb
from rnnpose_ros.types import ObjectModel

STARTS = 3
"""Of each noise in each frame."""
_NEAREST_M = 0.1


def frame_starts(
    T_camera_object: Float[Tensor, "4 4"], model: ObjectModel, *, noise: str, seed: int
) -> Float[Tensor, "3 4 4"]:
    """Three wrong poses around the true one, always the same for a frame.

    The noise turns the object about its centre. Starts nearer than 10 cm are drawn again.

    Args:
        T_camera_object: The truth.
        model: The object.
        noise: A name in ``geometry.perturbation.NOISES``.
        seed: The frame's.
    """
    generator = torch.Generator().manual_seed(10 * seed + list(NOISES).index(noise))
    starts: list[Tensor] = []
    while len(starts) < STARTS:
        start = _perturbed(T_camera_object, model, NOISES[noise], generator)
        if float(start[2, :3] @ model.centre.double() + start[2, 3]) > _NEAREST_M:
            starts.append(start)
    return torch.stack(starts)


def start_at_angle(
    T_camera_object: Float[Tensor, "4 4"], model: ObjectModel, *, angle_deg: float, seed: int
) -> Float[Tensor, "4 4"]:
    """The truth turned by an angle about a random axis through the object's centre, and moved as by N1.

    For a symmetric object the nearest equal pose may be less than the angle away.

    Args:
        T_camera_object: The truth.
        model: The object.
        angle_deg: How far it is turned.
        seed: Of the axis and the translation.
    """
    angle = math.radians(angle_deg)
    noise = dataclasses.replace(N1, rotation_range=(angle, angle))
    return _perturbed(T_camera_object, model, noise, torch.Generator().manual_seed(seed))


def _perturbed(T: Tensor, model: ObjectModel, noise: PoseNoise, generator: torch.Generator) -> Tensor:
    return perturb(
        T[None].double(),
        noise=noise.for_diameter(model.diameter),
        generator=generator,
        centre_object=model.centre[None].double(),
    )[0]
