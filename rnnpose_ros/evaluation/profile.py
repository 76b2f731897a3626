"""One refinement under the profiler, as a trace for chrome://tracing or Perfetto."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from rnnpose_ros.files import cannot_write, make_folder
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis


def write_chrome_trace(
    path: Path,
    refiner: Refiner,
    frame: ImageFrame,
    hypotheses: Sequence[PoseHypothesis],
    objects: Mapping[str, ObjectModel],
) -> None:
    """Refines once and writes what ran when; stages are named ``rnnpose/<stage>``.

    Raises:
        OutputError: The file cannot be written.
    """
    activities = [ProfilerActivity.CPU]
    if refiner.renderer.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        refiner.refine(frame, hypotheses, objects)
        if refiner.renderer.device.type == "cuda":
            torch.cuda.synchronize()
    make_folder(path.parent)
    try:
        profiler.export_chrome_trace(str(path))
    except OSError as error:
        raise cannot_write(path, error) from None
