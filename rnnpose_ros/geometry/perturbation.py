"""Start noise: the wrong poses that training starts from and evaluation is measured from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.rotations import matrix_from_euler_xyz, rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation

_SCALED_BELOW_M, _SCALED_ABOVE_M = 0.1, 0.4
"""Objects much smaller or larger than the 20 cm that the noise is made for."""


@dataclass(frozen=True, slots=True)
class PoseNoise:
    """Start noise in camera axes about the object's own origin.

    ``N1`` is the published protocol's: 15 degrees on each Euler axis with the total capped at 45
    degrees, 1 cm in x and y, 5 cm in z. ``N2`` is twice that. ``N3`` turns by 45 to 90 degrees, every angle
    alike, about any axis, and shifts as N1.
    """

    rotation_std: float = math.radians(15.0)
    rotation_cap: float = math.radians(45.0)
    translation_std: tuple[float, float, float] = (0.01, 0.01, 0.05)
    rotation_range: tuple[float, float] | None = None
    """Least and largest angle, drawn evenly, instead of Euler angles."""

    def for_diameter(self, diameter: float) -> PoseNoise:
        """The same noise for an object of this size: translation grows or shrinks with one that is far from 20 cm.

        From 10 to 40 cm (half to twice) nothing changes; beyond, it goes on in proportion.
        """
        factor = diameter / min(max(diameter, _SCALED_BELOW_M), _SCALED_ABOVE_M)
        x, y, z = self.translation_std
        return replace(self, translation_std=(factor * x, factor * y, factor * z))


N1 = PoseNoise()
N2 = PoseNoise(rotation_std=math.radians(30.0), rotation_cap=math.radians(90.0), translation_std=(0.02, 0.02, 0.1))
N3 = PoseNoise(rotation_range=(math.radians(45.0), math.radians(90.0)))
NOISES = {"N1": N1, "N2": N2, "N3": N3}


def perturb(
    T_camera_object: Float[Tensor, "B 4 4"],
    *,
    noise: PoseNoise = N1,
    scale: Float[Tensor, "B"] | float = 1.0,
    generator: torch.Generator,
    centre_object: Float[Tensor, "B 3"] | None = None,
) -> Float[Tensor, "B 4 4"]:
    """Wrong poses around the given ones.

    Args:
        T_camera_object: True poses.
        noise: Standard deviations; the rotation cap is enforced by drawing again.
        scale: Factor on all of the noise, one for all or one each.
        generator: Where the randomness comes from (on the CPU).
        centre_object: Point that the rotation turns about, metres; the object's origin when None.

    Returns:
        Poses of the same dtype and device.
    """
    T = T_camera_object.detach().cpu().double()
    batch = T.shape[0]
    factor = torch.as_tensor(scale, dtype=torch.float64).cpu().expand(batch)
    if noise.rotation_range is None:
        R_noise = _euler_turns(noise, factor, generator)
    else:
        R_noise = _even_turns(noise.rotation_range, factor, generator)
    sigma = torch.tensor(noise.translation_std, dtype=torch.float64)
    t_noise = torch.randn(batch, 3, generator=generator, dtype=torch.float64) * sigma * factor[:, None]
    centre = torch.zeros(batch, 3, dtype=torch.float64) if centre_object is None else centre_object.cpu().double()
    centre_camera = (T[:, :3, :3] @ centre[..., None])[..., 0] + T[:, :3, 3]
    R = R_noise @ T[:, :3, :3]
    t = centre_camera + t_noise - (R @ centre[..., None])[..., 0]
    return from_rotation_translation(R, t).to(T_camera_object)


def turns_within(angle: float, *, count: int) -> Float[Tensor, "K 3"]:
    """Rotation vectors spread evenly over all turns up to an angle in radians; always the same, float64.

    Three coordinates of the additive sequence of the generalised golden ratio (Roberts 2018), taken to the ball of
    rotation vectors so that equal volumes hold equally many.
    """
    ratio = 1.2207440846057596  # of three dimensions: the root of x^4 = x + 1
    steps = torch.tensor([ratio**-1, ratio**-2, ratio**-3], dtype=torch.float64)
    u = (0.5 + torch.arange(1, count + 1, dtype=torch.float64)[:, None] * steps) % 1.0
    z, around, radius = 1 - 2 * u[:, 0], 2 * math.pi * u[:, 1], angle * u[:, 2] ** (1 / 3)
    flat = (1 - z * z).sqrt()
    return radius[:, None] * torch.stack([flat * around.cos(), flat * around.sin(), z], -1)


def _euler_turns(noise: PoseNoise, factor: Float[Tensor, "B"], generator: torch.Generator) -> Float[Tensor, "B 3 3"]:
    """Gaussian Euler angles; what exceeds the cap is drawn again."""
    batch = len(factor)
    R_noise = torch.eye(3, dtype=torch.float64).repeat(batch, 1, 1)
    pending = torch.ones(batch, dtype=torch.bool)
    for _ in range(1000):
        angles = torch.randn(batch, 3, generator=generator, dtype=torch.float64) * noise.rotation_std
        drawn = matrix_from_euler_xyz(angles * factor[:, None])
        take = pending & (rotation_angle(drawn) <= noise.rotation_cap)
        R_noise[take] = drawn[take]
        pending &= ~take
        if not bool(pending.any()):
            break
    return R_noise


def _even_turns(
    angles: tuple[float, float], factor: Float[Tensor, "B"], generator: torch.Generator
) -> Float[Tensor, "B 3 3"]:
    """Turns about any axis by an angle between two."""
    axis = torch.nn.functional.normalize(torch.randn(len(factor), 3, generator=generator, dtype=torch.float64), dim=-1)
    low, high = angles
    angle = low + (high - low) * torch.rand(len(factor), generator=generator, dtype=torch.float64)
    return exp_so3(axis * (angle * factor)[:, None])
