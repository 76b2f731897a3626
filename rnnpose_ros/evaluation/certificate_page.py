"""``certificate.html``: an object's certificate for people, one file that fetches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rnnpose_ros.evaluation.certificate import (
    CURVE_DIAMETERS,
    Certificate,
    RecallRow,
    certificate_as_json,
)
from rnnpose_ros.evaluation.line_plot import Curve, share_plot
from rnnpose_ros.evaluation.page_parts import definitions, number, page, section, share, table, verdict
from rnnpose_ros.evaluation.picture_strip import picture_strip
from rnnpose_ros.files import json_text, write_whole

CERTIFICATE_FILE = "certificate.json"
CERTIFICATE_FILES = (CERTIFICATE_FILE, "certificate.html")

_START_COLOR = "#9aa4b2"
_COLORS = ("#3a6ea5", "#12805c")
_RECALL_NOTE = (
    "Start noise N1: 15 degrees on each Euler axis, 1 cm in x and y, 5 cm in z, in proportion for objects much smaller "
    "or larger than 20 cm. The better network was chosen on these same pictures, by the area under its curve below a "
    "tenth of the diameter."
)
_BASIN_NOTE = "Starts turned by exactly this angle about a random axis, and moved as by N1. Right: under a tenth."
_WORST_NOTE = "White: the start. Green: the refined pose. Red: refined, and marked as doubtful by the refiner itself."
_SCORE_NOTE = (
    "Over all starts, those of the basin included. AUROC: how well the score tells right poses from wrong ones, 1 is "
    "perfect; expected calibration error: how far the score is from the share of right poses."
)


def write_certificate(folder: Path, certificate: Certificate, worst: Sequence[tuple[str, np.ndarray]]) -> None:
    """Writes ``certificate.html``, then ``certificate.json``, whose presence says that onboarding is done.

    Args:
        folder: Of the object.
        certificate: What to say.
        worst: Pictures of the worst cases with captions.

    Raises:
        OutputError: They cannot be written.
    """
    write_whole(folder / "certificate.html", _page(certificate, worst))
    write_whole(folder / CERTIFICATE_FILE, json_text(certificate_as_json(certificate)))


def _page(certificate: Certificate, worst: Sequence[tuple[str, np.ndarray]]) -> str:
    body = [
        verdict(certificate.verdict, passed=certificate.is_certified),
        section(f"Recall on {certificate.views} held-out pictures", _recalls(certificate), note=_RECALL_NOTE),
        section("Recall over ADD(-S), diameters", _error_curves(certificate)),
        section("Basin of convergence", _basin(certificate), note=_BASIN_NOTE),
        section("Worst cases", picture_strip(worst), note=_WORST_NOTE) if worst else "",
        section("Score", _scores(certificate), note=_SCORE_NOTE),
        section("Mesh", _mesh(certificate)),
        section("Made with", definitions(_facts(certificate))),
    ]
    return page(f"Certificate of {certificate.label}", body)


def _recalls(certificate: Certificate) -> str:
    heads = ["", "starts", "ADD(-S) 0.1 d", "0.05 d", "0.02 d", "px < 5", "px < 2", "visible < 5", "visible < 2"]
    heads += ["median °", "median mm"]
    rows = [_cells(certificate.start), *(_cells(result.recall) for result in certificate.results)]
    strong = [1 + i for i, result in enumerate(certificate.results) if result.name == certificate.kept]
    rows[strong[0]][0] += " (kept)"
    return table(heads, rows, strong=strong)


def _cells(row: RecallRow) -> list[str]:
    shares = [row.add_01d, row.add_005d, row.add_002d, row.projection_5px, row.projection_2px]
    shares += [row.visible_5px, row.visible_2px]
    return [row.name, str(row.trials), *map(share, shares), number(row.median_deg), number(row.median_mm)]


def _error_curves(certificate: Certificate) -> str:
    curves = [Curve("start", certificate.start_curve, _START_COLOR)]
    curves += [Curve(r.name, r.curve, color) for r, color in zip(certificate.results, _COLORS, strict=False)]
    return share_plot(CURVE_DIAMETERS, curves, x_title="ADD(-S), diameters", y_title="share of starts below")


def _basin(certificate: Certificate) -> str:
    angles = list(certificate.best.basin)
    curves = [
        Curve(r.name, np.array([r.basin[a] for a in angles]), color)
        for r, color in zip(certificate.results, _COLORS, strict=False)
    ]
    plot = share_plot(
        np.array([float(a) for a in angles]), curves, x_title="start angle, degrees", y_title="share of right poses"
    )
    heads = ["start angle, degrees", *angles]
    return plot + table(heads, [[r.name, *(share(r.basin[a]) for a in angles)] for r in certificate.results])


def _scores(certificate: Certificate) -> str:
    rows = [[r.name, number(r.auroc), number(r.calibration_error)] for r in certificate.results]
    return table(("", "AUROC", "expected calibration error"), rows)


def _mesh(certificate: Certificate) -> str:
    return definitions({"symmetries": certificate.symmetries}) + table(
        ("found",), [[text] for text in certificate.findings]
    )


def _facts(certificate: Certificate) -> Mapping[str, str]:
    timing = certificate.timing
    took = "—"
    if timing is not None:
        took = f"{timing.wall.p50_ms:.0f} ms median, {timing.wall.p95_ms:.0f} ms 95th percentile, of {timing.runs}"
    return {"pictures": certificate.painter, "one refinement": took, **certificate.facts}
