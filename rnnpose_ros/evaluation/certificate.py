"""What onboarding an object came to: figures, and the answer whether its refiner can be relied on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from rnnpose_ros.evaluation.object_trials import ObjectTrial, precision
from rnnpose_ros.evaluation.score_quality import RIGHT_DIAMETERS, auroc, expected_calibration_error
from rnnpose_ros.evaluation.timing import Timing

CURVE_DIAMETERS = np.linspace(0.002, 0.2, 50)
_TWO_SIDED_95 = 1.96


@dataclass(frozen=True, slots=True)
class RecallRow:
    """What the starts from noise came to, before refinement or after; shares 0..1."""

    name: str
    trials: int
    add_01d: float
    add_005d: float
    add_002d: float
    projection_5px: float
    projection_2px: float
    visible_5px: float
    visible_2px: float
    median_deg: float
    median_mm: float


@dataclass(frozen=True, slots=True)
class NetworkResult:
    """One network on the held-out pictures."""

    name: str
    recall: RecallRow
    precision: float
    """See :func:`.object_trials.precision`: by this the better network is kept."""
    basin: Mapping[str, float]
    """Share of right poses by the start's angle in degrees."""
    auroc: float
    """Of the score, right against wrong, over all trials; NaN where all are of one kind."""
    calibration_error: float
    """Expected, of the score, over all trials."""
    curve: Float[np.ndarray, "N"]
    """Recall of ADD(-S) over ``CURVE_DIAMETERS``."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The answer, and what it rests on."""

    label: str
    bar: float
    """Least share of right poses from N1."""
    kept: str
    """Name of the better network."""
    start: RecallRow
    start_curve: Float[np.ndarray, "N"]
    results: tuple[NetworkResult, ...]
    views: int
    painter: str
    timing: Timing | None
    """Of one refinement; None where none ran to its end."""
    findings: tuple[str, ...]
    """Of the mesh."""
    symmetries: str
    facts: Mapping[str, str]
    order: Mapping[str, str] = field(default_factory=dict)
    """What was asked for, so that the same command knows that it is done."""

    @property
    def best(self) -> NetworkResult:
        """The kept network's."""
        return next(result for result in self.results if result.name == self.kept)

    @property
    def is_certified(self) -> bool:
        """Whether the kept network reaches the bar."""
        return self.best.recall.add_01d >= self.bar

    @property
    def interval(self) -> tuple[float, float]:
        """Of the kept network's recall, 95 %, as if every trial stood for itself."""
        return wilson_interval(self.best.recall.add_01d, self.best.recall.trials)

    @property
    def verdict(self) -> str:
        """One sentence."""
        low, high = self.interval
        answer = "CERTIFIED" if self.is_certified else "NOT CERTIFIED"
        return (
            f"{answer}: {100 * self.best.recall.add_01d:.1f} % of {self.best.recall.trials} starts from N1 end within "
            f"a tenth of the diameter (95 % interval {100 * low:.0f} to {100 * high:.0f} %; the bar is "
            f"{100 * self.bar:g} %; {100 * self.start.add_01d:.1f} % at the start)"
        )


def network_result(name: str, trials: Sequence[ObjectTrial]) -> NetworkResult:
    """One network's figures."""
    right = np.array([t.add < RIGHT_DIAMETERS for t in trials])
    scores = np.array([t.score for t in trials])
    noisy = [t for t in trials if t.is_from_noise]
    angles = sorted({t.asked_deg for t in trials if not t.is_from_noise})
    return NetworkResult(
        name=name,
        recall=recall_row(name, noisy, refined=True),
        precision=precision(trials),
        basin={f"{a:g}": _share([t.add for t in trials if t.asked_deg == a], RIGHT_DIAMETERS) for a in angles},
        auroc=auroc(scores, right),
        calibration_error=expected_calibration_error(scores, right),
        curve=error_curve(noisy, refined=True),
    )


def recall_row(name: str, noisy: Sequence[ObjectTrial], *, refined: bool) -> RecallRow:
    """The figures of starts from noise, as they start or refined."""
    add = [t.add if refined else t.initial_add for t in noisy]
    px = [t.refined_px if refined else t.initial_px for t in noisy]
    visible = [t.refined_visible_px if refined else t.initial_visible_px for t in noisy]
    return RecallRow(
        name=name,
        trials=len(noisy),
        add_01d=_share(add, 0.1),
        add_005d=_share(add, 0.05),
        add_002d=_share(add, 0.02),
        projection_5px=_share(px, 5.0),
        projection_2px=_share(px, 2.0),
        visible_5px=_share(visible, 5.0),
        visible_2px=_share(visible, 2.0),
        median_deg=_median([t.rotation_deg if refined else t.initial_deg for t in noisy]),
        median_mm=_median([t.translation_mm if refined else t.initial_mm for t in noisy]),
    )


def error_curve(noisy: Sequence[ObjectTrial], *, refined: bool) -> Float[np.ndarray, "N"]:
    """Recall of ADD(-S) over ``CURVE_DIAMETERS``."""
    add = [t.add if refined else t.initial_add for t in noisy]
    return np.array([_share(add, float(threshold)) for threshold in CURVE_DIAMETERS])


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927); 0 to 1 without cases."""
    if count == 0:
        return 0.0, 1.0
    z2 = _TWO_SIDED_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _TWO_SIDED_95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def certificate_as_json(certificate: Certificate) -> dict[str, Any]:
    """All figures for machines; what is not finite becomes null."""
    low, high = certificate.interval
    content = {
        "label": certificate.label,
        "certified": certificate.is_certified,
        "verdict": certificate.verdict,
        "bar": certificate.bar,
        "interval_95": [low, high],
        "kept": certificate.kept,
        "start": asdict(certificate.start),
        "networks": {
            r.name: {**asdict(r.recall), "precision": r.precision, "basin": dict(r.basin)}
            | {"auroc": r.auroc, "calibration_error": r.calibration_error}
            for r in certificate.results
        },
        "views": certificate.views,
        "pictures": certificate.painter,
        "timing_ms": None if certificate.timing is None else asdict(certificate.timing.wall),
        "mesh": list(certificate.findings),
        "symmetries": certificate.symmetries,
        **certificate.facts,
        "order": dict(certificate.order),
    }
    return {key: _finite(value) for key, value in content.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _share(errors: Sequence[float], threshold: float) -> float:
    return float(np.mean(np.array(errors) < threshold)) if len(errors) else 0.0


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else math.nan
