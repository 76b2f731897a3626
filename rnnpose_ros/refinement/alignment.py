"""Direct alignment: the last tenths of a pixel, from the pictures themselves.

The network finds each render cell's place to a few tenths of a pixel, with errors that neighbours share. Where
object and photograph have contrast, comparing them pixel by pixel says more: the photograph, fetched back along
the pose, should look like the render (:mod:`.comparison`). Gauss-Newton with the mean of both pictures' gradients
(efficient second-order minimisation, Benhimane and Malis 2004) moves the pose. The network's own solution stays in as
a prior with its uncertainty: where there is no contrast, it decides. This step is ours; the RNNPose papers end with
the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.refinement.comparison import AlignmentConfig, Comparison, Look, compare, gradient_at, normalised
from rnnpose_ros.refinement.pose_step import moved_by
from rnnpose_ros.refinement.solver import solve_marked

__all__ = ["Alignment", "AlignmentConfig", "Look", "align"]

SETTLED = 1e-4
"""A step shorter than this, (v / D, omega) together, is the last."""
SLACK = 0.01
"""The best fit, which counts outliers little, may agree so much less than its start, where everything counts."""
OUTLIER_SCALE = 1.5 * 1.48
"""Of the median residual: half again its standard deviation, were residuals Gaussian; from there on one counts less."""
LEAST_SCALE = 0.15
"""Of normalised residuals, under which nothing counts as an outlier."""
LEAST_VARIANCE = 0.01
"""Of normalised residuals, however well the pictures agree."""
_FARTHEST = 4.0
"""Standard deviations of the network's solution that the alignment may move it by."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The aligned pose, and how well the pictures agree there."""

    T_camera_object: Float[Tensor, "4 4"]
    information: Float[Tensor, "6 6"]
    """Of prior and pictures together, in (v / D, omega) about the object's centre."""
    agreement: float
    """Normalised correlation of render and photograph over the object, -1..1."""
    taken: bool
    """False where the pictures agree little, or less than before, or the way led out of the prior: the pose is
    the given one."""


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """Where the steps led, whether that is better or not; tensors in float64 on the CPU."""

    T_camera_object: Float[Tensor, "4 4"]
    moved: Float[Tensor, "6"]
    """The sum of the steps, in (v / D, omega) about the object's centre."""
    information: Float[Tensor, "6 6"]
    """Of prior and pictures together."""
    before: float
    """Agreement of the pictures at the start."""
    after: float
    """At the end."""


@runtime_checkable
class Descend(Protocol):
    """All steps of an alignment; :func:`descend` is one. None where a step cannot be solved for."""

    def __call__(
        self, comparison: Comparison, T_camera_object: Tensor, prior_information: Tensor
    ) -> Descent | None: ...


def descend(
    comparison: Comparison, T_camera_object: Float[Tensor, "4 4"], prior_information: Float[Tensor, "6 6"]
) -> Descent | None:
    """Gauss-Newton from a pose, until a step is short or their number is reached; see :class:`Descend`."""
    T, moved = T_camera_object, prior_information.new_zeros(6)
    before = now = normal_equations(comparison, T)
    information = prior_information
    for _ in range(comparison.config.steps):
        information = prior_information + now.information
        step, ok = solve_marked(
            information[None], (now.gradient - prior_information @ moved)[None], usable=torch.ones(1, dtype=torch.bool)
        )
        if not bool(ok[0]):
            return None
        moved = moved + step[0]
        T = moved_by(T, step[0], centre_object=comparison.centre_object, diameter=comparison.diameter)
        now = normal_equations(comparison, T)
        if float(step.norm()) < SETTLED:
            break
    return Descent(T, moved, information, before=before.agreement, after=now.agreement)


