"""What a demonstration showed: a page to look at, a table to compute with, a summary for machines.

Call :func:`write_report` with one :class:`DemoRecord` per frame. It measures the initial and the refined poses
against the references, writes ``report.html`` (one file, nothing fetched), ``poses.csv`` and ``summary.json``,
and returns the :class:`DemoSummary` that decides the exit code.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.evaluation.metrics import (
    add,
    median,
    projection_error,
    recall,
    rotation_error,
    translation_error,
)
from rnnpose_ros.evaluation.report_page import render_page
from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix
from rnnpose_ros.objects.symmetry import nearest_symmetric
from rnnpose_ros.types import CameraIntrinsics, ObjectModel


@dataclass(frozen=True, slots=True, eq=False)
class DemoRecord:
    """What is known of one frame. None stands for what nobody sent."""

    index: int
    stamp_ns: int
    T_initial: Float[Tensor, "4 4"] | None = None
    T_refined: Float[Tensor, "4 4"] | None = None
    T_reference: Float[Tensor, "4 4"] | None = None
    status: str = ""
    score: float = math.nan
    processed: bool = True
    """False where the refiner passed this frame over for a newer one: shown, and not judged."""
    latency_ms: float = math.nan
    """From the picture's sending to the pose's arrival."""
    overlay: UInt8[np.ndarray, "H W 3"] | Path | None = None
    """RGB, or a picture file."""
    similarity: Float[np.ndarray, "H W"] | UInt8[np.ndarray, "H W 3"] | None = None
    """0..1 with 0 where there is no object, or already coloured RGB."""
    visible_points: Float[Tensor, "M 3"] | None = None
    """Seen surface at the reference, object frame; see ``metrics.visible_points``."""


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """How wrong the poses of the judged frames are: those that were processed and have a reference.

    A judged frame without a pose is a miss in every share.
    """

    frames: int
    median_px: float
    """Projection error over all vertices."""
    share_under_5px: float
    share_under_2px: float
    median_visible_px: float
    """Over the visible surface; NaN where that is not known."""
    share_visible_under_5px: float
    median_mm: float
    median_deg: float
    share_add_under_tenth: float
    """ADD below a tenth of the diameter."""


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """The figures of a demonstration."""

    passed: bool
    """Refined poses arrived, and they are better than the initial ones."""
    verdict: str
    """One sentence."""
    title: str
    object: str
    frames: int
    frames_processed: int
    """Frames that the refiner did not pass over for newer ones."""
    frames_refined: int
    """Frames with a refined pose."""
    rate_hz: float
    """Refined poses a second."""
    latency_p50_ms: float
    latency_p99_ms: float
    initial: ErrorSummary
    refined: ErrorSummary
    statuses: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class FrameErrors:
    """Errors of one pose per frame, NaN where the pose or the reference is missing."""

    px: Float[np.ndarray, "N"]
    visible_px: Float[np.ndarray, "N"]
    mm: Float[np.ndarray, "N"]
    deg: Float[np.ndarray, "N"]
    add: Float[np.ndarray, "N"]
    """Metres."""


def write_report(
    out_dir: str | Path,
    records: Sequence[DemoRecord],
    *,
    title: str,
    model: ObjectModel,
    camera: CameraIntrinsics,
    rate_hz: float | None = None,
    facts: Mapping[str, str] | None = None,
) -> DemoSummary:
    """Measures and writes ``report.html``, ``poses.csv`` and ``summary.json``.

    Args:
        out_dir: Made when missing.
        records: One per frame, in order.
        title: Of the page.
        model: The object, for its vertices and symmetries.
        camera: Of the full pictures, B = 1.
        rate_hz: Refined poses a second; from the stamps of the refined frames when None.
        facts: Further lines of the page: weights, middleware, machine.

    Returns:
        The figures; ``passed`` says whether the refined poses beat the initial ones.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    initial = measure([r.T_initial for r in records], records, model=model, camera=camera)
    refined = measure([r.T_refined for r in records], records, model=model, camera=camera)
    summary = summarize(records, initial, refined, title=title, model=model, rate_hz=rate_hz)
    write_poses_csv(out_dir / "poses.csv", records, initial=initial, refined=refined)
    write_summary_json(out_dir / "summary.json", summary)
    page = render_page(summary, records, initial_px=initial.px, refined_px=refined.px, facts=facts or {})
    (out_dir / "report.html").write_text(page, encoding="utf-8")
    return summary


def measure(
    poses: Sequence[Tensor | None], records: Sequence[DemoRecord], *, model: ObjectModel, camera: CameraIntrinsics
) -> FrameErrors:
    """Errors of one pose per record against that record's reference (the nearest symmetric one).

    Args:
        poses: One per record, None where there is none.
        records: Give the references.
        model: The object.
        camera: B = 1.
    """
    columns = {name: np.full(len(records), np.nan) for name in ("px", "visible_px", "mm", "deg", "add")}
    vertices, K = model.mesh.vertices.double(), camera.K.double()
    for i, (pose, record) in enumerate(zip(poses, records, strict=True)):
        if pose is None or record.T_reference is None:
            continue
        T = pose.double()[None]
        T_reference = nearest_symmetric(record.T_reference.double()[None], model.symmetries, T)
        columns["px"][i] = projection_error(T, T_reference, points_object=vertices, K=K)
        columns["mm"][i] = 1000.0 * translation_error(T, T_reference, centre_object=model.centre.double())
        columns["deg"][i] = torch.rad2deg(rotation_error(T, T_reference))
        columns["add"][i] = add(T, T_reference, points_object=vertices)
        if record.visible_points is not None and len(record.visible_points):
            seen = record.visible_points.double()
            columns["visible_px"][i] = projection_error(T, T_reference, points_object=seen, K=K)
    return FrameErrors(**columns)


