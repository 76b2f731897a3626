"""A new object's result against poses turned otherwise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import pytest
import torch

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.restarts import poses_around
from rnnpose_ros.tracking.programme import refine_starts
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

FRAME = ImageFrame(
    rgb=torch.zeros(4, 4, 3, dtype=torch.uint8), camera=intrinsics(4.0, 4.0, 2.0, 2.0, width=4, height=4)
)


class TurnedEngine:
    """The picture supports a pose as shown, those turned far as much as ``rival``; what it turns back ends as shown."""

    def __init__(self, *, rival: float, score: float = 0.9, turns_back: bool = False, variance: float = 1e-6) -> None:
        self.rival, self.score, self.turns_back = rival, score, turns_back
        self.covariance = variance * torch.eye(6, dtype=torch.float64)
        self.asked: list[tuple[int, int | None]] = []

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
        self.asked.append((len(hypotheses), cycles))
        return [self._answer(h) for h in hypotheses]

    def glance(
        self, frame: ImageFrame, hypotheses: Sequence[PoseHypothesis], objects: Mapping[str, ObjectModel]
    ) -> list[RefinementResult]:
        self.asked.append((len(hypotheses), 0))
        return [self._answer(h) for h in hypotheses]

    def _answer(self, h: PoseHypothesis) -> RefinementResult:
        T = h.T_camera_object
        is_turned = float(rotation_angle(T[:3, :3])) > math.radians(20.0)
        mean_weight = self.rival if is_turned and not self.turns_back else 0.4
        if self.turns_back:
            T = torch.cat([torch.cat([torch.eye(3, dtype=T.dtype), T[:3, 3:]], 1), T[3:]])
        measures = (mean_weight, -3.0, -4.0, -4.0, 0.9, 1.0, 1.0, math.nan)
        return RefinementResult(
            h.label, T, RefinementStatus.CONVERGED, self.score, 0.5, covariance=self.covariance, measures=measures
        )


@pytest.fixture(scope="module")
def box() -> ObjectModel:
    """About its own centre, so that turning does not move it."""
    model = load_object("package://rnnpose_ros/models/objects/demo/tea_box")
    return dataclasses.replace(model, centre=torch.zeros_like(model.centre))


def said(box: ObjectModel) -> PoseHypothesis:
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.5
    return PoseHypothesis(box.label, T, source="detector")


def judged(engine: TurnedEngine, box: ObjectModel, config: TrackingConfig) -> RefinementStatus:
    return refine_starts(engine, FRAME, [said(box)], {box.label: box}, config)[0].status


def test_a_result_that_stands_out_among_turned_poses_is_believed(box: ObjectModel) -> None:
    engine = TurnedEngine(rival=0.29)
    assert judged(engine, box, TrackingConfig(rivals=5)) is RefinementStatus.CONVERGED
    assert engine.asked == [(1, None), (6, 0), (1, 2)]


@pytest.mark.parametrize(("rival", "rival_support"), [(0.31, 0.75), (0.9, 0.75), (0.21, 0.5)])
def test_one_that_does_not_is_ambiguous(box: ObjectModel, rival: float, rival_support: float) -> None:
    config = TrackingConfig(rival_support=rival_support)
    assert judged(TurnedEngine(rival=rival), box, config) is RefinementStatus.AMBIGUOUS


def test_turned_poses_that_lead_to_the_result_speak_for_it(box: ObjectModel) -> None:
    engine = TurnedEngine(rival=0.9, turns_back=True)
    assert judged(engine, box, TrackingConfig()) is RefinementStatus.CONVERGED
    assert len(engine.asked) == 2, "there is no rival to finish"


def test_symmetric_poses_are_no_rivals(box: ObjectModel) -> None:
    turns = poses_around(torch.eye(4, dtype=torch.float64), box, count=9, within_deg=180.0)
    symmetric = dataclasses.replace(box, symmetries=torch.cat([turns, turns[1:].mT]))
    assert judged(TurnedEngine(rival=0.9), symmetric, TrackingConfig()) is RefinementStatus.CONVERGED


def test_nothing_is_compared_where_it_is_switched_off_or_would_not_be_believed(box: ObjectModel) -> None:
    for engine, config in (
        (TurnedEngine(rival=0.9), TrackingConfig(rivals=0)),
        (TurnedEngine(rival=0.9, score=0.5), TrackingConfig()),
    ):
        assert judged(engine, box, config) is RefinementStatus.CONVERGED
        assert engine.asked == [(1, None)]


def test_a_rival_that_looks_hopeless_is_not_finished(box: ObjectModel) -> None:
    engine = TurnedEngine(rival=0.07)
    assert judged(engine, box, TrackingConfig()) is RefinementStatus.CONVERGED
    assert engine.asked == [(1, None), (9, 0)]


def test_an_engine_that_cannot_glance_refines_them_all(box: ObjectModel) -> None:
    class Slow:
        """All that is asked of an engine."""

        def __init__(self, engine: TurnedEngine) -> None:
            self.refine = engine.refine

    engine = TurnedEngine(rival=0.9)
    objects = {box.label: box}
    (found,) = refine_starts(Slow(engine), FRAME, [said(box)], objects, TrackingConfig())
    assert found.status is RefinementStatus.AMBIGUOUS
    assert engine.asked == [(1, None), (9, 1), (1, 2)]


def test_what_is_too_unsure_anyway_is_not_compared(box: ObjectModel) -> None:
    engine = TurnedEngine(rival=0.9, variance=1.0)
    assert judged(engine, box, TrackingConfig()) is RefinementStatus.CONVERGED
    assert engine.asked == [(1, None)]


def test_an_ambiguous_object_is_not_tracked_and_a_tracked_one_is_not_compared(box: ObjectModel) -> None:
    objects = {box.label: box}
    for rival, published in ((0.9, [0, 0]), (0.1, [1, 1])):
        tracker, engine, config = Tracker(objects=objects), TurnedEngine(rival=rival), TrackingConfig()
        shown = []
        for n in range(2):
            starts = tracker.begin_frame(10**9 + n * 10**8, [said(box)])
            shown.append(len(tracker.end_frame(refine_starts(engine, FRAME, starts, objects, config)).tracked))
        assert shown == published
    assert engine.asked == [(1, None), (9, 0), (1, 2), (1, 1)]
