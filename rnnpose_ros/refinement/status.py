"""Judging a refinement: status, score, residual, covariance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M, backproject, project
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.refinement.alignment import AlignmentConfig, Look, align
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput
from rnnpose_ros.refinement.solver import pose_covariance
from rnnpose_ros.types import (
    CameraIntrinsics,
    CorrespondenceField,
    IterationTrace,
    ObjectModel,
    PoseHypothesis,
    RefinementResult,
    RefinementStatus,
)

if TYPE_CHECKING:
    from rnnpose_ros.refinement.refiner import RefinerConfig


SCORE_MEASURES = ("mean_weight", "log_residual", "log_step", "log_spread", "agreement")
"""What the score is computed from, all of the last iteration: the mean weight over the covered cells; the logarithms of
the weighted residual and of the last step's motion (cells), and of the pose's predicted uncertainty (diameters); and
how alike render and photograph look at the end (correlation, 0 where they were not compared)."""


_LEAST_VARIANCE_PX = 1e-3


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants fitted on held-out pictures, kept in the checkpoint.

    ``score = 1 / (1 + exp(-(bias + sum of factor times measure)))`` over :data:`SCORE_MEASURES`.
    """

    score_bias: float = -5.0
    score_by_mean_weight: float = 10.0
    score_by_log_residual: float = -1.0
    score_by_log_step: float = -0.5
    score_by_log_spread: float = -0.5
    score_by_agreement: float = 0.0
    covariance_scale: float = 1.0

    @classmethod
    def from_mapping(cls, values: Mapping[str, float]) -> Calibration:
        """From a checkpoint's ``calibration``; what it does not name keeps its default."""
        return cls(**{name: float(v) for name, v in values.items() if name in cls.__slots__})

    def score(self, measures: Sequence[float]) -> float:
        """Probability that a pose with these measures is right (ADD under a tenth of the diameter)."""
        factors = [getattr(self, f"score_by_{name}") for name in SCORE_MEASURES]
        logit = self.score_bias + sum(f * m for f, m in zip(factors, measures, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit)))) if math.isfinite(logit) else 0.0


@dataclass(slots=True)
class CycleState:
    """One hypothesis on its way through the cycles."""

    hypothesis: PoseHypothesis
    model: ObjectModel
    T_camera_object: Float[Tensor, "4 4"] = field(init=False)
    status: RefinementStatus | None = None
    """Set when it cannot go on."""
    trace: list[IterationTrace] = field(default_factory=list)
    mean_weight: float = 0.0
    residual_cells: float = math.nan
    residual_px: float = math.nan
    step_px: float = math.nan
    """How far the last step moved the object, image pixels."""
    step_cells: float = math.nan
    spread_diameters: float = math.nan
    """Predicted uncertainty of the pose: root of the covariance's trace with rotations as arcs at half a diameter."""
    agreement: float = 0.0
    covariance: Float[Tensor, "6 6"] | None = None
    look: Look | None = None
    """What the last cycle compared."""
    normal_matrix: Float[Tensor, "6 6"] | None = None
    """Of the last step, in (v / D, omega) and crop pixels."""
    variance_px: float = math.nan
    """Of one residual component of the last step, square crop pixels."""

    def __post_init__(self) -> None:
        self.T_camera_object = self.hypothesis.T_camera_object.detach().double().cpu()
        T = self.T_camera_object
        if not bool(torch.isfinite(T).all()):
            self.status = RefinementStatus.SINGULAR
        elif float(transform(T, self.model.centre.double().cpu()[None])[0, 2]) <= NEAR_M:
            self.status = RefinementStatus.OUT_OF_VIEW

    def take(self, T: Float[Tensor, "4 4"], row: int, inputs: CycleInputs, output: CycleOutput, scale: float) -> None:
        """Takes over a cycle's pose and measures.

        Args:
            T: The new pose.
            row: This hypothesis' place in the batch.
            inputs: Of the cycle.
            output: Of the cycle.
            scale: Crop pixels per image pixel.
        """
        last = output.iterations[-1]
        stride = 8.0
        covered = int((output.depth[row] > 0).sum())
        self.T_camera_object = T
        self.mean_weight = float(last.weights[row].sum()) / max(covered, 1)
        residual = float(last.step.residual_px[row])
        self.residual_cells, self.residual_px = residual / stride, residual / scale
        motion = _step_motion(last.step.step[row], last.step.normal_matrix[row], float(last.step.weight_sum[row]))
        self.step_px, self.step_cells = motion / scale, motion / stride
        self.normal_matrix, self.variance_px = last.step.normal_matrix[row].cpu(), 0.5 * residual * residual
        self.covariance = self.covariance_of(self.normal_matrix, self.variance_px)
        self.spread_diameters = _spread(self.covariance, self.model.diameter)
        self.look = _look(row, inputs, output, self.model)

    def align(self, config: AlignmentConfig) -> None:
        """Betters the last cycle's pose by the pictures, and says how sure both are together."""
        if self.status is not None or self.look is None or self.normal_matrix is None:
            return
        information = self.normal_matrix / (max(self.variance_px, _LEAST_VARIANCE_PX) * config.prior_variance)
        if config.steps > 0:
            aligned = align(self.look, self.T_camera_object, information, config=config)
            if aligned is not None:
                self.T_camera_object, information = aligned.T_camera_object, aligned.information
                self.agreement = aligned.agreement
        self.covariance = self.covariance_of(information, 1.0)

    def covariance_of(self, normal_matrix: Float[Tensor, "6 6"], variance: float) -> Float[Tensor, "6 6"] | None:
        """Of the present pose, as messages have it; see :func:`~rnnpose_ros.refinement.solver.pose_covariance`."""
        T = self.T_camera_object
        centre = transform(T, self.model.centre.double().cpu()[None])[0]
        return pose_covariance(
            normal_matrix, variance, diameter=self.model.diameter, origin_from_centre=T[:3, 3] - centre
        )