def align(
    look: Look,
    T_camera_object: Float[Tensor, "4 4"],
    prior_information: Float[Tensor, "6 6"],
    *,
    config: AlignmentConfig,
    descend: Descend = descend,
) -> Alignment | None:
    """Moves a pose to where the photograph looks most like the render.

    Args:
        look: Pictures of the last cycle.
        T_camera_object: The network's solution, float64.
        prior_information: Inverse covariance of that solution, float64, in (v / D, omega) about the centre.
        config: See :class:`AlignmentConfig`.
        descend: Takes the steps, as :func:`descend` does.

    Returns:
        None where too little of the object can be compared.
    """
    comparison = compare(look, config=config)
    if comparison is None:
        return None
    found = descend(comparison, T_camera_object, prior_information)
    if found is None:
        return None
    if has_left(found, prior_information) or not found.after >= max(found.before - SLACK, config.least_agreement):
        return Alignment(T_camera_object, prior_information, found.before, taken=False)
    return Alignment(found.T_camera_object, found.information, found.after, taken=True)


def has_left(found: Descent, prior_information: Float[Tensor, "6 6"]) -> bool:
    """Whether the steps led farther from their start than its uncertainty allows."""
    squared = float(found.moved @ prior_information @ found.moved)
    return not math.sqrt(max(0.0, squared)) <= _FARTHEST


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """Normal equations of one pose, on the CPU."""

    information: Float[Tensor, "6 6"]
    gradient: Float[Tensor, "6"]
    agreement: float


def normal_equations(comparison: Comparison, T_camera_object: Float[Tensor, "4 4"]) -> Normal:
    """The equations for a step from this pose, in (v / D, omega) about the object's centre."""
    c, (rows, columns) = comparison, comparison.used
    points = c.points_render
    move = (T_camera_object @ c.T_object_render).to(points)
    places = _places(move, c)
    photo = normalised(_fetched(c, places), c.inner, c.share, c.config)
    residual = (photo - c.render)[rows, columns]
    gu, gv = 0.5 * (c.render_gradient + gradient_at(photo, c.used))
    u, v = places[:, rows, columns]
    _x, _y, z = moved = move[:3, :3] @ points[:, rows, columns] + move[:3, 3:]
    centre = transform(T_camera_object, c.centre_object[None])[0].to(points)
    fx, fy = c.K[0, 0], c.K[1, 1]
    along = torch.stack([gu * fx, gv * fy, c.K[0, 2] * gu + c.K[1, 2] * gv - gu * u - gv * v]) / z.clamp_min(NEAR_M)
    J = torch.cat([along * c.diameter, torch.linalg.cross(moved - centre[:, None], along, dim=0)])
    scale = (OUTLIER_SCALE * residual.abs().median()).clamp_min(LEAST_SCALE)
    weights = c.weights / (1 + (residual / scale) ** 2)
    variance = (weights * residual * residual).sum() / weights.sum()
    weights = weights * (c.pixels_each / (variance.clamp_min(LEAST_VARIANCE) * c.config.correlated_px))
    products = ((J * weights) @ torch.cat([J, residual[None]]).T).double()
    # One transfer from the device for all that the processor needs.
    found = torch.cat([products.flatten(), _agreement(photo, c.render).double()[None]]).cpu()
    table = found[:-1].view(6, 7)
    return Normal(information=table[:, :6], gradient=-table[:, 6], agreement=float(found[-1]))


def _places(move: Float[Tensor, "4 4"], comparison: Comparison) -> Float[Tensor, "2 h w"]:
    """The crop's pixels where a motion puts the render's points."""
    onto_image = comparison.K @ move[:3]
    points = comparison.points_render
    u, v, z = (onto_image[:, :3] @ points.flatten(1) + onto_image[:, 3:]).view_as(points)
    return torch.stack([u, v]) / z.clamp_min(NEAR_M)


def _fetched(comparison: Comparison, places: Float[Tensor, "2 h w"]) -> Float[Tensor, "h w"]:
    """The photograph at these pixels, bilinear."""
    height, width = comparison.photo.shape
    left, top = comparison.corner_uv
    u, v = (places[0] - left) * (2 / (width - 1)) - 1, (places[1] - top) * (2 / (height - 1)) - 1
    grid = torch.stack([u, v], -1)[None]
    return F.grid_sample(comparison.photo[None, None], grid, align_corners=True, padding_mode="border")[0, 0]


def _agreement(photo: Float[Tensor, "h w"], render: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
    """Correlation of two normalised pictures."""
    a, b = photo.flatten(), render.flatten()
    return (a @ b) / ((a @ a) * (b @ b)).sqrt().clamp_min(1e-6)
