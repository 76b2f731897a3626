"""Which estimates find which objects, and the recalls of BOP19 that follow.

Estimates of one object in one picture are taken by falling score; each takes the nearest true instance that is still
free and for which its error is below the threshold. The recall is the share of instances that were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

DISTANCE_THRESHOLDS = tuple(0.05 + 0.05 * k for k in range(10))
"""Of VSD, and of MSSD in diameters."""
PIXEL_THRESHOLDS = tuple(float(px) for px in range(5, 51, 5))
"""Of MSPD, in pixels of a picture 640 wide."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One object in one picture: its estimates against its true instances."""

    scores: Float[np.ndarray, "E"]
    """Of the estimates."""
    wanted: Bool[np.ndarray, "G"]
    """The instances that are to be found."""
    errors: Float[np.ndarray, "E G K"]
    """Every estimate against every instance, in one or several measures that must all be below their thresholds."""


def found(pairs: Pairs, thresholds: Sequence[float]) -> Bool[np.ndarray, "G"]:
    """Which instances are found."""
    taken = np.zeros(len(pairs.wanted), bool)
    for estimate in np.argsort(-pairs.scores, kind="stable"):
        best, best_error = -1, np.asarray(thresholds, float)
        for instance in np.flatnonzero(pairs.wanted & ~taken):
            error = pairs.errors[estimate, instance]
            if (error < best_error).all():
                best, best_error = int(instance), error
        if best >= 0:
            taken[best] = True
    return taken


def recall(many: Sequence[Pairs], thresholds: Sequence[float]) -> float:
    """Share of the wanted instances that are found; 0 where none are wanted."""
    wanted = sum(int(pairs.wanted.sum()) for pairs in many)
    return sum(int(found(pairs, thresholds).sum()) for pairs in many) / wanted if wanted else 0.0


def average_recall(many: Sequence[Pairs], thresholds: Sequence[float]) -> float:
    """The mean of the recalls at each threshold, over each measure by itself (VSD has one for each tau)."""
    measures = max((pairs.errors.shape[2] for pairs in many), default=0)
    recalls = []
    for k in range(measures):
        one = [Pairs(pairs.scores, pairs.wanted, pairs.errors[:, :, k : k + 1]) for pairs in many]
        recalls += [recall(one, (threshold,)) for threshold in thresholds]
    return float(np.mean(recalls)) if recalls else 0.0


def errors_of_instances(many: Sequence[Pairs]) -> Float[np.ndarray, "N"]:
    """The error of the estimate that each wanted instance gets without any threshold; infinite where it gets none."""
    errors = []
    for pairs in many:
        of_instance = np.full(len(pairs.wanted), np.inf)
        for estimate in np.argsort(-pairs.scores, kind="stable"):
            row = np.where(pairs.wanted & np.isinf(of_instance), pairs.errors[estimate, :, 0], np.inf)
            row = np.nan_to_num(row, nan=np.inf)
            if np.isfinite(row).any():
                of_instance[row.argmin()] = row.min()
        errors.append(of_instance[pairs.wanted])
    return np.concatenate(errors) if errors else np.zeros(0)


def wanted_instances(visible_shares: Float[np.ndarray, "G"], count: int) -> Bool[np.ndarray, "G"]:
    """The instances that a target of ``count`` asks for: those that show most of themselves."""
    wanted = np.zeros(len(visible_shares), bool)
    wanted[np.argsort(-visible_shares, kind="stable")[:count]] = True
    return wanted
