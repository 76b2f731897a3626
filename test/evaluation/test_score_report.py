"""Tables in the published layouts, and curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnnpose_ros.evaluation.bop_recall import Pairs
from rnnpose_ros.evaluation.figures import ScoredTarget, Scores, summarize
from rnnpose_ros.evaluation.line_plot import Curve, share_plot
from rnnpose_ros.evaluation.prediction_run import Manifest
from rnnpose_ros.evaluation.published_layouts import LINEMOD, OCCLUSION_LINEMOD, TableLayout
from rnnpose_ros.evaluation.score_report import scores_as_json, write_score_report
from rnnpose_ros.evaluation.target_errors import TargetErrors

MANIFEST = Manifest("/data/lm", "test", "models", "", 1, {"init": "noise"}, {})


def errors(add_d: float, *, with_depth: bool = True) -> TargetErrors:
    """One estimate of one instance, each measure in proportion to its ADD."""

    def one(*values: float) -> Pairs:
        return Pairs(np.ones(1), np.ones(1, bool), np.array(values).reshape(1, 1, -1))

    return TargetErrors(
        add=one(add_d),
        projection=one(20 * add_d),
        visible_projection=one(10 * add_d),
        mssd=one(2 * add_d),
        mspd=one(40 * add_d),
        vsd=one(*[add_d] * 10) if with_depth else None,
        turn_and_shift=one(30 * add_d, 10 * add_d),
    )


def scored(*items: tuple[int, float, float], with_depth: bool = True) -> Scores:
    """Targets of (object, ADD before, ADD after)."""
    targets = [
        ScoredTarget(1, i, number, 0, errors(before, with_depth=with_depth), errors(after, with_depth=with_depth))
        for i, (number, before, after) in enumerate(items)
    ]
    return summarize(targets, refine_times_s=np.array([0.1, 0.3, 0.2]), statuses={"converged": len(items)})


def test_shares_and_average_recalls_follow_from_the_errors() -> None:
    scores = scored((1, 0.3, 0.01), (1, 0.3, 0.08))
    after = scores.refined
    assert (after.add_01d, after.add_005d, after.add_002d) == (1.0, 0.5, 0.5)
    assert (after.projection_5px, after.projection_2px, after.visible_2px) == (1.0, 1.0, 1.0)
    assert (after.within_5deg_5cm, after.within_2deg_2cm) == (1.0, 0.5)
    # MSSD 0.02 d and 0.16 d: below all ten thresholds, and below those from 0.2 d on (7 of 10).
    assert after.ar_mssd == pytest.approx(0.85)
    assert after.ar_mspd == 1.0
    assert after.ar_vsd == pytest.approx((10 + 9) / 20)
    assert after.ar == pytest.approx((after.ar_vsd + after.ar_mssd + after.ar_mspd) / 3)
    assert scores.initial.add_01d == 0.0
    curve = scores.curves[0]
    assert curve.measure == "add"
    assert curve.refined[0] == 0.0
    assert curve.refined[-1] == 1.0
    assert (np.diff(curve.refined) >= 0).all()


def test_without_depth_there_is_no_vsd_and_no_mean_of_the_three() -> None:
    scores = scored((1, 0.3, 0.01), with_depth=False)
    content = scores_as_json(scores, MANIFEST)
    assert content["refined"]["ar_vsd"] is None
    assert content["refined"]["ar"] is None
    assert content["refined"]["ar_mssd"] == 1.0


def rows_of(page: str, section: str) -> list[list[str]]:
    table = page.split(f"<h2>{section}</h2>")[1].split("</tbody>")[0].split("<tbody>")[1]
    return [row.replace("</td>", "").split("<td>")[1:] for row in table.split("</tr>") if "<td>" in row]


def test_linemod_s_table_has_its_names_stars_order_and_mean_over_thirteen_objects(tmp_path: Path) -> None:
    scores = scored((11, 0.3, 0.01), (1, 0.3, 0.5), (3, 0.3, 0.01), (2, 0.3, 0.01), (2, 0.05, 0.3))
    write_score_report(tmp_path, scores, MANIFEST, LINEMOD)
    rows = rows_of((tmp_path / "report.html").read_text(), "LINEMOD, by object")
    assert [row[0] for row in rows] == ["ape", "benchvise", "glue*", "mean", "obj_000003 (not in the table)"]
    assert [row[1] for row in rows] == ["1", "2", "1", "4", "1"]
    refined = [row[3].replace("</tr>", "") for row in rows]
    assert refined[:4] == ["0.0 %", "50.0 %", "100.0 %", "50.0 %"]
    assert [row[2] for row in rows][:4] == ["0.0 %", "50.0 %", "0.0 %", "16.7 %"]


def test_the_published_layouts_have_13_and_8_objects_and_judge_two_by_add_s() -> None:
    assert len(LINEMOD.names) == 13
    assert list(OCCLUSION_LINEMOD.names.values()) == [
        "ape", "can", "cat", "driller", "duck", "eggbox", "glue", "holepuncher",
    ]  # fmt: skip
    assert {LINEMOD.names[i] for i in LINEMOD.symmetric} == {"eggbox", "glue"}
    assert TableLayout("ours", {1: "mug"}).name(7) == "obj_000007"


def test_a_share_plot_runs_from_nothing_to_all() -> None:
    svg = share_plot(np.array([0.0, 1.0]), [Curve("refined", np.array([0.0, 1.0]), "#123456")], x_title="d", y_title="")
    path = svg.split('<path d="')[1].split('"')[0]
    assert path == "M60.0 276.0L944.0 34.0"
    assert "100 %" in svg
