"""What tracking asks of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult


@runtime_checkable
class Engine(Protocol):
    """Refines; see ``refinement.refiner.Refiner``."""

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
        """One result per hypothesis, in order."""
        ...


@runtime_checkable
class Follower(Protocol):
    """An engine that can go on without its network; see ``refinement.refiner.Refiner``."""

    def follow(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        least_agreement: float,
    ) -> list[RefinementResult | None]:
        """One result per hypothesis, in order; None where the network is needed."""
        ...


@runtime_checkable
class Glancer(Protocol):
    """An engine that compares many poses at little cost; see ``refinement.refiner.Refiner``."""

    def glance(
        self, frame: ImageFrame, hypotheses: Sequence[PoseHypothesis], objects: Mapping[str, ObjectModel]
    ) -> list[RefinementResult]:
        """One result per hypothesis, in order, to be compared with each other only."""
        ...
