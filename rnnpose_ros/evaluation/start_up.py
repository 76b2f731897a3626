"""How long it takes until the first pose."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

_IMPORT = "import time; t = time.perf_counter(); import rnnpose_ros; print(1000 * (time.perf_counter() - t))"


@dataclass(frozen=True, slots=True)
class StartUp:
    """From nothing to a pose."""

    import_ms: float
    """``import rnnpose_ros`` in a new process."""
    load_s: float
    """From weights on disk to a refiner."""
    first_s: float
    """The first refinement, with what is compiled, uploaded and allocated at first use."""


def measure_start_up(
    load: Callable[[], Refiner],
    frame: ImageFrame,
    hypotheses: Sequence[PoseHypothesis],
    objects: Mapping[str, ObjectModel],
) -> tuple[Refiner, StartUp]:
    """Loads a refiner and refines once.

    Args:
        load: Makes the refiner.
        frame: The picture.
        hypotheses: In it.
        objects: Known.
    """
    answer = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
    started = time.perf_counter()
    refiner = load()
    loaded = time.perf_counter()
    refiner.refine(frame, hypotheses, objects)
    done = time.perf_counter()
    return refiner, StartUp(import_ms=float(answer.stdout), load_s=loaded - started, first_s=done - loaded)
