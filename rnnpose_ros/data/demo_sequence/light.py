"""Soft light with shadows: many small lamps, each with its own shadow map.

A window (a patch of lamps) and the sky (lamps all around). Every sub-frame has other lamps of the same kind, so
that their sum over a frame is smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rnnpose_ros.data.demo_sequence.motion import look_at
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.types import CameraIntrinsics

_MIDDLE = (0.0, 0.02, 0.05)
_DISTANCE = 3.0
_REACH = 0.62
"""Radius around the middle that a shadow map covers, metres."""
_MAP_SIZE = 400
_BIAS = 0.005
"""Metres."""


@dataclass(frozen=True, slots=True, eq=False)
class Lamp:
    """One small lamp and the camera that sees what it lights."""

    T_lamp_world: Float[Tensor, "4 4"]
    direction: Float[Tensor, "3"]
    """Unit, from the scene to the lamp, float32."""
    color: Float[Tensor, "3"]
    """Linear, float32."""
    has_gloss: bool

    def locate(self, points_world: Float[Tensor, "N 3"]) -> Located:
        """Where in the lamp's shadow map points lie.

        Args:
            points_world: float32.
        """
        T, K = self.T_lamp_world.float(), lamp_camera().K[0].float()
        p = points_world @ T[:3, :3].T + T[:3, 3]
        column = (K[0, 0] * p[:, 0] / p[:, 2] + K[0, 2]).round().long()
        row = (K[1, 1] * p[:, 1] / p[:, 2] + K[1, 2]).round().long()
        inside = (column >= 0) & (column < _MAP_SIZE) & (row >= 0) & (row < _MAP_SIZE)
        texel = torch.where(inside, row * _MAP_SIZE + column, 0)
        return Located(texel.int(), torch.where(inside, p[:, 2] - _BIAS, -torch.inf))


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Points in a lamp's shadow map."""

    texel: Int[Tensor, "N"]
    depth: Float[Tensor, "N"]
    """Metres from the lamp, a little less against self-shadowing; minus infinity outside the map."""

    def hidden(self, shadow_map: Float[Tensor, "S S"]) -> Bool[Tensor, "N"]:
        """True for points behind what the lamp sees.

        Args:
            shadow_map: Depth of what the lamp sees, 0 = nothing.
        """
        seen = shadow_map.reshape(-1).index_select(0, self.texel)
        return (seen > 0) & (self.depth > seen)


def lamp_camera() -> CameraIntrinsics:
    """The camera of every lamp's shadow map."""
    focal = 0.5 * _MAP_SIZE * _DISTANCE / _REACH
    middle = 0.5 * (_MAP_SIZE - 1)
    return intrinsics(focal, focal, middle, middle, width=_MAP_SIZE, height=_MAP_SIZE)


def lamps(rng: np.random.Generator, *, window: int = 7, sky: int = 8) -> list[Lamp]:
    """One set of lamps: a window at the left, before and above; the sky from everywhere above."""
    made = []
    for _ in range(window):
        aim = np.array([-0.75, -0.30, 0.85]) + rng.uniform(-1, 1, 3) * [0.10, 0.16, 0.16]
        made.append(_lamp(aim, np.array([1.0, 0.94, 0.84]) * 2.1 / window, has_gloss=True))
    turn = rng.uniform(0, 2 * math.pi)
    for i in range(sky):
        height = 0.12 + 0.86 * (i + rng.random()) / sky
        angle = turn + 2.39996 * i
        flat = math.sqrt(1 - height**2)
        aim = np.array([flat * math.cos(angle), flat * math.sin(angle), height])
        made.append(_lamp(aim, np.array([0.84, 0.92, 1.0]) * 1.15 / sky, has_gloss=False))
    return made


def _lamp(aim: np.ndarray, color: np.ndarray, *, has_gloss: bool) -> Lamp:
    direction = aim / np.linalg.norm(aim)
    eye = np.array(_MIDDLE) + _DISTANCE * direction
    return Lamp(
        look_at((float(eye[0]), float(eye[1]), float(eye[2])), _MIDDLE),
        torch.from_numpy(direction).float(),
        torch.from_numpy(color).float(),
        has_gloss,
    )
