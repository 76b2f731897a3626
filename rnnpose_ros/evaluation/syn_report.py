"""Benchmark trials as tables for a terminal, as JSON, as CSV and as a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rnnpose_ros.evaluation.line_plot import Curve, share_plot
from rnnpose_ros.evaluation.page_parts import definitions, number, page, section, share, table
from rnnpose_ros.evaluation.syn import SynTrial
from rnnpose_ros.evaluation.syn_scores import Scores, by_angle, by_pictures, grouped_scores
from rnnpose_ros.files import write_whole

_COLORS = ("#12805c", "#2f6fb3", "#b3362b", "#8a5a00", "#6b4fa0")
_HEADS = (
    "", "trials", "start 0.1d", "0.1d", "0.05d", "0.02d", "0.1d true z", "start 5 px", "5 px", "visible 2 px", "MSPD",
    "deg", "mm", "ECE", "AUROC",
)  # fmt: skip
_LEGEND = (
    "ADD(-S) recall at shares of the diameter, of the start poses and refined, and refined if its depth "
    "were right (moved along the ray through the object's centre); share with a projection error under "
    "5 px over all vertices, under 2 px over the visible surface; BOP's average recall of MSPD; median rotation and "
    "translation errors; calibration error of the score, and how well it tells right (0.1d) from wrong."
)


def text_tables(trials: Sequence[SynTrial], *, noise: str) -> str:
    """For a terminal."""
    parts = []
    for pictures, members in by_pictures(trials).items():
        rows = [_cells(s) for s in grouped_scores(members)]
        parts.append(_aligned(f"{pictures} pictures, starts {noise}", _HEADS, rows))
    if len(by_pictures(trials)) > 1:
        parts.append(_aligned("ADD(-S) 0.1d on the same objects, poses and starts", *_comparison(trials)))
    basin = by_angle(trials)
    if basin:
        parts.append(_aligned("path-traced pictures, by start angle", _HEADS, [_cells(s) for s in basin.values()]))
    return "\n\n".join(parts)


def as_json(trials: Sequence[SynTrial], *, facts: Mapping[str, str]) -> dict[str, object]:
    """For machines; what is not finite becomes null."""
    tables = {name: [_plain(s) for s in grouped_scores(members)] for name, members in by_pictures(trials).items()}
    return {"facts": dict(facts), "scores": tables, "basin": [_plain(s) for s in by_angle(trials).values()]}


def write_trials(path: Path, trials: Sequence[SynTrial]) -> None:
    """One line a trial.

    Raises:
        OutputError: It cannot be written.
    """
    rows = [asdict(t) | {"T_camera_object": " ".join(map(str, t.T_camera_object))} for t in trials]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def write_page(path: Path, trials: Sequence[SynTrial], *, noise: str, facts: Mapping[str, str]) -> None:
    """One HTML file with every table and the basin's plot.

    Raises:
        OutputError: It cannot be written.
    """
    body = [section("Configuration", definitions(facts))]
    for pictures, members in by_pictures(trials).items():
        rows = grouped_scores(members)
        content = table(_HEADS, [_cells(s) for s in rows], strong=(len(rows) - 1,))
        body.append(section(f"{pictures} pictures, starts {noise}", content, note=_LEGEND))
    if len(by_pictures(trials)) > 1:
        note = "Recall of ADD(-S) at a tenth of the diameter on the same objects, poses and starts."
        body.append(section("Pictures compared", table(*_comparison(trials)), note=note))
    basin = by_angle(trials)
    if basin:
        content = _basin_plot(trials) + table(_HEADS, [_cells(s) for s in basin.values()])
        body.append(section("Basin of convergence", content))
    write_whole(path, page("Benchmark SYN", body))


def _cells(s: Scores) -> list[str]:
    recalls = (s.start_add_10, s.add_10, s.add_05, s.add_02, s.add_10_at_true_depth)
    in_pixels = (s.start_all_5px, s.all_5px, s.visible_2px, s.mspd)
    figures = (s.median_deg, s.median_mm, s.calibration_error, s.auroc)
    return [s.group, str(s.trials), *map(share, (*recalls, *in_pixels)), *map(number, figures)]


def _aligned(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is names and whose others are figures."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    lines = [title]
    for row in (heads, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)


def _comparison(trials: Sequence[SynTrial]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: recalls on each kind of pictures."""
    columns = {name: {s.group: s for s in grouped_scores(members)} for name, members in by_pictures(trials).items()}
    groups = list(next(iter(columns.values())))
    rows = [[g, *(share(c[g].add_10) if g in c else "—" for c in columns.values())] for g in groups]
    return ["", *columns], rows


def _basin_plot(trials: Sequence[SynTrial]) -> str:
    """Recall at a tenth of the diameter over the start's angle, for each kind and for all."""
    turned = [t for t in trials if not math.isnan(t.asked_deg)]
    groups = {"overall": turned}
    groups |= {kind: [t for t in turned if t.kind == kind] for kind in dict.fromkeys(t.kind for t in turned)}
    angles = sorted({t.asked_deg for t in turned})
    curves = []
    for (name, members), color in zip(groups.items(), _COLORS, strict=False):
        found = by_angle(members)
        curves.append(Curve(name, np.array([found[a].add_10 if a in found else math.nan for a in angles]), color))
    return share_plot(np.array(angles), curves, x_title="start angle, degrees", y_title="ADD(-S) 0.1d")


def _plain(s: Scores) -> dict[str, object]:
    return {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in asdict(s).items()}
