"""Fits score and covariance on held-out scenes, traps included."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.evaluation.metrics import add
from rnnpose_ros.evaluation.score_quality import (
    CHI2_6_95,
    RIGHT_DIAMETERS,
    auroc,
    expected_calibration_error,
    mahalanobis_squared,
)
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.refinement.opinions import OpinionConfig, ask_again
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.refinement.restarts import RestartConfig
from rnnpose_ros.refinement.status import SCORE_MEASURES, Calibration
from rnnpose_ros.training.traps import Trap, draw_trap, emptied, hidden, turned
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult

_LOGGER = logging.getLogger(__name__)
_SCENE_PX = 320
_SCENE_MARGIN = 1.6
_BELIEVED = 0.5
"""Covariances are fitted to the right cases that score at least this: others are not published."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One refinement with a known answer."""

    measures: tuple[float, ...]
    right: bool
    error_squared: float
    """Normalised by the predicted covariance, before scaling; NaN where the pose is wrong."""
    reconsidered: Case | None = None
    """What second opinions made of it."""


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """How well the fit describes cases it has not seen."""

    calibration: Calibration
    cases: int
    right_share: float
    expected_calibration_error: float
    auroc: float
    covered_95: float
    """Share of the believed right cases inside their 95 % ellipsoid."""
    asked: int = 0
    """Cases that second opinions were asked about: neither beyond doubt nor hopeless."""
    asked_error: float = math.nan
    """Expected calibration error of these, after the opinions."""
    asked_auroc: float = math.nan
    asked_auroc_before: float = math.nan
    """Without the opinions."""


def calibrate(refiner: Refiner, *, scenes: int, seed: int) -> CalibrationReport:
    """Refines scenes that training never drew and fits the constants.

    A third of the cases are traps, see :class:`~rnnpose_ros.training.traps.Trap`. Nothing is tried again meanwhile:
    whether to do so is what the score is for. Second opinions are asked for each time, and their constants fitted to
    the cases on which they will be.

    Args:
        refiner: Whose calibration is to be found.
        scenes: How many.
        seed: Of the scenes; use one that training did not.
    """
    # What is solved is believed, whatever it scores so far.
    alone = replace(refiner.config, restarts=RestartConfig(count=0), opinions=OpinionConfig(count=0), min_score=0.0)
    opinions = refiner.config.opinions
    cases = list(_cases(refiner.with_config(alone), opinions, scenes=scenes, seed=seed))
    return fit_calibration(cases, low=refiner.config.min_score, high=opinions.below_score)


def fit_calibration(cases: Sequence[Case], *, low: float = 0.0, high: float = 1.0) -> CalibrationReport:
    """Fits the constants to every second case and measures them on the others.

    Those of second opinions, of which there are fewer, are fitted to each half and measured on the other; the report's
    are fitted to both.

    Args:
        cases: With known answers.
        low: Second opinions are asked for from this score on,
        high: and below this one.
    """
    fit, held_out = cases[::2], cases[1::2]
    weights = _fit_logistic(np.array([c.measures[:-1] for c in fit]), _right(fit).astype(float))
    named = {f"score_by_{name}": float(w) for name, w in zip(SCORE_MEASURES[:-1], weights[1:], strict=True)}
    calibration = Calibration(score_bias=float(weights[0]), **named)
    squared = _believed_errors(fit, calibration)
    scale = float(np.quantile(squared, 0.95)) / CHI2_6_95 if len(squared) else 1.0
    calibration = replace(calibration, covariance_scale=scale)
    asked, asked_else = (_asked(half, calibration, low=low, high=high) for half in (fit, held_out))
    scores = np.array([calibration.score(c.measures) for c in held_out])
    right = _right(held_out)
    return CalibrationReport(
        calibration=_with_opinions(calibration, [*asked, *asked_else]),
        cases=len(cases),
        right_share=float(np.mean([c.right for c in cases])),
        expected_calibration_error=expected_calibration_error(scores, right),
        auroc=auroc(scores, right),
        covered_95=float(np.mean(_believed_errors(held_out, calibration) < scale * CHI2_6_95)),
        **_opinion_figures(calibration, asked, asked_else),
    )


def _asked(cases: Sequence[Case], calibration: Calibration, *, low: float, high: float) -> list[Case]:
    """The cases that second opinions will be asked about, as these left them."""
    return [
        case.reconsidered
        for case in cases
        if case.reconsidered is not None and low <= calibration.score(case.measures) < high
    ]


def _with_opinions(calibration: Calibration, asked: Sequence[Case]) -> Calibration:
    """With the constants of second opinions, where right and wrong ones were seen."""
    if len({case.right for case in asked}) < 2:
        return calibration
    seen = np.array([(calibration.logit(case.measures), case.measures[-1]) for case in asked])
    bias, by_logit, by_log_apart = map(float, _fit_logistic(seen, _right(asked).astype(float)))
    return replace(calibration, opinion_bias=bias, opinion_by_logit=by_logit, opinion_by_log_apart=by_log_apart)


