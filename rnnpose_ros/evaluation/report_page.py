"""The page of a report: one HTML file that fetches nothing."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from rnnpose_ros.evaluation.line_plot import Curve, log_plot

if TYPE_CHECKING:
    from rnnpose_ros.evaluation.report import DemoRecord, DemoSummary

_STRIP_LENGTH = 12
_PICTURE_WIDTH = 480
_INITIAL_COLOR, _REFINED_COLOR = "#9aa4b2", "#12805c"

_STYLE = """
:root{color-scheme:light;--ink:#1c2430;--soft:#5d6877;--line:#e3e7ec;--good:#12805c;--bad:#b3362b}
*{box-sizing:border-box}body{margin:0;background:#f6f7f9;color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 64px}h1{font-size:28px;line-height:1.2;margin:0 0 12px}
h2{font-size:18px;margin:0 0 12px}section{background:#fff;border:1px solid var(--line);border-radius:10px;padding:20px;
margin-top:20px}.verdict{font-size:18px;padding:12px 16px;border-radius:8px;border-left:5px solid var(--good);
background:#e9f6f0}.verdict.bad{border-color:var(--bad);background:#fbeceb}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:7px 10px;text-align:right;
border-bottom:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}
th{color:var(--soft);font-weight:600;font-size:14px}tr.refined td{font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:16px 0 0}dt{color:var(--soft)}dd{margin:0;
overflow-wrap:anywhere}.strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:12px}
figure{margin:0}img{width:100%;display:block;border-radius:6px;background:#000}
figcaption{font-size:13px;color:var(--soft);padding-top:4px}svg{width:100%;height:auto;display:block}
svg text{font:12px system-ui,sans-serif;fill:#5d6877}svg .legend{fill:#1c2430}svg .grid{stroke:#e3e7ec}
svg .limit{stroke:#b3362b;stroke-dasharray:5 4}p.note{color:var(--soft);margin:8px 0 0;font-size:14px}
"""


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
        f'<h1>{escape(summary.title)}</h1><div class="verdict{"" if summary.passed else " bad"}">'
        f"{escape(summary.verdict)}</div>",
        f"<section><h2>Figures</h2>{_table(summary)}{_facts(summary, facts)}</section>",
        f"<section><h2>Error over time</h2>{plot}</section>",
    ]
    if overlays:
        note = "White: the initial pose. Green: the refined pose. Red: a result marked as doubtful."
        body.append(f'<section><h2>Overlay</h2>{overlays}<p class="note">{note}</p></section>')
    if similarities:
        note = "How alike the render at the refined pose and the picture are, cell by cell."
        body.append(f'<section><h2>Similarity</h2>{similarities}<p class="note">{note}</p></section>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(summary.title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _table(summary: DemoSummary) -> str:
    heads = ("", "frames", "median px", "under 5 px", "under 2 px", "visible px", "median mm", "median °", "ADD 0.1 d")
    rows = []
    for name, s in (("initial", summary.initial), ("refined", summary.refined)):
        cells = [name, str(s.frames), _number(s.median_px), _share(s.share_under_5px), _share(s.share_under_2px)]
        cells += [_number(s.median_visible_px), _number(s.median_mm), _number(s.median_deg)]
        cells.append(_share(s.share_add_under_tenth))
        rows.append(f'<tr class="{name}">' + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>")
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _facts(summary: DemoSummary, facts: Mapping[str, str]) -> str:
    lines = {
        "object": summary.object,
        "frames": f"{summary.frames} shown, {summary.frames_processed} processed, {summary.frames_refined} refined",
        "rate": f"{_number(summary.rate_hz)} refined poses a second",
        "latency": f"{_number(summary.latency_p50_ms)} ms median, {_number(summary.latency_p99_ms)} ms 99th percentile",
        "status": ", ".join(f"{name} {count}" for name, count in summary.statuses.items()) or "—",
        **facts,
    }
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in lines.items()) + "</dl>"


def _strip(
    pictures: Sequence[tuple[DemoRecord, np.ndarray | Path | None]],
    refined_px: np.ndarray,
    records: Sequence[DemoRecord],
) -> str:
    """A dozen pictures, evenly over the frames that have one."""
    error_of_frame = {r.index: e for r, e in zip(records, refined_px, strict=True)}
    there = [(r, p) for r, p in pictures if p is not None]
    if not there:
        return ""
    chosen = sorted(set(np.linspace(0, len(there) - 1, min(_STRIP_LENGTH, len(there))).round().astype(int)))
    figures = []
    for record, picture in (there[i] for i in chosen):
        error = error_of_frame[record.index]
        caption = f"frame {record.index}" + (f" · {error:.1f} px" if math.isfinite(error) else "")
        caption += f" · score {record.score:.2f}" if math.isfinite(record.score) else ""
        figures.append(
            f'<figure><img loading="lazy" alt="{escape(caption)}" src="{_data_address(picture)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return f'<div class="strip">{"".join(figures)}</div>'


def _data_address(picture: np.ndarray | Path) -> str:
    """A picture of modest size as a data address."""
    bgr = cv2.imread(str(picture)) if isinstance(picture, Path) else _as_bgr(picture)
    if bgr is None:
        return ""
    if bgr.shape[1] > _PICTURE_WIDTH:
        size = (_PICTURE_WIDTH, round(bgr.shape[0] * _PICTURE_WIDTH / bgr.shape[1]))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _as_bgr(picture: np.ndarray) -> np.ndarray:
    if picture.ndim == 3:
        return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    values = np.nan_to_num(picture).clip(0.0, 1.0)
    colored = cv2.applyColorMap((255.0 * values).astype(np.uint8), cv2.COLORMAP_TURBO)
    colored[values == 0.0] = 0
    return colored


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) and value < 1e6 else "—"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if math.isfinite(value) else "—"
