"""Symmetries of objects, in the terms of the BOP benchmark, as one stack of transforms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.errors import AssetError
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, hat

DEFAULT_STEPS = 36
"""Samples of a full turn about a continuous axis."""

_DUPLICATE = 1e-4


def expand_symmetries(
    discrete: Sequence[Any] = (),
    continuous: Sequence[Mapping[str, Any]] = (),
    *,
    steps: int = DEFAULT_STEPS,
    unit_m: float = 1.0,
    name: str = "symmetries",
) -> Float[Tensor, "S 4 4"]:
    """All transforms under which an object looks the same, float64, the identity first.

    Every discrete transform is followed by every sample of every continuous axis, as in the BOP toolkit.

    Args:
        discrete: 4 x 4 matrices, nested or as 16 numbers row by row, without the identity.
        continuous: ``{"axis": [x, y, z], "offset": [x, y, z]}``: full turns about a line through ``offset``.
        steps: Samples of a full turn.
        unit_m: Metres per unit of the translations and offsets (BOP's files: 0.001).
        name: What messages call this.

    Raises:
        AssetError: Something is no rigid transform, or an axis has no direction.
    """
    if steps < 1:
        raise AssetError(f"{name}: expected at least 1 step of a continuous symmetry, got {steps}")
    eye = torch.eye(4, dtype=torch.float64)
    fixed = [eye] + [_rigid(matrix, unit_m, f"{name}.discrete[{i}]") for i, matrix in enumerate(discrete)]
    turns = [eye[None]] + [_turns(s, steps, unit_m, f"{name}.continuous[{i}]") for i, s in enumerate(continuous)]
    products = torch.cat(turns)[None] @ torch.stack(fixed)[:, None]
    return _without_duplicates(products.reshape(-1, 4, 4))


def symmetries_from_bop(
    info: Mapping[str, Any], *, steps: int = DEFAULT_STEPS, name: str = "models_info"
) -> Float[Tensor, "S 4 4"]:
    """The symmetries of one entry of BOP's ``models_info.json``, whose lengths are millimetres."""
    return expand_symmetries(
        info.get("symmetries_discrete", ()),
        info.get("symmetries_continuous", ()),
        steps=steps,
        unit_m=0.001,
        name=name,
    )


def nearest_symmetric(
    T_camera_object: Float[Tensor, "*B 4 4"],
    symmetries: Float[Tensor, "S 4 4"],
    T_camera_object_reference: Float[Tensor, "*B 4 4"],
) -> Float[Tensor, "*B 4 4"]:
    """Of all poses that look like ``T_camera_object``, the one turned least from the reference.

    Args:
        T_camera_object: Poses.
        symmetries: Of the object.
        T_camera_object_reference: What to be near to, for example the last frame's pose.
    """
    candidates = T_camera_object[..., None, :, :] @ symmetries.to(T_camera_object)
    R_reference = T_camera_object_reference[..., None, :3, :3].to(T_camera_object)
    angle = rotation_angle(candidates[..., :3, :3] @ R_reference.transpose(-1, -2))
    best = angle.argmin(-1)[..., None, None, None]
    return torch.take_along_dim(candidates, best.expand(*best.shape[:-2], 4, 4), -3)[..., 0, :, :]


def symmetry_axes(
    continuous: Sequence[Mapping[str, Any]], *, unit_m: float = 1.0, name: str = "symmetries"
) -> Float[Tensor, "A 2 3"] | None:
    """Direction (unit) and a point in metres of every axis of full turns; None without such axes.

    Args:
        continuous: See :func:`expand_symmetries`.
        unit_m: Metres per unit of the offsets.
        name: What messages call this.
    """
    axes = [_axis(symmetry, unit_m, f"{name}.continuous[{i}]") for i, symmetry in enumerate(continuous)]
    return torch.stack([torch.stack(axis) for axis in axes]) if axes else None


def turn_about_axes(
    T_camera_object: Float[Tensor, "4 4"],
    axes: Float[Tensor, "A 2 3"],
    T_camera_object_reference: Float[Tensor, "4 4"],
) -> Float[Tensor, "4 4"]:
    """The pose turned about the object's axes of full turns until it is turned least from the reference.

    One axis, in closed form: the trace of the turn between both, whose cosine is to be largest, is a sinusoid
    of the angle. What has two different axes of full turns is a sphere, and may be turned like the reference.

    Args:
        T_camera_object: A pose.
        axes: See :func:`symmetry_axes`.
        T_camera_object_reference: What to be near to.
    """
    T, R_reference = T_camera_object, T_camera_object_reference[:3, :3].to(T_camera_object)
    directions, points = axes.to(T).unbind(1)
    crossing = torch.linalg.cross(directions, directions[:1].expand_as(directions)).norm(dim=-1) > _DUPLICATE
    if bool(crossing.any()):
        across = torch.eye(3, dtype=T.dtype) - directions[:, :, None] * directions[:, None, :]
        centre = torch.linalg.lstsq(across.flatten(0, 1), (across @ points[..., None]).flatten()[:, None]).solution[
            :, 0
        ]
        R = T[:3, :3].T @ R_reference
        return T @ from_rotation_translation(R, centre - R @ centre)
    direction, point = directions[0], points[0]
    M = R_reference.T @ T[:3, :3]
    sine, cosine = (M @ hat(direction)).trace(), M.trace() - direction @ M @ direction
    if float(sine.abs() + cosine.abs()) < _DUPLICATE:
        return T  # the axis points the other way: no turn about it is nearer than any other
    R = exp_so3(torch.atan2(sine, cosine) * direction)
    return T @ from_rotation_translation(R, point - R @ point)


def _rigid(matrix: Any, unit_m: float, name: str) -> Tensor:
    T = _numbers(matrix, 16, name).reshape(4, 4)
    R = T[:3, :3]
    orthonormal = torch.allclose(R @ R.T, torch.eye(3, dtype=R.dtype), atol=1e-3) and bool(torch.linalg.det(R) > 0)
    if not orthonormal or not torch.allclose(T[3], torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=R.dtype)):
        raise AssetError(f"{name}: expected a rotation and translation (last row 0 0 0 1), got {T.tolist()}")
    return from_rotation_translation(R, T[:3, 3] * unit_m)