def summarize(
    records: Sequence[DemoRecord],
    initial: FrameErrors,
    refined: FrameErrors,
    *,
    title: str,
    model: ObjectModel,
    rate_hz: float | None = None,
) -> DemoSummary:
    """The figures of measured records. Only processed frames with a reference count in the errors."""
    judged = np.array([r.processed and r.T_reference is not None for r in records], bool)
    with_initial = judged & np.array([r.T_initial is not None for r in records], bool)
    count = sum(r.T_refined is not None for r in records)
    before = _summarize_errors(initial, with_initial, model.diameter)
    after = _summarize_errors(refined, judged, model.diameter)
    better = after.median_px < before.median_px and after.share_under_5px > before.share_under_5px
    latencies = np.array([r.latency_ms for r in records if math.isfinite(r.latency_ms)])
    return DemoSummary(
        passed=bool(count and better),
        verdict=_verdict(count, before, after, passed=better),
        title=title,
        object=model.label,
        frames=len(records),
        frames_processed=sum(r.processed for r in records),
        frames_refined=count,
        rate_hz=_rate_hz(records) if rate_hz is None else rate_hz,
        latency_p50_ms=float(np.percentile(latencies, 50)) if len(latencies) else math.nan,
        latency_p99_ms=float(np.percentile(latencies, 99)) if len(latencies) else math.nan,
        initial=before,
        refined=after,
        statuses=dict(Counter(r.status for r in records if r.status)),
    )


def write_summary_json(path: Path, summary: DemoSummary) -> None:
    """The summary as JSON; what is not finite becomes null."""
    path.write_text(json.dumps(_finite(asdict(summary)), indent=2) + "\n", encoding="utf-8")


def write_poses_csv(path: Path, records: Sequence[DemoRecord], *, initial: FrameErrors, refined: FrameErrors) -> None:
    """One line a frame: stamp, status, score, latency, errors, refined pose (metres, quaternion xyzw)."""
    header = ["index", "stamp_ns", "status", "score", "latency_ms", "initial_px", "refined_px", "refined_visible_px"]
    header += ["refined_mm", "refined_deg", "x", "y", "z", "qx", "qy", "qz", "qw"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for i, record in enumerate(records):
            figures = [record.score, record.latency_ms, initial.px[i], refined.px[i], refined.visible_px[i]]
            figures += [refined.mm[i], refined.deg[i]]
            cells = [f"{x:.4f}" if math.isfinite(x) else "" for x in figures]
            writer.writerow([record.index, record.stamp_ns, record.status, *cells, *_pose_cells(record.T_refined)])


def _pose_cells(T: Tensor | None) -> list[str]:
    if T is None:
        return [""] * 7
    quaternion = quaternion_xyzw_from_matrix(T[:3, :3].double())
    return [f"{x:.9f}" for x in [*T[:3, 3].tolist(), *quaternion.tolist()]]


def _summarize_errors(errors: FrameErrors, judged: np.ndarray, diameter_m: float) -> ErrorSummary:
    px, visible_px, mm, deg, distance = (
        torch.from_numpy(e[judged]) for e in (errors.px, errors.visible_px, errors.mm, errors.deg, errors.add)
    )
    has_visible = bool(torch.isfinite(visible_px).any())
    return ErrorSummary(
        frames=int(judged.sum()),
        median_px=median(px),
        share_under_5px=recall(px, 5.0),
        share_under_2px=recall(px, 2.0),
        median_visible_px=median(visible_px) if has_visible else math.nan,
        share_visible_under_5px=recall(visible_px, 5.0) if has_visible else math.nan,
        median_mm=median(mm),
        median_deg=median(deg),
        share_add_under_tenth=recall(distance, 0.1 * diameter_m),
    )


def _verdict(count: int, before: ErrorSummary, after: ErrorSummary, *, passed: bool) -> str:
    if count == 0:
        return "No refined pose arrived."
    if after.frames == 0:
        return f"{count} refined poses arrived; there is no reference to judge them by."
    change = f"median projection error {before.median_px:.1f} px before, {_figure(after.median_px)} px after"
    return f"{'Refined poses beat' if passed else 'Refined poses do not beat'} the initial ones: {change}."


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 1e6 else "infinite (no pose in most frames)"


def _rate_hz(records: Sequence[DemoRecord]) -> float:
    stamps = [r.stamp_ns for r in records if r.T_refined is not None]
    return (
        1e9 * (len(stamps) - 1) / (stamps[-1] - stamps[0]) if len(stamps) > 1 and stamps[-1] > stamps[0] else math.nan
    )


def _finite(value: object) -> object:
    """The same structure, floats rounded to six digits and None for what JSON cannot say."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) and value < 1e29 else None
    return value
