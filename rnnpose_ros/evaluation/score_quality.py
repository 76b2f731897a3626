"""How good a score is: does it say how likely a result is right, and does it tell right from wrong?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.se3 import pose_difference

RIGHT_DIAMETERS = 0.1
"""A pose is right whose ADD(-S), to the nearest symmetric truth, is under a tenth of the diameter."""
CHI2_6_95 = 12.591587
"""95 % of six Gaussian coordinates have a normalised squared error under this."""


def expected_calibration_error(scores: np.ndarray, right: np.ndarray, *, bins: int = 10) -> float:
    """Mean gap between score and share of right cases, over equally filled bins."""
    order = np.argsort(scores, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    return float(sum(len(p) * abs(scores[p].mean() - right[p].mean()) for p in parts) / max(len(order), 1))


def auroc(scores: np.ndarray, right: np.ndarray) -> float:
    """Probability that a right case scores above a wrong one; ties count half."""
    good, bad = scores[right.astype(bool)], scores[~right.astype(bool)]
    if len(good) == 0 or len(bad) == 0:
        return float("nan")
    return float((good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean())


def mahalanobis_squared(
    T_camera_object: Float[Tensor, "4 4"],
    T_camera_object_true: Float[Tensor, "4 4"],
    covariance: Float[Tensor, "6 6"],
) -> float:
    """Squared distance of a pose from the truth in units of its covariance (x y z rotX rotY rotZ, camera's axes)."""
    error = pose_difference(T_camera_object_true, T_camera_object).double()
    return float(error @ torch.linalg.lstsq(covariance.double(), error[:, None], driver="gelsd").solution[:, 0])
