"""The worst of an object's trials, pictured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.data.held_out.painters import HeldOutView
from rnnpose_ros.evaluation.object_trials import ObjectTrial
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.refinement.pictures import overlay
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

_COUNT = 12
_MARGIN = 1.5


def worst_pictures(
    refiner: Refiner, view: Callable[[int], HeldOutView], trials: Sequence[ObjectTrial], model: ObjectModel
) -> list[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """A dozen pictures of the largest ADD(-S) with start and refined outline, cut out about the object; with captions.

    Args:
        refiner: Whose renderer draws the outlines.
        view: Gives a picture by its number.
        trials: To choose from.
        model: The object.
    """
    worst = sorted(trials, key=lambda t: -t.add if math.isfinite(t.add) else -math.inf)[:_COUNT]
    pictures = []
    for trial in worst:
        seen = view(trial.view)
        T_start, T_refined = (_matrix(values) for values in (trial.T_start, trial.T_refined))
        result = RefinementResult(model.label, T_refined, RefinementStatus(trial.status), trial.score, math.nan)
        drawn = overlay(
            seen.frame,
            [result],
            {model.label: model},
            refiner.features,
            initial=[PoseHypothesis(model.label, T_start)],
        )
        caption = f"picture {trial.view}: {trial.add:.3f} d, {trial.rotation_deg:.1f} deg, score {trial.score:.2f}"
        pictures.append((caption, _about(drawn, seen, model)))
    return pictures


def _matrix(values: Sequence[float]) -> Float[Tensor, "4 4"]:
    return torch.tensor(values, dtype=torch.float64).reshape(4, 4)


def _about(picture: UInt8[np.ndarray, "H W 3"], view: HeldOutView, model: ObjectModel) -> UInt8[np.ndarray, "h w 3"]:
    """The part around the object's true place, as wide as a half more than the object."""
    points = transform(view.T_camera_object, model.mesh.vertices.double())
    uv = project(points[None], view.frame.camera.K)[0]
    middle, half = 0.5 * (uv.amin(0) + uv.amax(0)), 0.5 * _MARGIN * float((uv.amax(0) - uv.amin(0)).max())
    height, width = picture.shape[:2]
    u0, v0 = max(0, int(middle[0] - half)), max(0, int(middle[1] - half))
    u1, v1 = min(width, int(middle[0] + half) + 1), min(height, int(middle[1] + half) + 1)
    return np.ascontiguousarray(picture[v0:v1, u0:u1]) if u1 - u0 > 8 and v1 - v0 > 8 else picture
