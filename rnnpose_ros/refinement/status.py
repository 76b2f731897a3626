"""Judging a refinement: status, score, residual, covariance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.geometry.se3 import transform
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


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants fitted on held-out pictures, kept in the checkpoint.

    ``score = 1 / (1 + exp(-(bias + by_weight m + by_residual log(r + 0.1) + by_step s)))`` with the mean
    weight m over the covered cells, the weighted residual r in cells and the last step's motion s in cells.
    """

    score_bias: float = -3.0
    score_by_weight: float = 10.0
    score_by_residual: float = -1.0
    score_by_step: float = -1.0
    covariance_scale: float = 1.0

    @classmethod
    def from_mapping(cls, values: Mapping[str, float]) -> Calibration:
        """From a checkpoint's ``calibration``; what it does not name keeps its default."""
        known = {name: float(v) for name, v in values.items() if name in cls.__slots__}
        return cls(**known)


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
    covariance: Float[Tensor, "6 6"] | None = None

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
        centre = transform(T, self.model.centre.double().cpu()[None])[0]
        self.covariance = pose_covariance(
            last.step.normal_matrix[row],
            0.5 * residual * residual,
            diameter=self.model.diameter,
            origin_from_centre=T[:3, 3] - centre,
        )


def judge(state: CycleState, config: RefinerConfig, calibration: Calibration) -> RefinementResult:
    """The result of a hypothesis after its last cycle."""
    failed = state.status is not None
    score = 0.0 if failed else _score(state, calibration)
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
        trace=tuple(state.trace) if state.trace else None,
    )


def score_features(state: CycleState) -> tuple[float, float, float]:
    """What the score is computed from: mean weight, log residual, last step (cells)."""
    return state.mean_weight, math.log(state.residual_cells + 0.1), min(state.step_cells, 10.0)


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
        )
        for i, it in enumerate(output.iterations)
    ]


def _score(state: CycleState, calibration: Calibration) -> float:
    weight, residual, step = score_features(state)
    c = calibration
    logit = c.score_bias + c.score_by_weight * weight + c.score_by_residual * residual + c.score_by_step * step
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit)))) if math.isfinite(logit) else 0.0


def _step_motion(step: Float[Tensor, "6"], normal_matrix: Float[Tensor, "6 6"], weight_sum: float) -> float:
    """Weighted RMS motion of the object's points by a step, crop pixels: sqrt(xi^T H xi / sum w)."""
    xi = step.detach().double().cpu()
    return math.sqrt(max(0.0, float(xi @ normal_matrix.double().cpu() @ xi)) / max(weight_sum, 1e-9))
