"""An engine without network or renderer, so that everything around the engine can be tried alone."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.refinement.refiner import RefinerConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

FAKE_MODES = ("exact", "slow", "nan", "raise", "oom", "drift")


@dataclass(frozen=True, slots=True)
class FakeEngineConfig:
    """What the fake engine answers."""

    mode: str = param(
        "exact",
        doc="exact and slow give back the start pose, drift moves it along x, nan solves nothing, raise fails, "
        "oom says that there is no memory",
        choices=FAKE_MODES,
        dynamic=True,
    )
    score: float = param(0.9, doc="Score of every answer", bounds=(0.0, 1.0), dynamic=True)
    delay: float = param(0.2, doc="Time that an answer takes in mode slow", unit="s", bounds=(0.0, 10.0), dynamic=True)
    drift: float = param(
        0.001, doc="Movement along x per answer in mode drift", unit="m", bounds=(-1.0, 1.0), dynamic=True
    )


class FakeEngine:
    """Answers every start pose by rule; see :class:`FakeEngineConfig`."""

    def __init__(self, config: FakeEngineConfig | None = None) -> None:
        self.config = config or FakeEngineConfig()
        self._never = threading.Event()

    def with_config(self, config: RefinerConfig) -> FakeEngine:
        """Itself: nothing of a refiner's configuration changes the answers."""
        return self

    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        cycles: int | None = None,
        iterations: int | None = None,
        trace: bool = False,
    ) -> list[RefinementResult]:
        """One answer per start pose, in order.

        Raises:
            RuntimeError: In mode ``raise``.
            torch.OutOfMemoryError: In mode ``oom``.
        """
        mode = self.config.mode
        if mode == "raise":
            raise RuntimeError("the fake engine fails, as it was told to")
        if mode == "oom":
            raise torch.OutOfMemoryError("the fake engine has no memory, as it was told to")
        if mode == "slow":
            self._never.wait(self.config.delay)
        return [self._answer(h, mode) for h in hypotheses]

    def _answer(self, hypothesis: PoseHypothesis, mode: str) -> RefinementResult:
        exact = RefinementResult(
            label=hypothesis.label,
            T_camera_object=hypothesis.T_camera_object.clone(),
            status=RefinementStatus.CONVERGED,
            score=self.config.score,
            residual_px=0.5,
            covariance=torch.diag(torch.tensor([1e-6] * 3 + [1e-5] * 3, dtype=torch.float64)),
        )
        if mode == "nan":
            # What the real engine says of an unsolvable system: the start pose and a status, no NaN pose.
            return dataclasses.replace(
                exact, status=RefinementStatus.SINGULAR, score=0.0, residual_px=float("nan"), covariance=None
            )
        if mode == "drift":
            return dataclasses.replace(exact, T_camera_object=_moved(exact.T_camera_object, self.config.drift))
        return exact


def _moved(T_camera_object: Tensor, x: float) -> Tensor:
    moved = T_camera_object.clone()
    moved[0, 3] += x
    return moved
