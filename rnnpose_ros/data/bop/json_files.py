"""The JSON files of BOP datasets, read with errors that say what was expected where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.errors import InputError
from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.geometry.se3 import from_rotation_translation

M_PER_MM = 0.001
"""BOP's files are in millimetres."""
_ROTATION_SLACK = 0.02


def read_json(path: Path, *, expected: str) -> Any:
    """The content of a JSON file.

    Args:
        path: The file.
        expected: What it should hold, for messages: "the cameras of scene 3".

    Raises:
        InputError: The file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected {expected}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected {expected}") from None
    except ValueError as error:
        raise InputError(f"{path}: damaged, not JSON ({error}); expected {expected}") from None


def read_by_number(path: Path, *, expected: str) -> dict[int, Any]:
    """A JSON object whose keys are whole numbers, in ascending order.

    Raises:
        InputError: It is something else.
    """
    content = read_json(path, expected=expected)
    if not isinstance(content, dict) or not all(key.isdigit() for key in content):
        raise InputError(f"{path}: expected {expected} as an object with numbers as keys, got {_kind(content)}")
    return {int(key): content[key] for key in sorted(content, key=int)}


def whole_number(entry: Any, key: str, *, name: str) -> int:
    """A whole number of at least 0 in an entry.

    Raises:
        InputError: It is missing or something else.
    """
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{name}: {key}: expected a whole number, got {value!r}")
    return value


def numbers(entry: Any, key: str, count: int, *, name: str) -> Float[Tensor, "count"]:
    """Finite numbers in an entry, float64.

    Raises:
        InputError: They are missing, not as many, or not finite.
    """
    value = entry.get(key) if isinstance(entry, Mapping) else None
    try:
        found = torch.tensor(value, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0)
    if len(found) != count or not bool(torch.isfinite(found).all()):
        raise InputError(f"{name}: {key}: expected {count} finite numbers, got {value!r}")
    return found


def pose_from_mm(
    R: Float[Tensor, "9"], t_mm: Float[Tensor, "3"], *, name: str, slack: float = _ROTATION_SLACK
) -> Float[Tensor, "4 4"]:
    """A pose in metres from a rotation row by row and a translation in millimetres.

    The rotation stays as it is written (files round it), so that errors are measured as others measure them.

    Raises:
        InputError: The rotation is none by more than ``slack``.
    """
    matrix = R.reshape(3, 3)
    off = float((nearest_rotation(matrix) - matrix).abs().max())
    if off > slack:
        raise InputError(f"{name}: not a rotation (off by {off:.2g}): {matrix.tolist()}")
    return from_rotation_translation(matrix, t_mm * M_PER_MM)


def pose_to_mm(T: Float[Tensor, "4 4"]) -> tuple[list[float], list[float]]:
    """Rotation row by row, and translation in millimetres."""
    T = T.double()
    return T[:3, :3].reshape(-1).tolist(), (T[:3, 3] / M_PER_MM).tolist()


def _kind(content: Any) -> str:
    if isinstance(content, dict):
        odd = next((key for key in content if not key.isdigit()), "")
        return f"the key {odd!r}"
    return "a list" if isinstance(content, Sequence) else type(content).__name__
