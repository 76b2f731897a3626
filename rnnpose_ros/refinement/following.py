"""Following an object from picture to picture without the network, by aligning render and photograph alone.

From one picture of a camera to the next an object moves a few pixels. Where the pictures agreed well, comparing them
again finds it at a fraction of the network's cost. The alignment starts from the last pose, which it holds to loosely;
it is believed only where render and photograph agree as much as is asked, and has nothing to say otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.geometry.se3 import inverse
from rnnpose_ros.refinement.alignment import SLACK, AlignmentConfig, Descend, has_left
from rnnpose_ros.refinement.comparison import Look, compare
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.refinement.solution import covariance_of, spread_diameters
from rnnpose_ros.refinement.status import SCORE_MEASURES, Calibration, held_log_spread
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

_STRIDE = 8
_START_STD = (0.05, 0.05, 0.05, 0.1, 0.1, 0.1)
"""Of the motion from picture to picture, (v / D, omega)."""


def follow(
    hypothesis: PoseHypothesis,
    row: int,
    inputs: CycleInputs,
    model: ObjectModel,
    *,
    least_agreement: float,
    config: AlignmentConfig,
    calibration: Calibration,
    descend: Descend,
) -> RefinementResult | None:
    """Where an object went, or None where the pictures do not tell well enough.

    Args:
        hypothesis: Its last pose, and in ``measures`` what the network last measured of it.
        row: Its place in the inputs.
        inputs: Render at that pose, and the new photograph.
        model: The object.
        least_agreement: Correlation of render and photograph under which there is no answer.
        config: How pictures are compared.
        calibration: Turns measures into score and covariance.
        descend: Takes the steps.
    """
    comparison = compare(_look(row, inputs, model), config=config)
    if comparison is None or hypothesis.measures is None:
        return None
    T_start = hypothesis.T_camera_object.double().cpu()
    prior = torch.diag(torch.tensor(_START_STD, dtype=torch.float64) ** -2)
    found = descend(comparison, T_start, prior)
    if found is None or has_left(found, prior) or not found.after >= max(least_agreement, found.before - SLACK):
        return None
    T = found.T_camera_object.clone()
    T[:3, :3] = nearest_rotation(T[:3, :3])
    covariance = covariance_of(T, found.information, model)
    if covariance is None:
        return None
    measures = _measures(hypothesis.measures, spread_diameters(covariance, model.diameter), found.after)
    return RefinementResult(
        label=hypothesis.label,
        T_camera_object=T,
        status=RefinementStatus.CONVERGED,
        score=calibration.score(measures),
        residual_px=math.nan,
        covariance=covariance * calibration.covariance_scale,
        measures=measures,
        by_network=False,
    )


def uncorrected(hypothesis: PoseHypothesis) -> PoseHypothesis:
    """Where render and photograph alone would have the object: from there it is followed."""
    if hypothesis.correction is None:
        return hypothesis
    T = hypothesis.T_camera_object.double().cpu() @ inverse(hypothesis.correction)
    return replace(hypothesis, T_camera_object=T)


def corrected(result: RefinementResult, hypothesis: PoseHypothesis) -> RefinementResult:
    """What was followed from :func:`uncorrected`, where the network would have it."""
    if hypothesis.correction is None:
        return result
    return replace(result, T_camera_object=result.T_camera_object @ hypothesis.correction)


def _look(row: int, inputs: CycleInputs, model: ObjectModel) -> Look:
    """The pictures, every pixel of the same weight."""
    size = inputs.photo.shape[-1]
    cells = math.ceil(size / _STRIDE)
    return Look(
        photo=inputs.photo[row],
        render=inputs.render.color[row],
        depth=inputs.render.depth[row],
        camera=inputs.camera.one(row),
        T_render=inputs.T_render[row],
        weights=inputs.photo.new_ones(cells, cells),
        stride=_STRIDE,
        centre_object=model.centre,
        diameter=model.diameter,
    )


def _measures(last: Sequence[float], spread: float, agreement: float) -> tuple[float, ...]:
    """Of the score: the network's as it last gave them, uncertainty and agreement as they are now."""
    now = {"log_spread": held_log_spread(spread), "agreement": agreement}
    return tuple(now.get(name, value) for name, value in zip(SCORE_MEASURES, last, strict=True))
