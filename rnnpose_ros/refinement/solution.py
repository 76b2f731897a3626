"""What one cycle found of one object, network and alignment together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.refinement.alignment import AlignmentConfig, Descend, Look, align, descend
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput
from rnnpose_ros.refinement.cycle_report import CycleReport
from rnnpose_ros.refinement.pose_step import step_between
from rnnpose_ros.refinement.solver import pose_covariance
from rnnpose_ros.types import ObjectModel

_LEAST_VARIANCE_PX = 1e-3
_CELL_PX = 8.0
"""Crop pixels that measures in cells are counted in, whatever the network's stride."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A cycle's pose with all that its judgement needs."""

    T_camera_object: Float[Tensor, "4 4"]
    """float64, on the CPU."""
    information: Float[Tensor, "6 6"]
    """Of all that it is from, in (v / D, omega) about the object's centre."""
    covariance: Float[Tensor, "6 6"] | None
    """As messages have it, before calibration."""
    mean_weight: float
    """Of the last iteration's correspondences over the covered cells."""
    residual_cells: float
    residual_px: float
    """Image pixels."""
    step_cells: float
    step_px: float
    """How far the last step moved the object, image pixels."""
    spread_diameters: float
    """Predicted uncertainty of the pose: root of the covariance's trace with rotations as arcs at half a diameter."""
    motion_px: float
    """How far the whole cycle moved the object, crop pixels."""
    agreement: float = 0.0
    """How alike render and photograph look, -1..1; 0 where they were not compared."""
    aligned: bool = False
    overlap: float = 1.0
    """Of the render and the outline in the photograph, 0..1; 1 where no outline was asked for."""
    seen: float = 1.0
    """Share of the render that the photograph shows, 0..1; 1 where no outline was asked for."""

    def is_better_than(self, other: Solution) -> bool:
        """Aligned ones by their pictures' agreement; of those that are not, the later."""
        if self.aligned and other.aligned:
            return self.agreement > other.agreement
        return self.aligned or not other.aligned


def solution(
    T_camera_object: Float[Tensor, "4 4"],
    row: int,
    inputs: CycleInputs,
    output: CycleOutput,
    report: CycleReport,
    *,
    T_start: Float[Tensor, "4 4"],
    model: ObjectModel,
    alignment: AlignmentConfig | None,
    descend: Descend = descend,
) -> Solution:
    """What a cycle found of one of its objects.

    Args:
        T_camera_object: The network's pose, float64.
        row: The object's place in the batch.
        inputs: Of the cycle.
        output: Of the cycle.
        report: Of the object.
        T_start: Where the cycle started, float64.
        model: The object.
        alignment: How to align render and photograph; None for the network's own pose and covariance.
        descend: Takes the steps of the alignment.
    """
    residual, normal_matrix = report.residual_px, report.normal_matrix
    variance = 0.5 * residual * residual
    information, aligned = normal_matrix / max(variance, _LEAST_VARIANCE_PX), None
    if alignment is not None:
        information = information / alignment.prior_variance
        if alignment.steps > 0:
            look = _look(row, inputs, output, model)
            aligned = align(look, T_camera_object, information, config=alignment, descend=descend)
    if aligned is not None:
        T_camera_object, information = aligned.T_camera_object, aligned.information
    covariance = covariance_of(T_camera_object, information, model)
    motion = _motion_px(report.step, normal_matrix, report.weight_sum)
    whole = step_between(T_start, T_camera_object, centre_object=model.centre, diameter=model.diameter)
    return Solution(
        T_camera_object,
        information,
        covariance,
        mean_weight=report.mean_weight,
        residual_cells=residual / _CELL_PX,
        residual_px=residual / report.scale,
        step_cells=motion / _CELL_PX,
        step_px=motion / report.scale,
        spread_diameters=spread_diameters(covariance, model.diameter),
        motion_px=_motion_px(whole, normal_matrix, report.weight_sum),
        agreement=0.0 if aligned is None else aligned.agreement,
        aligned=aligned is not None and aligned.taken,
    )


def covariance_of(
    T_camera_object: Float[Tensor, "4 4"], information: Float[Tensor, "6 6"], model: ObjectModel
) -> Float[Tensor, "6 6"] | None:
    """As messages have it, of a pose with this information about the object's centre; see :func:`pose_covariance`."""
    centre = transform(T_camera_object, model.centre.double().cpu()[None])[0]
    return pose_covariance(
        information, 1.0, diameter=model.diameter, origin_from_centre=T_camera_object[:3, 3] - centre
    )


def _look(row: int, inputs: CycleInputs, output: CycleOutput, model: ObjectModel) -> Look:
    """The pictures of one batch item."""
    return Look(
        photo=inputs.photo[row],
        render=inputs.render.color[row],
        depth=inputs.render.depth[row],
        camera=inputs.camera.one(row),
        T_render=inputs.T_render[row],
        weights=output.iterations[-1].weights[row],
        stride=output.stride,
        centre_object=model.centre,
        diameter=model.diameter,
    )


def _motion_px(step: Float[Tensor, "6"], normal_matrix: Float[Tensor, "6 6"], weight_sum: float) -> float:
    """Weighted RMS motion of the object's points by an increment, crop pixels: sqrt(xi^T H xi / sum w)."""
    return math.sqrt(max(0.0, float(step @ normal_matrix @ step)) / max(weight_sum, 1e-9))


def spread_diameters(covariance: Float[Tensor, "6 6"] | None, diameter: float) -> float:
    """Root mean square motion of an object's outline that a covariance predicts, in diameters.

    Rotations count as arcs at half a diameter. NaN without a covariance, or where it is none.
    """
    if covariance is None:
        return math.nan
    variances = covariance.diagonal()
    squared = float(variances[:3].sum()) / diameter**2 + 0.25 * float(variances[3:].sum())
    return math.sqrt(squared) if squared >= 0.0 else math.nan
