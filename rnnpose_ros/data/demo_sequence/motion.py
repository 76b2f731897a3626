"""How the tea box moves, and where the camera stands."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.rotations import matrix_from_euler_xyz
from rnnpose_ros.geometry.se3 import from_rotation_translation, inverse
from rnnpose_ros.types import CameraIntrinsics

FPS = 20.0
DURATION = 6.4
"""Seconds."""

CAMERA = intrinsics(612.0, 611.0, 322.4, 241.3, width=640, height=480)

_KEYS = np.array(
    [
        # s, x, y, z of the box's middle in the world (m), roll, pitch, yaw (degrees, fixed axes)
        [0.0, -0.105, 0.000, 0.060, 0, 0, 24],
        [0.5, -0.105, 0.000, 0.060, 0, 0, 24],
        [1.3, -0.080, -0.015, 0.085, -8, 4, 12],
        [2.2, -0.025, -0.030, 0.105, -14, 10, -8],
        [3.1, 0.045, -0.010, 0.075, -4, 4, -28],
        [3.8, 0.080, 0.005, 0.063, 4, -3, -42],
        [4.5, 0.040, -0.010, 0.105, 12, -10, -56],
        [5.3, -0.045, -0.030, 0.115, 4, 6, -46],
        [5.8, -0.130, -0.060, 0.120, -4, 14, -38],
        [6.2, -0.330, -0.090, 0.135, -6, 20, -30],
        [6.6, -0.600, -0.120, 0.150, -6, 24, -24],
    ]
)


class BoxMotion:
    """The box's smooth path through its key poses."""

    def __init__(self) -> None:
        self._path = PchipInterpolator(_KEYS[:, 0], _KEYS[:, 1:], axis=0)

    def pose_in_world(self, seconds: float) -> Float[Tensor, "4 4"]:
        """T_world_box at a time."""
        values = torch.from_numpy(self._path(np.clip(seconds, _KEYS[0, 0], _KEYS[-1, 0])))
        return from_rotation_translation(matrix_from_euler_xyz(torch.deg2rad(values[3:])), values[:3])


def camera_pose() -> Float[Tensor, "4 4"]:
    """T_camera_world of the camera, which stands still."""
    return look_at((0.02, -0.545, 0.30), (0.0, 0.0, 0.065))


def look_at(eye: tuple[float, float, float], target: tuple[float, float, float]) -> Float[Tensor, "4 4"]:
    """T_camera_world of a camera that looks from one point at another, the world's z upwards in its picture."""
    position, aim = (torch.tensor(p, dtype=torch.float64) for p in (eye, target))
    forward = torch.nn.functional.normalize(aim - position, dim=0)
    up = torch.tensor([0.0, 0.0, 1.0] if abs(float(forward[2])) < 0.99 else [0.0, 1.0, 0.0], dtype=torch.float64)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=0)
    down = torch.linalg.cross(forward, right)
    return inverse(from_rotation_translation(torch.stack([right, down, forward], -1), position))


def shifted(camera: CameraIntrinsics, offset_px: tuple[float, float]) -> CameraIntrinsics:
    """The same camera with its sampling points moved by a part of a pixel."""
    K = camera.K.clone()
    K[:, :2, 2] -= torch.tensor(offset_px, dtype=K.dtype)
    return CameraIntrinsics(K=K, height=camera.height, width=camera.width)


def seconds_of_frame(index: int) -> float:
    """When a frame is taken, the middle of its exposure."""
    return index / FPS


def frame_count() -> int:
    """Of the whole sequence."""
    return math.floor(DURATION * FPS)
