"""Pictures played through a tracker, without pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.objects.symmetry import expand_symmetries, symmetry_axes
from rnnpose_ros.tracking.track import FrameOutcome
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import InitialPoseConfig, TrackingConfig
from rnnpose_ros.types import Mesh, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

FRAME_NS = 33_000_000


def pose(x: float = 0.0, *, turn_z: float = 0.0, z: float = 0.5) -> Tensor:
    """A pose turned about the object's z axis."""
    T = torch.eye(4, dtype=torch.float64)
    T[0, 3], T[2, 3] = x, z
    c, s = math.cos(turn_z), math.sin(turn_z)
    T[:2, :2] = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return T


def detected(
    x: float = 0.0, *, name: str = "", label: str = "cube", score: float = 1.0, turn_z: float = 0.0
) -> PoseHypothesis:
    """A pose from outside."""
    return PoseHypothesis(label, pose(x, turn_z=turn_z), score=score, source="detector", instance_id=name)


def box(label: str = "cube", **symmetries: Any) -> ObjectModel:
    """A box of 10 cm with symmetries in BOP's terms."""
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    mesh = Mesh(0.05 * corners, torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.ones(2, 3, 3))
    model = object_from_mesh(mesh, label=label, symmetries=expand_symmetries(**symmetries))
    return dataclasses.replace(model, symmetry_axes=symmetry_axes(symmetries.get("continuous", ())))


class Run:
    """Plays pictures through a tracker.

    A result is its start moved by ``answer``; its score is what ``score`` says of the result's pose.
    """

    def __init__(
        self,
        tracking: TrackingConfig | None = None,
        initial_pose: InitialPoseConfig | None = None,
        *,
        objects: Mapping[str, ObjectModel] | None = None,
        score: Callable[[Tensor], float] = lambda T: 0.9,
        answer: Callable[[Tensor], Tensor] = lambda T: T,
    ) -> None:
        self.tracker = Tracker(tracking, initial_pose, objects=objects)
        self.stamp_ns = 10**9
        self.starts: list[PoseHypothesis] = []
        self.score = score
        self.answer = answer

    def frame(self, *hypotheses: PoseHypothesis, after_ns: int = FRAME_NS) -> FrameOutcome:
        """One picture."""
        self.stamp_ns += after_ns
        self.starts = self.tracker.begin_frame(self.stamp_ns, hypotheses)
        poses = [self.answer(start.T_camera_object) for start in self.starts]
        return self.tracker.end_frame(
            [
                RefinementResult(start.label, T, RefinementStatus.CONVERGED, float(self.score(T)), 0.5)
                for start, T in zip(self.starts, poses, strict=True)
            ]
        )

    @property
    def sources(self) -> list[str]:
        """Who proposed the starts of the last picture."""
        return [start.source for start in self.starts]


def places(outcome: FrameOutcome) -> dict[str, float]:
    """x of every published object, by its name."""
    return {item.instance_id: pytest.approx(float(item.result.T_camera_object[0, 3])) for item in outcome.tracked}
