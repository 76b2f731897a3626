"""A symmetric object's pose, told so that it does not jump: all its symmetric poses look alike."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.se3 import hat, inverse, transform
from rnnpose_ros.objects.symmetry import nearest_symmetric, turn_about_axes
from rnnpose_ros.types import ObjectModel, RefinementResult

_POINTS = 256
"""Vertices by which poses are compared, at most about."""
_TWIN_SHARE = 0.1
"""Of the diameter: objects that lie nearer to each other than this cannot be two."""
_WIDTH_SHARE = 0.5
"""Of the least width: bodies whose centres lie nearer than this pass through each other, however they are turned."""


def nearest_member(
    result: RefinementResult, model: ObjectModel | None, T_camera_object_last: Float[Tensor, "4 4"]
) -> RefinementResult:
    """The result at that symmetric pose which is turned least from the last one; its covariance goes along.

    Args:
        result: Of an object.
        model: Of the object; unchanged when None or without symmetries.
        T_camera_object_last: What was said of the object before.
    """
    if model is None or (len(model.symmetries) < 2 and model.symmetry_axes is None):
        return result
    T_old = result.T_camera_object
    T_new = nearest_symmetric(T_old, model.symmetries, T_camera_object_last)
    if model.symmetry_axes is not None:
        T_new = turn_about_axes(T_new, model.symmetry_axes, T_camera_object_last)
    covariance = result.covariance
    if covariance is not None:
        covariance = _about_other_origin(covariance, T_new[:3, 3] - T_old[:3, 3])
    return replace(result, T_camera_object=T_new, covariance=covariance)


def _about_other_origin(covariance: Float[Tensor, "6 6"], offset: Float[Tensor, "3"]) -> Float[Tensor, "6 6"]:
    """The covariance of a body's motion for another of its points: turning moves it by ``omega x offset``."""
    J = torch.eye(6, dtype=covariance.dtype)
    J[:3, 3:] = -hat(offset.to(covariance))
    return J @ covariance @ J.T


def some_vertices(model: ObjectModel) -> Float[Tensor, "N 3"]:
    """Enough of an object's vertices to compare poses by, metres, float64."""
    vertices = model.mesh.vertices.double()
    return vertices[:: max(1, len(vertices) // _POINTS)]


def mean_distance(T_a: Float[Tensor, "4 4"], T_b: Float[Tensor, "4 4"], model: ObjectModel) -> float:
    """Between the same points of an object in two poses (of one frame), metres; over some of its vertices."""
    points = some_vertices(model)
    return float((transform(T_a.double(), points) - transform(T_b.double(), points)).norm(dim=-1).mean())


def is_twin(T_camera_a: Float[Tensor, "4 4"], T_camera_b: Float[Tensor, "4 4"], model: ObjectModel) -> bool:
    """True where two objects of one class would fill the same room and look alike: then they are one in one pose."""
    T_a, T_b, centre = T_camera_a.double(), T_camera_b.double(), model.centre.double()
    moved = inverse(T_a @ model.symmetries.double()) @ T_b
    shift = (moved[:, :3, :3] @ centre + moved[:, :3, 3] - centre).norm(dim=-1)
    # The chord of a point on the outline: 2 sin(angle / 2) times its distance from the axis.
    turn = (moved[:, :3, :3] - torch.eye(3, dtype=torch.float64)).flatten(1).norm(dim=-1) / math.sqrt(2.0)
    return bool((shift + 0.5 * model.diameter * turn).min() < _TWIN_SHARE * model.diameter)


def is_one_body(T_camera_a: Float[Tensor, "4 4"], T_camera_b: Float[Tensor, "4 4"], model: ObjectModel) -> bool:
    """True where two objects of one class would pass through each other, however they are turned: then they are one."""
    centre = model.centre.double()[None]
    apart = float((transform(T_camera_a.double(), centre) - transform(T_camera_b.double(), centre)).norm())
    return apart < _WIDTH_SHARE * _least_width(model) or is_twin(T_camera_a, T_camera_b, model)


def _least_width(model: ObjectModel) -> float:
    """Of the object along the direction in which its vertices vary least, metres."""
    points = some_vertices(model)
    points = points - points.mean(0)
    along = points @ torch.linalg.eigh(points.T @ points).eigenvectors[:, 0]
    return float(along.max() - along.min())
