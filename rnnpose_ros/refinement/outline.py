"""Fitting the pose to the object's outline in the photograph: its distance, where the surface tells little.

The network says of each pixel how likely it lies within the outline; lines across the rendered outline measure from
that how far off it is (:mod:`.outline_lines`). Gauss-Newton moves the pose; what the cycles found stays in as a prior
with its uncertainty. Not of the RNNPose papers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.networks.outline import STRIDE, OutlineEstimator
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.refinement.outline_lines import OutlineConfig, OutlineLines, measure, outline_lines
from rnnpose_ros.refinement.pose_step import moved_by, step_between
from rnnpose_ros.refinement.solution import Solution, covariance_of, spread_diameters
from rnnpose_ros.refinement.solver import solve_marked
from rnnpose_ros.types import ObjectModel

__all__ = ["Outline", "OutlineConfig", "find_outline", "fit_outline", "fit_to_outline", "outline_lines"]

_SETTLED = 1e-4
"""A step shorter than this, (v / D, omega) together, is the last of its reach."""


@dataclass(frozen=True, slots=True, eq=False)
class OutlineFit:
    """Where the steps led; float64 on the CPU."""

    T_camera_object: Float[Tensor, "4 4"]
    information: Float[Tensor, "6 6"]
    """Of prior and outline together, in (v / D, omega) about the object's centre."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """What the network says of one object, and how render and photograph fit by it."""

    within: Float[Tensor, "h w"]
    """Logits, see :class:`~rnnpose_ros.networks.outline.OutlineField`."""
    overlap: float
    """Of the rendered object and the whole outline in the photograph: their common area over that of both."""
    seen: float
    """Share of the rendered object that is seen in the photograph."""


def find_outline(network: OutlineEstimator, inputs: CycleInputs) -> Outline | None:
    """Asks a network for the outline of one object; None where it estimates none."""
    field = network.find_outline(
        inputs.render, inputs.photo, depth_centre=inputs.depth_centre, diameter=inputs.diameter
    )
    if field is None:
        return None
    mask = (inputs.render.depth[0, ::STRIDE, ::STRIDE] > 0).float()
    within, visible = field.within[0].sigmoid(), field.visible[0].sigmoid()
    common, both, here = (t.sum() for t in (torch.minimum(mask, within), torch.maximum(mask, within), mask))
    overlap, seen = torch.stack([common / both.clamp_min(1.0), (mask * visible).sum() / here.clamp_min(1.0)]).tolist()
    return Outline(field.within[0], overlap=overlap, seen=seen)


def fit_to_outline(
    found: Solution,
    model: ObjectModel,
    look: Callable[[Float[Tensor, "4 4"]], CycleInputs],
    network: OutlineEstimator,
    *,
    config: OutlineConfig,
) -> Solution:
    """The solution fitted to the object's outline, as long as the surface alone does not tell where the object is.

    Args:
        found: By the cycles.
        model: The object.
        look: Render and photograph for a pose of the object.
        network: Finds outlines, or none.
        config: See :class:`OutlineConfig`.
    """
    is_clear = found.aligned and found.agreement >= config.clear_agreement
    if is_clear or config.clear_agreement <= -1.0:
        return found
    best = None
    candidate = found
    for fits_left in reversed(range(config.rounds + 1)):
        inputs = look(candidate.T_camera_object)
        outline = find_outline(network, inputs)
        if outline is None:
            return found
        candidate = dataclasses.replace(candidate, overlap=outline.overlap, seen=outline.seen)
        if best is not None and not candidate.overlap > max(best.overlap, config.least_overlap):
            break
        best = candidate
        lines = outline_lines(inputs, outline.within, config=config) if fits_left else None
        fit = None if lines is None else fit_outline(lines, candidate.T_camera_object, prior=found, config=config)
        if fit is None:
            break
        covariance = covariance_of(fit.T_camera_object, fit.information, model)
        candidate = dataclasses.replace(
            candidate,
            T_camera_object=fit.T_camera_object,
            information=fit.information,
            covariance=covariance,
            spread_diameters=spread_diameters(covariance, model.diameter),
        )
    return best or found


def fit_outline(
    lines: OutlineLines,
    T_camera_object: Float[Tensor, "4 4"],
    *,
    prior: Solution,
    config: OutlineConfig,
) -> OutlineFit | None:
    """Moves a pose to where its outline is the photograph's; None where steps cannot be solved for or end at the lens.

    Args:
        lines: Across the outline of the render that the pose is near.
        T_camera_object: Where the steps start, float64.
        prior: What is known without the outline.
        config: See :class:`OutlineConfig`.
    """
    T, centre, diameter = T_camera_object, lines.centre_object, lines.diameter
    information = known = prior.information / config.looseness
    for reach in (config.reach_px, config.reach_px / 2, config.reach_px / 4):
        for _ in range(config.steps):
            J, distance, weights = measure(lines, T, reach_px=reach, config=config)
            weighted = J * weights[:, None]
            information = known + weighted.T @ J
            moved = step_between(prior.T_camera_object, T, centre_object=centre, diameter=diameter)
            gradient = weighted.T @ distance - known @ moved
            step, ok = solve_marked(information[None], gradient[None], usable=torch.ones(1, dtype=torch.bool))
            if not bool(ok[0]):
                return None
            T = moved_by(T, step[0], centre_object=centre, diameter=diameter)
            if float(step.norm()) < _SETTLED:
                break
    is_before_lens = bool(torch.isfinite(T).all()) and float(transform(T, centre[None])[0, 2]) > NEAR_M
    return OutlineFit(T, information) if is_before_lens else None
