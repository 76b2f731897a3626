"""The JSON files of a recorded sequence: ``camera.json`` and ``poses.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnpose_ros.errors import InputError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.geometry.se3 import from_rotation_translation
from rnnpose_ros.types import CameraIntrinsics

_CAMERA_KEYS = ("fx", "fy", "cx", "cy", "width", "height")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: The file is missing, no JSON, or holds something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def read_camera(path: str | Path) -> CameraIntrinsics:
    """One camera (B = 1, float64) from ``{"fx", "fy", "cx", "cy", "width", "height"}``, pixels.

    A ``"distortion"`` entry may be there and must be null or zeros: pictures are expected rectified.

    Raises:
        InputError: An entry is missing or impossible.
    """
    path = Path(path)
    content = read_json(path)
    missing = [key for key in _CAMERA_KEYS if key not in content]
    if missing:
        raise InputError(f"{path}: missing {', '.join(missing)}")
    values = {key: _number(content[key], f"{path}: {key}") for key in _CAMERA_KEYS}
    if values["fx"] <= 0.0 or values["fy"] <= 0.0:
        raise InputError(f"{path}: expected focal lengths above 0, got fx {values['fx']:g}, fy {values['fy']:g}")
    width, height = int(values["width"]), int(values["height"])
    if (width, height) != (values["width"], values["height"]) or min(width, height) < 1:
        raise InputError(f"{path}: expected a whole width and height, got {values['width']:g} x {values['height']:g}")
    distortion = content.get("distortion")
    if isinstance(distortion, list) and any(distortion):
        raise InputError(f"{path}: the camera has distortion {distortion}: rectify the pictures first")
    return intrinsics(values["fx"], values["fy"], values["cx"], values["cy"], width=width, height=height)


def pose_from_json(entry: Any, *, name: str) -> Tensor:
    """The 4 x 4 float64 pose of ``{"R": 3x3, "t_m": 3}``, its rotation made exact.

    Args:
        entry: The decoded JSON.
        name: What messages call it.

    Raises:
        InputError: Something is missing, not finite, or no rotation.
    """
    if not isinstance(entry, Mapping) or "R" not in entry or "t_m" not in entry:
        raise InputError(f'{name}: expected {{"R": 3x3, "t_m": 3}}')
    try:
        R = torch.tensor(entry["R"], dtype=torch.float64).reshape(3, 3)
        t = torch.tensor(entry["t_m"], dtype=torch.float64).reshape(3)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f'{name}: expected "R" with 3x3 numbers and "t_m" with 3') from None
    if not bool(torch.isfinite(R).all() and torch.isfinite(t).all()):
        raise InputError(f"{name}: the pose holds NaN or infinity")
    exact = nearest_rotation(R)
    if float((exact - R).abs().max()) > 0.02:
        raise InputError(f"{name}: R is not a rotation (off by {float((exact - R).abs().max()):.3g})")
    return from_rotation_translation(exact, t)


def read_poses(content: Mapping[str, Any], path: Path, pictures: Sequence[Path]) -> tuple[dict[int, Tensor], str]:
    """Poses by frame index, and the object's name where the file says one (else "").

    Understands ``{"frames": {"<index>": pose}, "object": name}``, and picture names as keys with one pose or
    a list of one: ``{"image.png": [{"object": name, "R", "t_m"}]}``.

    Args:
        content: Of ``poses.json``.
        path: For messages.
        pictures: The sequence's pictures in order; empty for a video.

    Raises:
        InputError: A key names no frame, or a pose is wrong.
    """
    entries = content.get("frames", content)
    if not isinstance(entries, Mapping):
        raise InputError(f'{path}: "frames": expected an object of poses by frame index')
    name = content.get("object", "") if "frames" in content else ""
    poses: dict[int, Tensor] = {}
    for key, value in entries.items():
        entry = value
        if isinstance(value, list):
            if len(value) != 1:
                raise InputError(f"{path}: {key}: expected the pose of one object, got {len(value)}")
            entry = value[0]
        poses[_frame_index(key, pictures, path)] = pose_from_json(entry, name=f"{path}: {key}")
        if isinstance(entry, Mapping) and not name:
            name = entry.get("object", "")
    if not poses:
        raise InputError(f"{path}: no poses")
    return dict(sorted(poses.items())), name if isinstance(name, str) else ""


def _frame_index(key: str, pictures: Sequence[Path], path: Path) -> int:
    """A key as index: a picture's name, the number in a picture's name, or the index itself."""
    for index, picture in enumerate(pictures):
        if key in (picture.name, picture.stem):
            return index
    if not key.isdigit():
        raise InputError(f"{path}: {key!r} is neither a frame index nor one of the pictures")
    numbers = [int(p.stem) if p.stem.isdigit() else None for p in pictures]
    if numbers and None not in numbers:
        if int(key) not in numbers:
            raise InputError(f"{path}: there is no picture numbered {key}")
        return numbers.index(int(key))
    if pictures and int(key) >= len(pictures):
        raise InputError(f"{path}: frame {key} of {len(pictures)} pictures")
    return int(key)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{name}: expected a finite number, got {value!r}")
    return float(value)