def judge(state: CycleState, config: RefinerConfig, calibration: Calibration) -> RefinementResult:
    """The result of a hypothesis after its last cycle."""
    failed = state.status is not None
    measures = None if failed else score_measures(state)
    score = 0.0 if measures is None else calibration.score(measures)
    status = state.status
    if status is None:
        if score < config.min_score:
            status = RefinementStatus.LOW_SCORE
        else:
            converged = state.step_px <= config.converged_px
            status = RefinementStatus.CONVERGED if converged else RefinementStatus.NOT_CONVERGED
    covariance = None if failed or state.covariance is None else state.covariance * calibration.covariance_scale
    return RefinementResult(
        label=state.hypothesis.label,
        T_camera_object=state.T_camera_object,
        status=status,
        score=score,
        residual_px=state.residual_px,
        covariance=covariance,
        measures=measures,
        trace=tuple(state.trace) if state.trace else None,
    )


def _look(row: int, inputs: CycleInputs, output: CycleOutput, model: ObjectModel) -> Look:
    """The pictures of one batch item."""
    camera = CameraIntrinsics(K=inputs.camera.K[row : row + 1], height=inputs.camera.height, width=inputs.camera.width)
    return Look(
        photo=inputs.photo[row],
        render=inputs.render.color[row],
        depth=inputs.render.depth[row],
        camera=camera,
        T_render=inputs.T_render[row],
        weights=output.iterations[-1].weights[row],
        stride=output.stride,
        centre_object=model.centre,
        diameter=model.diameter,
    )


def score_measures(state: CycleState) -> tuple[float, ...]:
    """The state's :data:`SCORE_MEASURES`, held in a range where their logarithms say something."""
    return (
        state.mean_weight,
        math.log(_held(state.residual_cells, 1e-2, 10.0)),
        math.log(_held(state.step_cells, 1e-3, 10.0)),
        math.log(_held(state.spread_diameters, 1e-4, 10.0)),
        state.agreement,
    )


def _held(value: float, low: float, high: float) -> float:
    return high if math.isnan(value) else min(max(value, low), high)


def describe_iterations(
    row: int, cycle: int, inputs: CycleInputs, output: CycleOutput, affine: Float[Tensor, "2 3"]
) -> list[IterationTrace]:
    """The trace of one batch item for one cycle."""
    camera = CameraIntrinsics(K=inputs.camera.K[row : row + 1], height=inputs.camera.height, width=inputs.camera.width)
    mask = output.depth[row] > 0
    return [
        IterationTrace(
            cycle=cycle,
            iteration=i,
            T_camera_object=it.T_camera_object[row].double().cpu(),
            camera=camera,
            affine_crop_image=affine,
            induced_uv=it.induced_uv[row],
            field=CorrespondenceField(target_uv=it.target_uv[row : row + 1], confidence=it.weights[row : row + 1]),
            similarity=it.similarity[row] * mask,
            cell_uv=output.cell_uv,
            rectified_uv=_rectified_uv(row, inputs, output, it.T_camera_object[row]),
            depth=inputs.render.depth[row],
            photo=inputs.photo[row],
            render=inputs.render.color[row],
        )
        for i, it in enumerate(output.iterations)
    ]


def _rectified_uv(
    row: int, inputs: CycleInputs, output: CycleOutput, T_camera_object: Float[Tensor, "4 4"]
) -> Float[Tensor, "h w 2"]:
    """Where a pose puts the render's cells."""
    K, T_render = inputs.camera.K[row : row + 1].double(), inputs.T_render[row].double()
    depth, cell_uv = output.depth[row : row + 1].double(), output.cell_uv[None].double()
    points_render = backproject(depth, cell_uv, K).flatten(1, 2)
    points = transform((T_camera_object.double() @ inverse(T_render))[None], points_render)
    return project(points, K)[0].unflatten(0, output.cell_uv.shape[:2]).to(output.depth.dtype)


def _step_motion(step: Float[Tensor, "6"], normal_matrix: Float[Tensor, "6 6"], weight_sum: float) -> float:
    """Weighted RMS motion of the object's points by a step, crop pixels: sqrt(xi^T H xi / sum w)."""
    xi = step.detach().double().cpu()
    return math.sqrt(max(0.0, float(xi @ normal_matrix.double().cpu() @ xi)) / max(weight_sum, 1e-9))


def _spread(covariance: Float[Tensor, "6 6"] | None, diameter: float) -> float:
    """Root mean square motion that a covariance predicts, in diameters."""
    if covariance is None:
        return math.nan
    variances = covariance.diagonal()
    squared = float(variances[:3].sum()) / diameter**2 + 0.25 * float(variances[3:].sum())
    return math.sqrt(max(squared, 0.0))
