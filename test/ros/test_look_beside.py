"""The network looks at what is followed while the next pictures are answered."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnpose_ros.ros.fake_engine import FakeEngine
from rnnpose_ros.ros.loading import Engines
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult

from .conftest import Graph

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333
_SHIFT_M = 0.004


class Looked(FakeEngine):
    """Follows everything where it is; after the first picture its network waits until it is let, and moves things."""

    def __init__(self) -> None:
        super().__init__()
        self.is_let = threading.Event()
        self.looks: list[int] = []
        self.error: Exception | None = None

    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        **options: Any,
    ) -> list[RefinementResult]:
        results = super().refine(frame, hypotheses, objects, **options)
        shift = torch.eye(4, dtype=torch.float64)
        if frame.stamp_ns > T0:
            self.looks.append(frame.stamp_ns)
            assert self.is_let.wait(20.0)
            if self.error is not None:
                raise self.error
            shift[0, 3] = _SHIFT_M
        return [_measured(replace(r, T_camera_object=shift @ r.T_camera_object)) for r in results]

    def follow(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        least_agreement: float,
    ) -> list[RefinementResult | None]:
        return [
            _measured(replace(r, by_network=False))
            for r in super().refine(frame, hypotheses, objects, cycles=1, iterations=1)
        ]


def _measured(result: RefinementResult) -> RefinementResult:
    return replace(result, measures=(0.5, -3.0, -4.0, -4.0, 0.9, 1.0, 1.0, math.nan))


@pytest.fixture
def engine(graph: Graph, cube_mesh: Path) -> Looked:
    refiner = graph.start_refiner(cube_mesh, tracking__network_period=0.05, tracking__rivals=0)
    refiner.pipeline.engines = Engines.of_one(made := Looked())
    graph.send_pose(T0)
    assert len(graph.round_trip(T0).detections) == 1
    return made


def _x(graph: Graph, number: int) -> float:
    (detection,) = graph.round_trip(T0 + number * STEP).detections
    return float(detection.results[0].pose.pose.position.x)


def test_pictures_are_answered_while_the_network_looks_and_what_it_moved_comes_later(
    graph: Graph, engine: Looked
) -> None:
    begun = [_x(graph, number) for number in range(1, 6)]
    assert begun == [begun[0]] * 5
    assert engine.looks == [T0 + 2 * STEP], "one at a time"
    engine.is_let.set()
    number = 6
    while (x := _x(graph, number)) == begun[0]:
        number += 1
        assert number < 60
    assert x == pytest.approx(begun[0] + _SHIFT_M, abs=1e-9)


def test_a_look_that_finds_no_memory_is_counted_and_the_node_goes_on(graph: Graph, engine: Looked) -> None:
    engine.error = torch.OutOfMemoryError("as it was told to")
    engine.is_let.set()
    refused = 0
    for number in range(1, 20):
        graph.send(T0 + number * STEP)
        answered = graph.comes(lambda stamp=T0 + number * STEP: graph.detections_at(stamp), timeout_s=0.5)
        refused += not answered
    assert 1 <= refused < 15
    assert engine.looks


def test_time_may_go_back_while_the_network_looks(graph: Graph, engine: Looked) -> None:
    """What it then finds is of an object that was forgotten."""
    for number in range(1, 4):
        _x(graph, number)
    assert len(engine.looks) == 1
    earlier = T0 - 10 * 10**9
    number = 0
    while not graph.detections_at(earlier + number * STEP):
        number += 1
        assert number < 40
        graph.send(earlier + number * STEP)
        graph.comes(lambda stamp=earlier + number * STEP: graph.detections_at(stamp), timeout_s=0.3)
    engine.is_let.set()
    for later in range(number + 1, number + 6):
        assert not graph.round_trip(earlier + later * STEP).detections
