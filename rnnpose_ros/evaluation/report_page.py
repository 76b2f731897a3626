"""The page of a report: one HTML file that fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnpose_ros.evaluation.line_plot import Curve, log_plot
from rnnpose_ros.evaluation.page_parts import definitions, number, page, section, share, table, verdict
from rnnpose_ros.evaluation.picture_strip import picture_strip

if TYPE_CHECKING:
    from rnnpose_ros.evaluation.report import DemoRecord, DemoSummary

_INITIAL_COLOR, _REFINED_COLOR = "#9aa4b2", "#12805c"


def render_page(
    summary: DemoSummary,
    records: Sequence[DemoRecord],
    *,
    initial_px: np.ndarray,
    refined_px: np.ndarray,
    facts: Mapping[str, str],
) -> str:
    """The whole page.

    Args:
        summary: Its figures.
        records: In order; their pictures fill the strips.
        initial_px: Projection error of each record's initial pose, NaN where unknown.
        refined_px: The same of its refined pose.
        facts: Further lines under the table.
    """
    start_ns = records[0].stamp_ns if records else 0
    seconds = np.array([(r.stamp_ns - start_ns) * 1e-9 for r in records])
    curves = [Curve("initial", initial_px, _INITIAL_COLOR), Curve("refined", refined_px, _REFINED_COLOR)]
    plot = log_plot(seconds, curves, x_title="time, s", y_title="projection error over all vertices, px", limit=5.0)
    overlays = _strip([(r, r.overlay) for r in records], refined_px, records)
    similarities = _strip([(r, r.similarity) for r in records], refined_px, records)
    body = [
        verdict(summary.verdict, passed=summary.passed),
        section("Figures", _table(summary) + _facts(summary, facts)),
        section("Error over time", plot),
    ]
    if overlays:
        note = "White: the initial pose. Green: the refined pose. Red: a result marked as doubtful."
        body.append(section("Overlay", overlays, note=note))
    if similarities:
        note = "How alike the render at the refined pose and the picture are, cell by cell."
        body.append(section("Similarity", similarities, note=note))
    return page(summary.title, body)


def _table(summary: DemoSummary) -> str:
    heads = ("", "frames", "median px", "under 5 px", "under 2 px", "visible px", "median mm", "median °", "ADD 0.1 d")
    rows = []
    for name, s in (("initial", summary.initial), ("refined", summary.refined)):
        cells = [name, str(s.frames), number(s.median_px), share(s.share_under_5px), share(s.share_under_2px)]
        cells += [number(s.median_visible_px), number(s.median_mm), number(s.median_deg)]
        rows.append([*cells, share(s.share_add_under_tenth)])
    return table(heads, rows, strong=(1,))


def _facts(summary: DemoSummary, facts: Mapping[str, str]) -> str:
    lines = {
        "object": summary.object,
        "frames": f"{summary.frames} shown, {summary.frames_processed} processed, {summary.frames_refined} refined",
        "rate": f"{number(summary.rate_hz)} refined poses a second",
        "latency": f"{number(summary.latency_p50_ms)} ms median, {number(summary.latency_p99_ms)} ms 99th percentile",
        "status": ", ".join(f"{name} {count}" for name, count in summary.statuses.items()) or "—",
        **facts,
    }
    return definitions(lines)


def _strip(
    pictures: Sequence[tuple[DemoRecord, np.ndarray | Path | None]],
    refined_px: np.ndarray,
    records: Sequence[DemoRecord],
) -> str:
    """A dozen pictures, evenly over the frames that have one."""
    error_of_frame = {r.index: e for r, e in zip(records, refined_px, strict=True)}
    captioned = []
    for record, picture in pictures:
        if picture is None:
            continue
        error = error_of_frame[record.index]
        caption = f"frame {record.index}" + (f" · {error:.1f} px" if math.isfinite(error) else "")
        caption += f" · score {record.score:.2f}" if math.isfinite(record.score) else ""
        captioned.append((caption, picture))
    return picture_strip(captioned)
