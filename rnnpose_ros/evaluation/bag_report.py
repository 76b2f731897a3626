"""What a recording showed: a page to look at, a table to compute with, a summary for machines.

A recording has no reference poses, so nothing is called right or wrong here: the report says where objects were found,
how sure the refiner was, and why nothing came out where nothing did.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from rnnpose_ros.evaluation.line_plot import Curve, log_plot
from rnnpose_ros.evaluation.page_parts import definitions, number, page, section, table, verdict
from rnnpose_ros.evaluation.picture_strip import picture_strip
from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix
from rnnpose_ros.tracking.track import FrameOutcome, TrackedObject

_COLORS = ("#12805c", "#2f6fb3", "#b3622b", "#7a4fb3", "#9aa4b2")
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class PictureRecord:
    """One picture that was refined."""

    stamp_ns: int
    frame_id: str
    outcome: FrameOutcome
    engine_ms: float
    overlay: UInt8[np.ndarray, "H W 3"] | None = None
    """RGB, of a few pictures."""


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """What came out about one object."""

    label: str
    poses: int
    """Pictures in which it was published."""
    first_s: float
    """Since the first picture."""
    last_s: float
    median_score: float
    median_std_mm: float
    """Of its position: root of the covariance's trace; NaN where that is unknown."""


@dataclass(frozen=True, slots=True)
class BagSummary:
    """The figures of a recording."""

    recording: str
    verdict: str
    pictures: int
    """Refined pictures."""
    pictures_with_poses: int
    poses: int
    recording_s: float
    """From the first to the last picture."""
    run_s: float
    """What working through them took."""
    speed: float
    """Recorded seconds per second of working."""
    engine_ms_p50: float
    engine_ms_p95: float
    objects: Mapping[str, ObjectSummary]
    """By class and number, as their frames are called."""
    reasons: Mapping[str, int]
    """Why something was left out or not published, with how often."""
    topics: Mapping[str, str]
    """What was read, by role."""


def write_bag_report(
    out_dir: Path,
    records: Sequence[PictureRecord],
    *,
    recording: str,
    run_s: float,
    reasons: Mapping[str, int],
    topics: Mapping[str, str],
    facts: Mapping[str, str],
) -> BagSummary:
    """Write ``report.html``, ``poses.csv`` and ``summary.json``.

    Args:
        out_dir: There.
        records: In order.
        recording: Its name.
        run_s: Seconds that it took.
        reasons: Counts by reason code.
        topics: What was read, by role.
        facts: Further lines for the page.
    """
    summary = summarize(records, recording=recording, run_s=run_s, reasons=reasons, topics=topics)
    _write_poses_csv(out_dir / "poses.csv", records)
    (out_dir / "summary.json").write_text(json.dumps(_finite(asdict(summary)), indent=2) + "\n", encoding="utf-8")
    (out_dir / "report.html").write_text(_page(summary, records, facts), encoding="utf-8")
    return summary


def summarize(
    records: Sequence[PictureRecord],
    *,
    recording: str,
    run_s: float,
    reasons: Mapping[str, int],
    topics: Mapping[str, str],
) -> BagSummary:
    """The figures of these pictures; see :func:`write_bag_report`."""
    stamps = [r.stamp_ns for r in records]
    span_s = (max(stamps) - min(stamps)) / _NS_PER_S if stamps else 0.0
    engine_ms = [r.engine_ms for r in records]
    p50, p95 = np.percentile(engine_ms, (50, 95)).tolist() if engine_ms else (math.nan, math.nan)
    poses = sum(len(r.outcome.tracked) for r in records)
    shown = sum(bool(r.outcome.tracked) for r in records)
    return BagSummary(
        recording=recording,
        verdict=_verdict(len(records), shown, poses, reasons),
        pictures=len(records),
        pictures_with_poses=shown,
        poses=poses,
        recording_s=span_s,
        run_s=run_s,
        speed=span_s / run_s if run_s > 0 else math.nan,
        engine_ms_p50=p50,
        engine_ms_p95=p95,
        objects={name: _object_summary(name, records) for name in _instances(records)},
        reasons=dict(reasons),
        topics=dict(topics),
    )


def _verdict(pictures: int, shown: int, poses: int, reasons: Mapping[str, int]) -> str:
    if poses:
        return f"{poses} poses in {shown} of {pictures} pictures."
    why = max(reasons, key=lambda name: reasons[name], default="")
    return f"No pose came out of {pictures} pictures" + (f"; the most frequent reason is {why}." if why else ".")


def _instances(records: Sequence[PictureRecord]) -> list[str]:
    return list(dict.fromkeys(_name(item) for r in records for item in r.outcome.tracked))


def _name(item: TrackedObject) -> str:
    return f"{item.label}_{item.number}"


def _item(record: PictureRecord, instance: str) -> TrackedObject | None:
    return next((item for item in record.outcome.tracked if _name(item) == instance), None)


