"""What a scored run looks like: ``report.html``, ``scores.json``, ``instances.csv`` and a table for the terminal."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rnnpose_ros.evaluation.bop_recall import errors_of_instances
from rnnpose_ros.evaluation.figures import KINDS, Figures, Scores
from rnnpose_ros.evaluation.line_plot import Curve, share_plot
from rnnpose_ros.evaluation.page_parts import definitions, number, page, section, share, table, verdict
from rnnpose_ros.evaluation.prediction_run import Manifest
from rnnpose_ros.evaluation.published_layouts import TableLayout
from rnnpose_ros.files import write_whole

_COLORS = {"initial": "#9aa4b2", "refined": "#12805c"}
_MEASURE_TITLES = {
    "add": ("ADD(-S), diameters", "share of instances below"),
    "projection": ("projection error over all vertices, px", "share of instances below"),
    "visible_projection": ("projection error over the visible surface, px", "share of instances below"),
}
_STAR_NOTE = "* judged by ADD-S. The mean is over the objects of the table, as published."
_AR_NOTE = "BOP19: the mean recall over its thresholds; AR is the mean of the three. VSD needs depth pictures."


def write_score_report(folder: Path, scores: Scores, manifest: Manifest, layout: TableLayout) -> None:
    """Writes the three files.

    Raises:
        OutputError: They cannot be written.
    """
    write_whole(folder / "scores.json", json.dumps(scores_as_json(scores, manifest), indent=2) + "\n")
    write_whole(folder / "instances.csv", _instances_csv(scores))
    write_whole(folder / "report.html", _page(scores, manifest, layout))


def text_table(scores: Scores) -> str:
    """The figures as a few lines, start and refined."""
    lines = [
        f"{scores.refined.instances} instances       ADD(-S)-0.1d  0.05d  0.02d  proj 5px   2px  AR_MSSD AR_MSPD AR_VSD"
    ]
    for kind, f in zip(KINDS, (scores.initial, scores.refined), strict=True):
        shares = [f.add_01d, f.add_005d, f.add_002d, f.projection_5px, f.projection_2px, f.ar_mssd, f.ar_mspd, f.ar_vsd]
        cells = [f"{100 * x:6.1f}" if math.isfinite(x) else "     -" for x in shares]
        lines.append(f"{kind:21}" + "  ".join([" " * 4 + cells[0], *cells[1:]]))
    return "\n".join(lines)


def scores_as_json(scores: Scores, manifest: Manifest) -> dict[str, Any]:
    """All figures for machines; what is not finite becomes null."""
    times = scores.refine_times_s
    content = {
        "configuration": manifest.key,
        "initial": asdict(scores.initial),
        "refined": asdict(scores.refined),
        "by_object": {
            str(number): dict(zip(KINDS, map(asdict, pair), strict=True)) for number, pair in scores.by_object.items()
        },
        "statuses": dict(scores.statuses),
        "refine_time_s": {"median": float(np.median(times)), "p99": float(np.percentile(times, 99))},
    }
    return _finite(content)


def _page(scores: Scores, manifest: Manifest, layout: TableLayout) -> str:
    before, after = scores.initial, scores.refined
    sentence = (
        f"ADD(-S) under a tenth of the diameter: {share(before.add_01d)} at the start, {share(after.add_01d)} refined "
        f"({after.instances} instances)."
    )
    body = [
        verdict(sentence, passed=after.add_01d > before.add_01d),
        section("Figures", _overall(scores)),
        section("BOP average recall", _average_recalls(scores), note=_AR_NOTE),
        section(f"{layout.title}, by object", _by_object(scores, layout), note=_STAR_NOTE),
    ]
    for curve in scores.curves:
        x_title, y_title = _MEASURE_TITLES[curve.measure]
        curves = [Curve(kind, getattr(curve, kind), _COLORS[kind]) for kind in KINDS]
        body.append(
            section(f"Recall: {x_title}", share_plot(curve.thresholds, curves, x_title=x_title, y_title=y_title))
        )
    body.append(section("Time to refine a picture", _times(scores)))
    body.append(section("Made with", definitions(_facts(scores, manifest))))
    return page(f"{Path(manifest.dataset).name} {manifest.split}: refined poses", body)


def _overall(scores: Scores) -> str:
    heads = ["", "instances", "ADD(-S) 0.1 d", "0.05 d", "0.02 d", "px < 5", "px < 2", "visible < 5", "visible < 2"]
    heads += ["5° 5 cm", "2° 2 cm", "median px", "median visible px"]
    rows = []
    for kind, f in zip(KINDS, (scores.initial, scores.refined), strict=True):
        shares = [f.add_01d, f.add_005d, f.add_002d, f.projection_5px, f.projection_2px, f.visible_5px, f.visible_2px]
        shares += [f.within_5deg_5cm, f.within_2deg_2cm]
        medians = (number(f.median_px), number(f.median_visible_px))
        rows.append([kind, str(f.instances), *map(share, shares), *medians])
    return table(heads, rows, strong=(1,))


def _average_recalls(scores: Scores) -> str:
    rows = [
        [kind, number(100 * f.ar_vsd), number(100 * f.ar_mssd), number(100 * f.ar_mspd), number(100 * f.ar)]
        for kind, f in zip(KINDS, (scores.initial, scores.refined), strict=True)
    ]
    seconds = number(float(np.mean(scores.refine_times_s)))
    rows = [[*rows[0], "—"], [*rows[1], seconds]]
    return table(("", "AR_VSD", "AR_MSSD", "AR_MSPD", "AR", "time, s"), rows, strong=(1,))


def _by_object(scores: Scores, layout: TableLayout) -> str:
    """The published order; the mean, over the published objects only; then what else there is."""
    heads = (
        "object",
        "instances",
        "start ADD(-S) 0.1 d",
        "refined",
        "start 2D proj. 5 px",
        "refined",
        "start AR",
        "refined",
    )
    listed = [i for i in layout.names if i in scores.by_object]
    others = [i for i in scores.by_object if i not in layout.names]
    rows = [[layout.name(i), *_cells(*scores.by_object[i])] for i in listed]
    if listed:
        pairs = [scores.by_object[i] for i in listed]
        means = [_mean(pairs, name, side) for name in ("add_01d", "projection_5px", "ar") for side in (0, 1)]
        instances = sum(after.instances for _, after in pairs)
        rows.append(["mean", str(instances), *map(share, means)])
    strong = (len(listed),) if listed else ()
    rows += [[f"{layout.name(i)} (not in the table)", *_cells(*scores.by_object[i])] for i in others]
    return table(heads, rows, strong=strong)


def _cells(before: Figures, after: Figures) -> list[str]:
    shares = (before.add_01d, after.add_01d, before.projection_5px, after.projection_5px, before.ar, after.ar)
    return [str(after.instances), *map(share, shares)]


def _mean(pairs: list[tuple[Figures, Figures]], name: str, side: int) -> float:
    return float(np.mean([getattr(pair[side], name) for pair in pairs]))


def _times(scores: Scores) -> str:
    milliseconds = np.sort(1000.0 * scores.refine_times_s)
    shares = (np.arange(len(milliseconds)) + 1.0) / len(milliseconds)
    plot = share_plot(
        milliseconds, [Curve("refined", shares, _COLORS["refined"])], x_title="ms", y_title="share of pictures below"
    )
    words = f"median {np.median(milliseconds):.0f} ms, 99th percentile {np.percentile(milliseconds, 99):.0f} ms"
    return plot + f'<p class="note">{words}</p>'


def _facts(scores: Scores, manifest: Manifest) -> Mapping[str, str]:
    facts = {"configuration": manifest.key, "dataset": manifest.dataset, "split": manifest.split}
    if manifest.every > 1:
        facts["subset"] = f"every {manifest.every}th picture"
    facts["status"] = ", ".join(f"{name} {count}" for name, count in scores.statuses.items())
    return facts | {k: str(v) for k, v in {**manifest.configuration, **manifest.environment}.items()}


def _instances_csv(scores: Scores) -> str:
    """One line for each wanted instance: its errors at the start and refined, inf where it got no estimate."""
    names = ("add", "projection", "visible_projection", "mssd", "mspd")
    units = ("d", "px", "px", "d", "px640")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{kind}_{name}_{unit}" for kind in KINDS for name, unit in zip(names, units, strict=True)]
    writer.writerow(["scene_id", "im_id", "obj_id", "trial", *columns])
    for target in scores.targets:
        errors = [errors_of_instances([getattr(getattr(target, kind), name)]) for kind in KINDS for name in names]
        for row in np.stack(errors, 1):
            cells = [f"{value:.6g}" for value in row]
            writer.writerow([target.scene_id, target.image_id, target.object_id, target.trial, *cells])
    return text.getvalue()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