def _turns(symmetry: Mapping[str, Any], steps: int, unit_m: float, name: str) -> Tensor:
    direction, offset = _axis(symmetry, unit_m, name)
    angles = torch.arange(1, steps, dtype=torch.float64) * (2.0 * math.pi / steps)
    R = exp_so3(angles[:, None] * direction)
    return from_rotation_translation(R, offset - (R @ offset[:, None])[..., 0])


def _axis(symmetry: Mapping[str, Any], unit_m: float, name: str) -> tuple[Tensor, Tensor]:
    """Unit direction, and a point in metres."""
    if not isinstance(symmetry, Mapping) or "axis" not in symmetry or set(symmetry) - {"axis", "offset"}:
        raise AssetError(f"{name}: expected {{axis: [x, y, z], offset: [x, y, z]}}, got {symmetry!r}")
    axis = _numbers(symmetry["axis"], 3, f"{name}.axis")
    offset = _numbers(symmetry.get("offset", (0.0, 0.0, 0.0)), 3, f"{name}.offset") * unit_m
    if float(axis.norm()) < 1e-9:
        raise AssetError(f"{name}.axis: expected a direction, got {axis.tolist()}")
    return axis / axis.norm(), offset


def _numbers(values: Any, count: int, name: str) -> Tensor:
    try:
        numbers = torch.as_tensor(values, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        raise AssetError(f"{name}: expected {count} numbers, got {values!r}") from None
    if len(numbers) != count or not bool(torch.isfinite(numbers).all()):
        raise AssetError(f"{name}: expected {count} finite numbers, got {values!r}")
    return numbers


def _without_duplicates(transforms: Tensor) -> Tensor:
    """Every transform once, where it stands first; metres and radians are compared alike."""
    kept = transforms[:1]
    for T in transforms[1:]:
        if bool(((kept - T).abs().amax((-1, -2)) > _DUPLICATE).all()):
            kept = torch.cat([kept, T[None]])
    return kept