def _object_summary(instance: str, records: Sequence[PictureRecord]) -> ObjectSummary:
    there = [(r, item) for r in records if (item := _item(r, instance)) is not None]
    seconds = [(r.stamp_ns - records[0].stamp_ns) / _NS_PER_S for r, _ in there]
    deviations = [value for _, item in there if math.isfinite(value := _std_mm(item))]
    return ObjectSummary(
        label=there[0][1].label,
        poses=len(there),
        first_s=seconds[0],
        last_s=seconds[-1],
        median_score=float(np.median([item.result.score for _, item in there])),
        median_std_mm=float(np.median(deviations)) if deviations else math.nan,
    )


def _std_mm(item: TrackedObject) -> float:
    covariance = item.result.covariance
    return math.nan if covariance is None else 1000.0 * math.sqrt(float(covariance[:3, :3].diagonal().sum()))


def _write_poses_csv(path: Path, records: Sequence[PictureRecord]) -> None:
    """One line per published pose: metres, quaternion xyzw, camera frame."""
    header = ["stamp_ns", "frame_id", "label", "id", "number", "status", "score", "residual_px", "std_mm"]
    header += ["x", "y", "z", "qx", "qy", "qz", "qw", "engine_ms"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for record in records:
            for item in record.outcome.tracked:
                result, T = item.result, item.result.T_camera_object.double()
                pose = [*T[:3, 3].tolist(), *quaternion_xyzw_from_matrix(T[:3, :3]).tolist()]
                cells = [record.stamp_ns, record.frame_id, item.label, item.instance_id, item.number]
                figures = [result.score, result.residual_px, _std_mm(item)]
                writer.writerow(
                    [*cells, result.status.value, *(f"{x:.4f}" if math.isfinite(x) else "" for x in figures)]
                    + [f"{x:.9f}" for x in pose]
                    + [f"{record.engine_ms:.1f}"]
                )


def _page(summary: BagSummary, records: Sequence[PictureRecord], facts: Mapping[str, str]) -> str:
    lines = {
        "pictures": f"{summary.pictures} refined, {summary.pictures_with_poses} with poses",
        "time": f"{summary.recording_s:.1f} s recorded, worked through in {summary.run_s:.1f} s "
        f"({number(summary.speed)} x real time)",
        "per picture": f"{number(summary.engine_ms_p50)} ms median, {number(summary.engine_ms_p95)} ms 95th percent",
        **{f"topic: {role}": name for role, name in summary.topics.items()},
        **facts,
    }
    body = [
        verdict(summary.verdict, passed=summary.poses > 0),
        section("Figures", _object_table(summary) + definitions(lines)),
    ]
    if summary.reasons:
        rows = [(name, str(count)) for name, count in sorted(summary.reasons.items(), key=lambda item: -item[1])]
        body.append(section("What was left out or not published", table(("reason", "times"), rows)))
    if summary.objects:
        note = "Gaps: the object was not published. Standard deviation of the position by the covariance of each pose."
        body.append(section("How sure it is", _plot(summary, records), note=note))
    strip = picture_strip([(_caption(r, records[0]), r.overlay) for r in records if r.overlay is not None])
    if strip:
        body.append(section("Overlay", strip, note="White: the start pose. Green: the published pose."))
    return page(f"Object poses in {summary.recording}", body)


def _object_table(summary: BagSummary) -> str:
    heads = ("object", "poses", "first, s", "last, s", "median score", "median std, mm")
    rows = [
        (name, str(o.poses), *map(number, (o.first_s, o.last_s, o.median_score, o.median_std_mm)))
        for name, o in summary.objects.items()
    ]
    return table(heads, rows) if rows else ""


def _plot(summary: BagSummary, records: Sequence[PictureRecord]) -> str:
    start_ns = records[0].stamp_ns
    seconds = np.array([(r.stamp_ns - start_ns) / _NS_PER_S for r in records])
    shown = sorted(summary.objects, key=lambda name: -summary.objects[name].poses)[: len(_COLORS)]
    curves = [Curve(name, _deviations(records, name), _COLORS[i]) for i, name in enumerate(shown)]
    return log_plot(seconds, curves, x_title="time, s", y_title="standard deviation of the position, mm")


def _deviations(records: Sequence[PictureRecord], instance: str) -> Float[np.ndarray, "N"]:
    items = [_item(r, instance) for r in records]
    return np.array([math.nan if item is None else _std_mm(item) for item in items])


def _caption(record: PictureRecord, first: PictureRecord) -> str:
    scores = ", ".join(f"{_name(item)} {item.result.score:.2f}" for item in record.outcome.tracked)
    return f"{(record.stamp_ns - first.stamp_ns) / _NS_PER_S:.2f} s · {scores or 'nothing published'}"


def _finite(value: object) -> object:
    """The same structure, floats rounded to six digits and None for what JSON cannot say."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
