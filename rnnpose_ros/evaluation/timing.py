"""How long a refinement takes, and how much memory."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from rnnpose_ros.errors import InputError
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.stages import STAGES, stage_clock
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult

_WARM_UP_RUNS = 3


@dataclass(frozen=True, slots=True)
class Spread:
    """Of repeated measurements, milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What whole refinements cost."""

    wall: Spread
    cpu: Spread
    """Time of all processors together, which other programs on the machine lengthen less than the wall time."""
    stages: Mapping[str, Spread]
    """Wall time of the parts; what is none of them is the "rest"."""
    runs: int
    peak_rss_mb: float
    """Most memory that the process has had until then, loading included; MB of 2^20 bytes."""


def time_refinement(
    refiner: Refiner,
    frame: ImageFrame,
    hypotheses: Sequence[PoseHypothesis],
    objects: Mapping[str, ObjectModel],
    *,
    runs: int = 20,
) -> Timing:
    """Times whole refinements, after some to warm up; see :func:`time_alternately`."""
    return time_alternately({"": refiner}, frame, hypotheses, objects, runs=runs)[""]


def time_alternately(
    refiners: Mapping[str, Refiner],
    frame: ImageFrame,
    hypotheses: Sequence[PoseHypothesis],
    objects: Mapping[str, ObjectModel],
    *,
    runs: int = 20,
) -> dict[str, Timing]:
    """Times whole refinements, one of each refiner in turn, so that what else the machine does meets all alike.

    Raises:
        InputError: A refinement stops before its last cycle, so that its time would say nothing.
    """
    watches = {name: _Watch() for name in refiners}
    for refiner in refiners.values():
        for _ in range(_WARM_UP_RUNS):
            _check_complete(refiner.refine(frame, hypotheses, objects))
    for _ in range(runs):
        for name, refiner in refiners.items():
            with watches[name].running():
                refiner.refine(frame, hypotheses, objects)
                if refiner.renderer.device.type == "cuda":
                    torch.cuda.synchronize()
    return {name: watch.timing() for name, watch in watches.items()}


class _Watch:
    """Collects the times of one refiner, milliseconds."""

    def __init__(self) -> None:
        self._walls: list[float] = []
        self._cpus: list[float] = []
        self._parts: dict[str, list[float]] = {name: [] for name in (*STAGES, "rest")}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Times what is done inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        with stage_clock() as clock:
            yield
        self._walls.append(1000.0 * (time.perf_counter() - wall))
        self._cpus.append(1000.0 * (time.process_time() - cpu))
        for name, took in {**clock.seconds, "rest": 0.001 * self._walls[-1] - sum(clock.seconds.values())}.items():
            self._parts[name].append(1000.0 * took)

    def timing(self) -> Timing:
        return Timing(
            wall=spread(self._walls),
            cpu=spread(self._cpus),
            stages={name: spread(values) for name, values in self._parts.items()},
            runs=len(self._walls),
            peak_rss_mb=peak_rss_mb(),
        )


def spread(milliseconds: Sequence[float]) -> Spread:
    """Median, 95th and 99th percentile: of few values the largest."""
    ordered = sorted(milliseconds)
    return Spread(*(ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99)))


def peak_rss_mb() -> float:
    """The most memory that this process has had resident."""
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.is_file() else None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def _check_complete(results: Sequence[RefinementResult]) -> None:
    early = [r for r in results if r.measures is None]
    if early:
        raise InputError(
            f"the refinement of {early[0].label!r} stops early ({early[0].status.value}): its time would say nothing; "
            "give weights that keep the object in view"
        )
