"""The report of a demonstration."""

from __future__ import annotations

import csv
import json
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
import trimesh

from rnnpose_ros.evaluation.line_plot import Curve, log_plot
from rnnpose_ros.evaluation.report import DemoRecord, write_report
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.objects.mesh_io import load_mesh

CAMERA = intrinsics(600.0, 600.0, 320.0, 240.0, width=640, height=480)


@pytest.fixture
def model(tmp_path):
    trimesh.creation.box(extents=(0.1, 0.1, 0.1)).export(tmp_path / "box.ply")
    return object_from_mesh(load_mesh(tmp_path / "box.ply"), label="box <1>")


def pose(x: float) -> torch.Tensor:
    T = torch.eye(4, dtype=torch.float64)
    T[:3, 3] = torch.tensor([x, 0.0, 0.6], dtype=torch.float64)
    return T


def record(index: int, *, initial: float | None = 0.05, refined: float | None = 0.001, **more) -> DemoRecord:
    return DemoRecord(
        index=index,
        stamp_ns=10**18 + index * 50_000_000,
        T_initial=None if initial is None else pose(initial),
        T_refined=None if refined is None else pose(refined),
        T_reference=pose(0.0),
        status="converged",
        score=0.9,
        latency_ms=100.0 + index,
        **more,
    )


def test_figures_are_those_of_the_poses(tmp_path, model):
    summary = write_report(tmp_path / "out", [record(i) for i in range(5)], title="t", model=model, camera=CAMERA)
    assert summary.passed
    assert summary.initial.median_mm == pytest.approx(50.0)
    assert summary.refined.median_mm == pytest.approx(1.0)
    assert summary.refined.median_px == pytest.approx(1.0, abs=0.02)
    assert (summary.initial.share_under_5px, summary.refined.share_under_2px) == (0.0, 1.0)
    assert summary.rate_hz == pytest.approx(20.0)
    assert (summary.latency_p50_ms, summary.statuses) == (102.0, {"converged": 5})


def test_refined_poses_that_are_worse_do_not_pass(tmp_path, model):
    records = [record(i, initial=0.002, refined=0.03) for i in range(3)]
    summary = write_report(tmp_path, records, title="t", model=model, camera=CAMERA)
    assert not summary.passed
    assert "do not beat" in summary.verdict


def test_nothing_refined_does_not_pass(tmp_path, model):
    summary = write_report(tmp_path, [record(0, refined=None)], title="t", model=model, camera=CAMERA)
    assert (summary.passed, summary.verdict) == (False, "No refined pose arrived.")
    assert json.loads((tmp_path / "summary.json").read_text())["refined"]["median_px"] is None


def test_a_frame_without_a_refined_pose_is_a_miss(tmp_path, model):
    records = [record(0), record(1, refined=None), record(2), record(3)]
    summary = write_report(tmp_path, records, title="t", model=model, camera=CAMERA)
    assert summary.refined.share_under_5px == 0.75
    assert summary.frames_refined == 3


def test_a_frame_passed_over_for_a_newer_one_is_no_miss(tmp_path, model):
    records = [record(0), record(1, refined=None, processed=False), record(2)]
    summary = write_report(tmp_path, records, title="t", model=model, camera=CAMERA)
    assert summary.passed
    assert (summary.refined.share_under_5px, summary.refined.frames, summary.initial.frames) == (1.0, 2, 2)
    assert (summary.frames, summary.frames_processed) == (3, 2)


def test_frames_without_reference_are_shown_and_not_judged(tmp_path, model):
    records = [record(0), DemoRecord(index=1, stamp_ns=1, T_refined=pose(9.0))]
    summary = write_report(tmp_path, records, title="t", model=model, camera=CAMERA)
    assert (summary.frames, summary.refined.frames, summary.refined.share_under_5px) == (2, 1, 1.0)


def test_the_error_of_the_visible_surface_stands_beside_that_of_all_vertices(tmp_path, model):
    seen = torch.tensor([[0.0, 0.0, 0.4]], dtype=torch.float64)
    summary = write_report(tmp_path, [record(0, visible_points=seen)], title="t", model=model, camera=CAMERA)
    assert summary.refined.median_visible_px == pytest.approx(0.6)


def test_the_page_holds_its_pictures_and_fetches_nothing(tmp_path, model):
    overlay = np.full((480, 640, 3), 90, np.uint8)
    similarity = np.linspace(0, 1, 480 * 640, dtype=np.float32).reshape(480, 640)
    records = [record(i, overlay=overlay, similarity=similarity) for i in range(30)]
    write_report(tmp_path, records, title="A <demo>", model=model, camera=CAMERA, facts={"weights": "small & good"})
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 24
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "A &lt;demo&gt;" in page
    assert "small &amp; good" in page
    assert "box &lt;1&gt;" in page


def test_the_table_has_a_line_for_every_frame_and_the_pose_in_ros_order(tmp_path, model):
    write_report(tmp_path, [record(0), record(1, refined=None)], title="t", model=model, camera=CAMERA)
    with (tmp_path / "poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["stamp_ns"] for r in rows] == [str(10**18), str(10**18 + 50_000_000)]
    assert [float(rows[0][k]) for k in ("x", "y", "z", "qx", "qy", "qz", "qw")] == [0.001, 0, 0.6, 0, 0, 0, 1]
    assert rows[1]["x"] == rows[1]["refined_px"] == ""


def test_the_summary_is_strict_json(tmp_path, model):
    write_report(tmp_path, [record(0)], title="t", model=model, camera=CAMERA)
    content = json.loads((tmp_path / "summary.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert content["passed"] is True
    assert content["rate_hz"] is None


def test_an_empty_run_still_gives_a_report(tmp_path, model):
    assert not write_report(tmp_path, [], title="t", model=model, camera=CAMERA).passed
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_a_plot_leaves_gaps_and_is_well_formed():
    values = np.array([1.0, 2.0, math.nan, 4.0])
    svg = log_plot(np.arange(4.0), [Curve("a & b", values, "#123")], x_title="s", y_title="px", limit=5.0)
    root = ElementTree.fromstring(svg)
    (path,) = root.findall("path")
    assert path.get("d").count("M") == 2
    assert len(root.findall("circle")) == 3
