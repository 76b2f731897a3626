"""An object's figures, its certificate, and the refusal of one."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnpose_ros.evaluation.certificate import (
    Certificate,
    error_curve,
    network_result,
    recall_row,
    wilson_interval,
)
from rnnpose_ros.evaluation.certificate_page import write_certificate
from rnnpose_ros.evaluation.object_trials import BASIN_DEG, ObjectTrial, TrialPlan, precision
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.types import ObjectModel

ROOT = Path(__file__).resolve().parents[2]
EYE = tuple(torch.eye(4).reshape(-1).tolist())


def trial(add: float, *, asked: float = -1.0, score: float = 0.9, view: int = 0) -> ObjectTrial:
    """One start from noise (or at an angle) that ends at an ADD in diameters; its other errors follow from that."""
    return ObjectTrial(
        view=view,
        asked_deg=asked,
        initial_add=0.3,
        add=add,
        initial_px=30.0,
        refined_px=20 * add,
        initial_visible_px=25.0,
        refined_visible_px=10 * add,
        initial_deg=20.0,
        rotation_deg=30 * add,
        initial_mm=40.0,
        translation_mm=100 * add,
        status="converged",
        score=score,
        T_start=EYE,
        T_refined=EYE,
    )


def made(adds: dict[str, list[float]], *, bar: float, kept: str) -> Certificate:
    trials = {name: [*map(trial, own), trial(0.5, asked=90.0, score=0.1)] for name, own in adds.items()}
    noisy = [t for t in trials[kept] if t.is_from_noise]
    return Certificate(
        label="mug",
        bar=bar,
        kept=kept,
        start=recall_row("start", noisy, refined=False),
        start_curve=error_curve(noisy, refined=False),
        results=tuple(network_result(name, own) for name, own in trials.items()),
        views=3,
        painter="ray-cast",
        timing=None,
        findings=("watertight",),
        symmetries="none",
        facts={"budget": "120 s"},
        order={"mesh": "abc"},
    )


def test_shares_and_medians_count_the_starts_from_noise() -> None:
    row = network_result("x", [*map(trial, (0.01, 0.03, 0.08, math.nan)), trial(0.0, asked=15.0)]).recall
    assert (row.trials, row.add_01d, row.add_005d, row.add_002d) == (4, 0.75, 0.5, 0.25)
    assert (row.projection_2px, row.visible_2px) == (0.75, 0.75)
    result = network_result("x", [trial(0.01, asked=15.0), trial(0.2, asked=15.0), trial(0.01, asked=90.0), trial(0.0)])
    assert result.basin == {"15": 0.5, "90": 1.0}


def test_precision_is_the_area_under_the_recall_curve() -> None:
    adds = [0.0, 0.02, 0.05, 0.2, math.nan]
    fine = np.linspace(0, 0.1, 2001)
    area = np.mean([(np.nan_to_num(np.array(adds), nan=9.0) <= t).mean() for t in fine])
    assert precision([trial(a) for a in adds]) == pytest.approx(area, abs=1e-3)


def test_scores_are_judged_over_all_starts() -> None:
    good = [trial(0.01, score=0.95) for _ in range(19)] + [trial(0.5, score=0.95)]
    bad = [trial(0.5, score=0.0, asked=90.0) for _ in range(20)]
    result = network_result("x", good + bad)
    assert result.auroc == pytest.approx((19 * 20 + 19 * 0.5) / (19 * 21))
    assert result.calibration_error < 0.06


def test_the_interval_is_wilsons() -> None:
    low, high = wilson_interval(0.9, 100)
    assert (low, high) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert wilson_interval(1.0, 8)[0] == pytest.approx(0.6756, abs=1e-4)
    assert wilson_interval(0.0, 0) == (0.0, 1.0)


def test_under_the_bar_there_is_a_report_and_no_certificate(tmp_path: Path) -> None:
    adds = {"generic": [0.01] * 8 + [0.5] * 2, "fine-tuned": [0.01] * 9 + [0.5]}
    for bar, answer in ((0.9, "CERTIFIED"), (0.95, "NOT CERTIFIED")):
        certificate = made(adds, bar=bar, kept="fine-tuned")
        write_certificate(tmp_path, certificate, [("a picture", np.zeros((4, 6, 3), np.uint8))])
        page = (tmp_path / "certificate.html").read_text()
        assert re.search(rf'class="verdict{"" if bar == 0.9 else " bad"}">{answer}: 90\.0 % of 10 starts', page)
        assert "the bar is" in page
        content = json.loads((tmp_path / "certificate.json").read_text())
        assert content["certified"] is (bar == 0.9)
        assert content["networks"]["generic"]["add_01d"] == 0.8
        assert content["order"] == {"mesh": "abc"}


def test_the_page_has_everything_and_fetches_nothing(tmp_path: Path) -> None:
    certificate = made({"generic": [0.01] * 4, "fine-tuned": [0.02] * 4}, bar=0.9, kept="generic")
    write_certificate(tmp_path, certificate, [("picture 1: 0.01 d", np.zeros((4, 6, 3), np.uint8))])
    page = (tmp_path / "certificate.html").read_text()
    for part in ("generic (kept)", "Basin of convergence", "Worst cases", "picture 1: 0.01 d", "watertight", "120 s"):
        assert part in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_every_start_is_as_far_away_as_asked() -> None:
    model: ObjectModel = load_object(ROOT / "models" / "objects" / "demo" / "tea_box")
    truth = torch.eye(4, dtype=torch.float64)
    truth[2, 3] = 0.6
    starts, asked = TrialPlan(noise_starts=4, seed=5).starts(3, truth, model)
    assert asked == [-1.0] * 4 + list(BASIN_DEG)
    turned = torch.rad2deg(rotation_angle(starts[:, :3, :3] @ truth[:3, :3].T))
    assert torch.allclose(turned[4:], torch.tensor(BASIN_DEG, dtype=torch.float64), atol=1e-4)
    assert bool((turned[:4] <= 45.0).all())
    centre = model.centre.double()[None]
    moved = (transform(starts, centre.expand(len(starts), 1, 3)) - transform(truth, centre)).norm(dim=-1)
    assert 0.001 < float(moved.median()) < 0.1
    again, _ = TrialPlan(noise_starts=4, seed=5).starts(3, truth, model)
    assert torch.equal(starts, again)
