"""VSD, the visible surface discrepancy of BOP19: how much of what is seen does not fit, from rendered depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.types import CameraIntrinsics

TAUS = tuple(0.05 + 0.05 * k for k in range(10))
"""Of BOP19, in diameters."""


@dataclass(frozen=True, slots=True, eq=False)
class DepthViews:
    """The depth that a camera measured and that of renders, as distances from the camera's centre (H W, metres)."""

    measured: Float[Tensor, "H W"]
    delta: float
    """How far behind the measured surface a render may lie and still count as visible, metres."""

    def visible_reference(self, reference: Float[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
        """Where the object at its true pose is visible; a missing measurement hides nothing."""
        return ((reference - self.measured <= self.delta) | (self.measured == 0)) & (reference > 0)

    def visible_estimate(
        self, estimate: Float[Tensor, "H W"], visible_reference: Bool[Tensor, "H W"]
    ) -> Bool[Tensor, "H W"]:
        """Where the object at an estimated pose is visible: also wherever the true one is."""
        return self.visible_reference(estimate) | (visible_reference & (estimate > 0))


def distances(depth: Float[Tensor, "H W"], camera: CameraIntrinsics) -> Float[Tensor, "H W"]:
    """Distances from the camera's centre instead of depths along z; 0 stays 0."""
    K = camera.K[0].double()
    v = ((torch.arange(camera.height, dtype=torch.float64) - K[1, 2]) / K[1, 1])[:, None]
    u = ((torch.arange(camera.width, dtype=torch.float64) - K[0, 2]) / K[0, 0])[None]
    return depth.cpu().double() * (u * u + v * v + 1.0).sqrt()


def vsd(
    estimate: Float[Tensor, "H W"],
    reference: Float[Tensor, "H W"],
    views: DepthViews,
    *,
    diameter: float,
    taus: tuple[float, ...] = TAUS,
) -> Float[Tensor, "K"]:
    """The share of the visible surface's pixels that are missed, or wrong by ``tau`` diameters or more.

    Args:
        estimate: Distances of the object drawn at the estimated pose.
        reference: At the true pose.
        views: What was measured.
        diameter: Metres.
        taus: In diameters.

    Returns:
        One error in 0..1 for each tau; 1 where nothing of either is visible.
    """
    seen_reference = views.visible_reference(reference)
    seen_estimate = views.visible_estimate(estimate, seen_reference)
    both, union = seen_reference & seen_estimate, int((seen_reference | seen_estimate).sum())
    if union == 0:
        return torch.ones(len(taus), dtype=torch.float64)
    away = (reference - estimate).abs()[both] / diameter
    wrong = torch.stack([(away >= tau).sum() for tau in taus])
    return (wrong + union - both.sum()).double() / union