def _opinion_figures(calibration: Calibration, half: Sequence[Case], other: Sequence[Case]) -> dict[str, Any]:
    """Each half by constants of the other."""
    right = np.concatenate([_right(half), _right(other)])
    if len(set(right.tolist())) < 2:
        return {"asked": len(right)}
    scores: list[float] = []
    before: list[float] = []
    for fit, measured in ((other, half), (half, other)):
        fitted = _with_opinions(calibration, fit)
        scores += [fitted.score(case.measures) for case in measured]
        before += [calibration.logit(case.measures) for case in measured]
    return {
        "asked": len(right),
        "asked_error": expected_calibration_error(np.array(scores), right),
        "asked_auroc": auroc(np.array(scores), right),
        "asked_auroc_before": auroc(np.array(before), right),
    }


def _right(cases: Sequence[Case]) -> np.ndarray:
    return np.array([case.right for case in cases], bool)


def _believed_errors(cases: Sequence[Case], calibration: Calibration) -> np.ndarray:
    """Normalised squared errors, before scaling, of the right cases that score well."""
    squared = [c.error_squared for c in cases if calibration.score(c.measures) >= _BELIEVED]
    return np.array([value for value in squared if np.isfinite(value)])


def _cases(refiner: Refiner, opinions: OpinionConfig, *, scenes: int, seed: int) -> Iterator[Case]:
    """Each refined alone, and what second opinions make of it, where such are asked for."""
    generator = SceneGenerator(refiner.renderer, seed=seed)
    # As the refiner does: the published network is asked once.
    asks = opinions.count > 0 and not isinstance(refiner.network, PaperNetwork)
    rng = np.random.default_rng(seed)
    before: tuple[ObjectModel, Tensor] | None = None
    for number in range(scenes):
        batch = generator.batch(1, size=_SCENE_PX, margin=_SCENE_MARGIN)
        if not bool(batch.valid[0]):
            continue
        model, photo, T_start = batch.objects[0], batch.photo[0], batch.T_camera_object_initial[0]
        shown, seen = model, batch.photo_depth[0] > 0
        trap = Trap.NONE if before is None else draw_trap(rng)
        if before is not None:
            if trap is Trap.OTHER_OBJECT:
                shown = before[0]
            elif trap is Trap.HIDDEN:
                photo = hidden(photo, seen, before[1], rng)
            elif trap is Trap.EMPTY:
                photo = emptied(photo, seen)
            elif trap is Trap.WRONG_START:
                T_start = turned(T_start, rng)
        before = model, batch.photo[0]
        there = trap in (Trap.NONE, Trap.WRONG_START)
        frame = ImageFrame(rgb=photo.permute(1, 2, 0).contiguous(), camera=batch.camera.one(0))
        refine = partial(_refine, refiner, frame, shown)
        (result,) = refine([PoseHypothesis(shown.label, T_start.double())])
        if result.measures is not None:
            judged = partial(_judge, truth=batch.T_camera_object[0], model=model, is_there=there)
            case = judged(result)
            if asks:
                result = ask_again(
                    result, shown, refine=refine, config=opinions, calibration=refiner.calibration, min_score=0.0
                )
            yield case if result.dissent is None else replace(case, reconsidered=judged(result))
        if (number + 1) % 100 == 0:
            _LOGGER.info("calibration: %d of %d scenes", number + 1, scenes)


def _refine(
    refiner: Refiner,
    frame: ImageFrame,
    model: ObjectModel,
    hypotheses: Sequence[PoseHypothesis],
    cycles: int | None = None,
) -> list[RefinementResult]:
    return refiner.refine(frame, hypotheses, {model.label: model}, cycles=cycles)


def _judge(result: RefinementResult, *, truth: Float[Tensor, "4 4"], model: ObjectModel, is_there: bool) -> Case:
    """Right means: ADD to the nearest symmetric truth under a tenth of the diameter, and the object is there."""
    T, truth = result.T_camera_object, truth.double()
    truths = truth @ model.symmetries.double()
    poses = T.expand(len(truths), 4, 4)
    errors = add(poses, truths, points_object=model.mesh.vertices.double())
    nearest = int(errors.argmin())
    right = is_there and float(errors[nearest]) < RIGHT_DIAMETERS * model.diameter
    squared = float("nan")
    if right and result.covariance is not None:
        squared = mahalanobis_squared(T, truths[nearest], result.covariance)
    assert result.measures is not None
    return Case(measures=result.measures, right=right, error_squared=squared)


def _fit_logistic(measures: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Bias and factors of a lightly regularised logistic regression."""
    mean, spread = measures.mean(0), measures.std(0) + 1e-9
    x = np.concatenate([np.ones((len(measures), 1)), (measures - mean) / spread], 1)

    def loss(w: np.ndarray) -> float:
        z = x @ w
        return float(np.mean(np.logaddexp(0, z) - right * z) + 1e-3 * (w[1:] ** 2).sum())

    w = minimize(loss, np.zeros(x.shape[1]), method="L-BFGS-B").x
    factors = w[1:] / spread
    return np.concatenate([[w[0] - float(factors @ mean)], factors])
