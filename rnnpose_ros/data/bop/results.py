"""Pose estimates as BOP exchanges them: CSV with ``scene_id,im_id,obj_id,score,R,t,time``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.bop.json_files import pose_from_mm, pose_to_mm
from rnnpose_ros.errors import InputError
from rnnpose_ros.files import write_whole

HEADER = "scene_id,im_id,obj_id,score,R,t,time"
UNKNOWN_TIME = -1.0


@dataclass(frozen=True, slots=True, eq=False)
class BopEstimate:
    """Where a method says an object is."""

    scene_id: int
    image_id: int
    object_id: int
    score: float
    T_camera_object: Float[Tensor, "4 4"]
    """float64, metres."""
    time_s: float = UNKNOWN_TIME
    """That the method took for the whole picture."""


def read_results(path: str | Path) -> tuple[BopEstimate, ...]:
    """The estimates of a result file, in its order. The header may be missing, as in the BOP toolkit.

    Raises:
        InputError: The file is missing, or a line is wrong: with its number and what was expected.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected BOP results: {HEADER}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); expected BOP results: {HEADER}") from None
    numbered = [(i, line) for i, line in enumerate(lines, start=1) if line.strip()]
    if numbered and HEADER in numbered[0][1].replace(" ", ""):
        numbered = numbered[1:]
    return tuple(_parse(line, f"{path}: line {i}") for i, line in numbered)


def write_results(path: str | Path, estimates: Iterable[BopEstimate]) -> None:
    """Writes a result file, whole or not at all; every number with all its digits.

    Raises:
        OutputError: It cannot be written.
    """
    lines = [HEADER]
    for e in estimates:
        R, t = pose_to_mm(e.T_camera_object)
        cells = [e.scene_id, e.image_id, e.object_id, e.score, " ".join(map(str, R)), " ".join(map(str, t)), e.time_s]
        lines.append(",".join(map(str, cells)))
    write_whole(Path(path), "\n".join(lines) + "\n")


def best_of_each(estimates: Sequence[BopEstimate], count: int) -> list[BopEstimate]:
    """The highest scores first, at most so many; among equals the file's order stays."""
    return sorted(estimates, key=lambda e: e.score, reverse=True)[:count]


def _parse(line: str, name: str) -> BopEstimate:
    cells = line.split(",")
    if len(cells) != 7:
        raise InputError(f"{name}: expected 7 values ({HEADER}), got {len(cells)}")
    fields = HEADER.split(",")
    scene_id, image_id, object_id = (_whole(cells[i], fields[i], name) for i in range(3))
    R, t = _vector(cells[4], 9, f"{name}: R"), _vector(cells[5], 3, f"{name}: t")
    score, time_s = _vector(cells[3], 1, f"{name}: score"), _vector(cells[6], 1, f"{name}: time")
    pose = pose_from_mm(R, t, name=f"{name}: R")
    return BopEstimate(scene_id, image_id, object_id, float(score), pose, float(time_s))


def _whole(cell: str, field: str, name: str) -> int:
    if not cell.strip().isdigit():
        raise InputError(f"{name}: {field}: expected a whole number, got {cell.strip()!r}")
    return int(cell)


def _vector(cell: str, count: int, name: str) -> Float[Tensor, "count"]:
    try:
        values = [float(word) for word in cell.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise InputError(f"{name}: expected {count} finite numbers, separated by spaces, got {cell.strip()!r}")
    return torch.tensor(values, dtype=torch.float64)
