"""Second opinions: an object refined again from starts near its result, to see whether the same comes out.

Where texture and outline fix the pose, it does not matter where the search begins. Where they do not, each search ends
somewhere else, and what each of them predicts of its own error knows nothing of it. So of a result that is not beyond
doubt a few more are asked for; the one in their midst stands, and how far they lie apart goes into its covariance and
into its score. Not of the RNNPose papers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.perturbation import N1, perturb
from rnnpose_ros.geometry.se3 import mean_squared_difference, transform
from rnnpose_ros.refinement.restarts import Refine
from rnnpose_ros.refinement.solution import spread_diameters
from rnnpose_ros.refinement.status import Calibration, held_log_spread
from rnnpose_ros.refinement.symmetric_pose import nearest_member, some_vertices
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

_SEED = 7


@dataclass(frozen=True, slots=True)
class OpinionConfig:
    """When to ask for second opinions, and how many."""

    count: int = param(4, doc="Second opinions on a result, from starts near it; 0: none", bounds=(0, 64), dynamic=True)
    cycles: int = param(2, doc="Render cycles of each", bounds=(1, 20), dynamic=True)
    below_score: float = param(0.95, doc="Results that score lower are asked about", bounds=(0.0, 1.0), dynamic=True)
    depth_share: float = param(
        0.06, doc="How much nearer the first starts, and farther the second", bounds=(0.0, 0.5), dynamic=True
    )
    spread: float = param(
        0.5, doc="How far from the result the others start, in units of N1 noise", bounds=(0.05, 4.0), dynamic=True
    )


def poses_near(
    T_camera_object: Float[Tensor, "4 4"], model: ObjectModel, config: OpinionConfig
) -> Float[Tensor, "K 4 4"]:
    """Where second opinions start from: nearer and farther, as depth is known least, the rest anywhere around.

    Always the same for the same pose, float64.
    """
    T = T_camera_object.double()
    centre = transform(T, model.centre.double()[None])[0]
    along = T.expand(2, 4, 4).clone()
    along[:, :3, 3] += config.depth_share * torch.stack([-centre, centre])
    around = perturb(
        T.expand(config.count, 4, 4),
        noise=N1.for_diameter(model.diameter),
        scale=config.spread,
        generator=torch.Generator().manual_seed(_SEED),
        centre_object=model.centre.expand(config.count, 3),
    )
    return torch.cat([along, around])[: config.count]


def ask_again(
    result: RefinementResult,
    model: ObjectModel,
    *,
    refine: Refine,
    config: OpinionConfig,
    calibration: Calibration,
    min_score: float,
) -> RefinementResult:
    """The result in the midst of this one and further ones; see :func:`in_their_midst`.

    Args:
        result: Of a solved hypothesis.
        model: The object.
        refine: Refines hypotheses in batches.
        config: See :class:`OpinionConfig`.
        calibration: Makes the score anew.
        min_score: Under which the result is marked LOW_SCORE.
    """
    poses = poses_near(result.T_camera_object, model, config)
    others = refine([PoseHypothesis(result.label, T) for T in poses], config.cycles)
    solved = [other for other in others if other.measures is not None]
    if not solved:
        return result
    chosen = in_their_midst([result, *solved], model, calibration=calibration)
    is_low = chosen.is_usable and chosen.score < min_score
    return dataclasses.replace(chosen, status=RefinementStatus.LOW_SCORE) if is_low else chosen


def in_their_midst(
    results: Sequence[RefinementResult], model: ObjectModel, *, calibration: Calibration
) -> RefinementResult:
    """The result that lies nearest to all others, as unsure as they lie apart.

    Args:
        results: Solved ones of one object in one picture, two at least.
        model: The object.
        calibration: Makes the score anew.

    Returns:
        That result (the first of equals; of a symmetric object at the pose that is turned least from the first
        result's), its covariance increased by the others' mean squared distance from it, its score made with it. Its
        status stays what it was.
    """
    first = results[0].T_camera_object
    alike = [nearest_member(result, model, first) for result in results]
    T = torch.stack([result.T_camera_object.double() for result in alike])
    points = transform(T, some_vertices(model).expand(len(T), -1, 3))
    apart = (points[:, None] - points[None]).norm(dim=-1).mean(-1)
    middle = int(apart.sum(1).argmin())
    chosen = alike[middle]
    spread = mean_squared_difference(T[torch.arange(len(T)) != middle], T[middle])
    covariance = spread if chosen.covariance is None else chosen.covariance + spread
    assert chosen.measures is not None
    log_apart = held_log_spread(spread_diameters(spread, model.diameter))
    measures = (*chosen.measures[:-1], log_apart)
    score = calibration.score(measures)
    return dataclasses.replace(chosen, covariance=covariance, measures=measures, score=score, dissent=spread)
