"""Acceptance A5b, A7, A8: what happens to images on their way, to a slow engine, and when an object is lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rnnpose_ros.ros.fake_engine import FakeEngine
from rnnpose_ros.ros.reasons import reason_lost
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

from .conftest import Graph

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333
_SENDER = Path(__file__).with_name("image_sender.py")


def _send_from_another_process(graph: Graph, reliability: str, *numbers: int) -> None:
    """Width, height, rate, count; returns when everything was sent and, where it is reliable, acknowledged."""
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(graph.context.get_domain_id()),
        "PYTHONPATH": str(_SENDER.parents[2]),
    }
    process = subprocess.Popen(
        [sys.executable, str(_SENDER), reliability, *map(str, numbers)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "sending\n"
        assert process.stdout.readline() == f"sent {numbers[3]}\n"
    finally:
        process.kill()
        process.wait(10.0)


@pytest.mark.parametrize(
    ("width", "height", "rate", "number"),
    [(320, 240, 15, 30), pytest.param(1280, 720, 30, 300, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("reliability", ["RELIABLE", "BEST_EFFORT"])
def test_a5b_transport(
    graph: Graph, cube_mesh: Path, reliability: str, width: int, height: int, rate: int, number: int
) -> None:
    """From a reliable camera 95 % arrive; of any other, what is missing is reported in the diagnostics, exactly."""
    from diagnostic_msgs.msg import DiagnosticArray

    accounts = graph.listen(DiagnosticArray, "/diagnostics")
    refiner = graph.start_refiner(cube_mesh, sync__queue=1)
    _send_from_another_process(graph, reliability, width, height, rate, number)
    counts = lambda: refiner.pipeline.pairing.counts  # noqa: E731
    graph.wait_for(lambda: counts().infos == number, "every info, which is small and sent reliably")
    if reliability == "RELIABLE":
        graph.wait_for(lambda: counts().images >= 0.95 * number, "95 % of the images")
    value = lambda key: next(  # noqa: E731
        (v.value for m in reversed(accounts) for s in m.status for v in s.values if v.key == key), ""
    )
    # One info may still wait for its image: the queue holds one.
    graph.wait_for(
        lambda: (
            value("camera_infos") == str(number)
            and int(value("images_missing").split()[0]) in (number - counts().images, number - counts().images - 1)
        ),
        "the account of what is missing",
    )


class Load:
    """Sends an image every 1/rate s from a thread, and notes how far the camera is when an answer comes."""

    def __init__(self, graph: Graph, *, rate: float) -> None:
        self._graph = graph
        self._period_s = 1.0 / rate
        self.sent = 0

    def run(self, seconds: float) -> list[int]:
        """How many images old each answer was when it came."""
        graph = self._graph
        ages: list[int] = []
        known = len(graph.detections)
        stop = threading.Event()

        def note() -> None:
            nonlocal known
            while not stop.is_set():
                with graph.changed:
                    graph.changed.wait(0.1)
                    new, known = graph.detections[known:], len(graph.detections)
                    ages.extend(
                        self.sent - (m.header.stamp.sec * 10**9 + m.header.stamp.nanosec - T0) // STEP for m in new
                    )

        listener = threading.Thread(target=note)
        listener.start()
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            if self.sent * self._period_s <= elapsed:
                graph.send(T0 + self.sent * STEP)
                self.sent += 1
            else:
                stop.wait(self.sent * self._period_s - elapsed)
        stop.set()
        listener.join(5.0)
        return ages


@pytest.mark.parametrize("seconds", [4.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a7_back_pressure(graph: Graph, cube_mesh: Path, seconds: float) -> None:
    """30 Hz of images, 200 ms an answer: the newest are taken, none waits longer, every other one is counted."""
    refiner = graph.start_refiner(cube_mesh, fake__mode="slow", fake__delay=0.2)
    graph.send_pose(T0)
    load = Load(graph, rate=30.0)
    ages = load.run(seconds / 4)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ages += load.run(3 * seconds / 4)
    graph.wait_for(lambda: refiner.mailbox_counts.offered == load.sent, "every pair to be offered")
    graph.wait_for(lambda: len(graph.detections) == refiner.mailbox_counts.taken, "the last answer")
    counts = refiner.mailbox_counts
    assert counts.offered == load.sent == counts.taken + counts.dropped
    assert counts.dropped > counts.taken, "most are dropped"
    two_periods = 2 * 0.2 * 30
    third = len(ages) // 3
    assert sorted(ages)[len(ages) // 2] <= two_periods
    assert sum(ages[-third:]) / third <= sum(ages[:third]) / third + 3, "it does not grow"
    # The highest mark so far, of the whole test process with the messages that it keeps.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10_000 + 2 * load.sent


TROUBLES: dict[str, dict[str, Any]] = {
    "object leaves the view": {"status": RefinementStatus.OUT_OF_VIEW, "score": 0.0},
    "occluded": {"status": RefinementStatus.TOO_FEW_CORRESPONDENCES, "score": 0.0},
    "wrong mesh": {"status": RefinementStatus.CONVERGED, "score": 0.1},
    "NaN in the solver": {"status": RefinementStatus.SINGULAR, "score": 0.0, "residual_px": float("nan")},
}


class Troubled(FakeEngine):
    """An exact engine, until it is told that something has gone wrong with what it sees."""

    trouble: str | None = None

    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        **options: Any,
    ) -> list[RefinementResult]:
        results = super().refine(frame, hypotheses, objects, **options)
        if self.trouble is None:
            return results
        return [replace(result, covariance=None, **TROUBLES[self.trouble]) for result in results]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a8_lost(graph: Graph, cube_mesh: Path, trouble: str) -> None:
    """TF stops, the array is empty, diagnostics warn; with the next pose from outside it is found again."""
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

    accounts = graph.listen(DiagnosticArray, "/diagnostics")
    refiner = graph.start_refiner(cube_mesh)
    refiner.pipeline.engine = engine = Troubled()
    graph.send_pose(T0)
    stamps = [T0 + i * STEP for i in range(20)]
    for stamp in stamps[:5]:
        assert len(graph.round_trip(stamp).detections) == 1
    graph.wait_for(lambda: graph.transforms_at(stamps[4]), "its transform")
    engine.trouble = trouble
    arrays = [graph.round_trip(stamp) for stamp in stamps[5:12]]
    assert all(not array.detections for array in arrays[2:]), "within three pictures"
    reason = reason_lost(TROUBLES[trouble]["status"]).value

    def warns() -> bool:
        for account in accounts:
            objects = next(s for s in account.status if s.name.endswith("objects"))
            reasons = {value.key for status in account.status for value in status.values}
            if objects.level == DiagnosticStatus.WARN and reason in reasons:
                return True
        return False

    graph.wait_for(warns, "the warning with its reason")
    engine.trouble = None
    assert graph.round_trip(stamps[14]).detections == [], "nothing may bring it back by itself"
    graph.send_pose(stamps[15])
    (again,) = graph.round_trip(stamps[15]).detections
    assert again.id == "cube_0", "the same object, the same name"
    graph.wait_for(lambda: graph.transforms_at(stamps[15]), "its transform")
    told = {t.header.stamp.sec * 10**9 + t.header.stamp.nanosec for m in graph.transforms for t in m.transforms}
    assert told == {*stamps[:5], stamps[15]}, "no transform has a stamp other than that of an image that shows it"
