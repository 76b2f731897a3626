"""The benchmark measured with refiners whose answers are known."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from rnnpose_ros.cli.main import main
from rnnpose_ros.data.syn.reading import Benchmark, read_benchmark
from rnnpose_ros.evaluation.syn import BASIN_DEG, SynMeter, SynTrial, at_true_depth
from rnnpose_ros.evaluation.syn_retake import TrainingRetake
from rnnpose_ros.evaluation.syn_scores import grouped_scores, scores
from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import ImageFrame, PoseHypothesis, RefinementResult, RefinementStatus

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "weights" / "small.safetensors"
QUICK = ("--set", "cycles=1", "--set", "iterations=1", "--set", "crop_size=64")


class Known(Refiner):
    """Answers the start, or the truth where it was told; keeps the frames it was shown."""

    def __init__(self, truths: dict[str, torch.Tensor] | None = None) -> None:
        self.renderer = WarpRenderer()
        self.features = FeatureCache(self.renderer)
        self.truths = truths or {}
        self.frames: list[ImageFrame] = []

    def refine(self, frame, hypotheses: list[PoseHypothesis], objects, **_: object) -> list[RefinementResult]:
        self.frames.append(frame)
        return [
            RefinementResult(
                label=h.label,
                T_camera_object=self.truths.get(h.label, h.T_camera_object),
                status=RefinementStatus.CONVERGED,
                score=1.0 if h.label in self.truths else 0.0,
                residual_px=0.0,
            )
            for h in hypotheses
        ]


@pytest.fixture(scope="module")
def benchmark(syn_folder: Path) -> Benchmark:
    return read_benchmark(syn_folder)


def meter(benchmark: Benchmark, refiner: Refiner) -> SynMeter:
    return SynMeter(benchmark, {entry.label: refiner for entry in benchmark.objects.values()})


def truths(benchmark: Benchmark) -> dict[str, torch.Tensor]:
    return {
        benchmark.dataset.models[image.annotations[0].object_id].label: image.annotations[0].T_camera_object.double()
        for image in benchmark.images
    }


def test_a_refiner_that_does_nothing_scores_as_the_starts_do(benchmark):
    trials = list(meter(benchmark, Known()).trials(starts=3))
    assert len(trials) == 6
    for trial in trials:
        assert trial.add == pytest.approx(trial.initial_add)
        assert trial.refined_px == pytest.approx(trial.initial_px)
        assert 0.0 < trial.start_deg <= 45.0
    overall = grouped_scores(trials)[-1]
    assert overall.add_10 == overall.start_add_10
    assert overall.all_5px == overall.start_all_5px


def test_the_truth_has_no_error(benchmark):
    trials = list(meter(benchmark, Known(truths(benchmark))).trials())
    assert max(t.add for t in trials) < 1e-5
    assert max(t.add_at_true_depth for t in trials) < 1e-5
    assert max(t.refined_px for t in trials) < 1e-2
    overall = grouped_scores(trials)[-1]
    assert (overall.add_02, overall.visible_2px, overall.mspd, overall.calibration_error) == (1.0, 1.0, 1.0, 0.0)


def test_a_pose_that_is_only_too_deep_along_its_ray_comes_back_whole():
    truth = torch.eye(4, dtype=torch.float64)
    truth[:3, 3] = torch.tensor([0.1, -0.2, 0.8])
    centre = torch.tensor([0.03, 0.0, 0.1], dtype=torch.float64)
    deeper = truth.clone()
    deeper[:3, 3] += 0.3 * (truth[:3, 3] + centre)
    turned = deeper.clone()
    turned[:3, :3] = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    back, still_turned = at_true_depth(torch.stack([deeper, turned]), truth, centre)
    torch.testing.assert_close(back, truth)
    assert float(still_turned[2, 3]) == pytest.approx(0.8)
    assert torch.equal(still_turned[:3, :3], turned[:3, :3])


def test_the_basin_turns_every_frame_by_every_angle(benchmark):
    trials = list(meter(benchmark, Known()).basin())
    assert [t.asked_deg for t in trials] == [*BASIN_DEG, *BASIN_DEG]
    for trial in trials:
        assert trial.start_deg == pytest.approx(trial.asked_deg, abs=1e-3)


def test_objects_without_a_refiner_are_left_out(benchmark):
    refiner = Known()
    assert [t.label for t in SynMeter(benchmark, {"tin": refiner}).trials()] == ["tin"]


def test_grey_pictures_have_three_equal_channels(benchmark):
    refiner = Known()
    list(meter(benchmark, refiner).trials(grey=True))
    for frame in refiner.frames:
        assert torch.equal(frame.rgb[..., 0], frame.rgb[..., 1])
        assert torch.equal(frame.rgb[..., 0], frame.rgb[..., 2])


def test_the_training_renderers_pictures_show_the_same_objects_at_the_same_pixels(benchmark):
    refiner = Known(truths(benchmark))
    trials = list(meter(benchmark, refiner).trials(retake=TrainingRetake(benchmark, refiner.renderer)))
    assert {t.pictures for t in trials} == {"training renderer"}
    for trial, frame in zip(trials, refiner.frames, strict=True):
        assert trial.refined_visible_px < 1e-2
        assert frame.rgb.shape[:2] == (frame.camera.height, frame.camera.width)
        assert frame.rgb.float().std() > 5


def trial(**changes: object) -> SynTrial:
    """A perfect one, changed."""
    values: dict[str, object] = {f.name: 0.0 for f in dataclasses.fields(SynTrial)}
    values |= {"label": "a", "kind": "thin", "scene_id": 1, "image_id": 0, "start": 0, "pictures": "path-traced"}
    values |= {"status": "converged", "score": 1.0, "asked_deg": math.nan, "T_camera_object": ()}
    return SynTrial(**(values | changes))


def test_a_pose_that_is_not_finite_is_a_miss_everywhere():
    lost = scores("all", [trial(add=math.nan, refined_px=math.nan, mspd_px=math.nan, rotation_deg=math.nan)])
    assert (lost.add_10, lost.all_5px, lost.mspd) == (0.0, 0.0, 0.0)
    assert lost.median_deg == math.inf


def test_recalls_count_trials_below_each_limit():
    some = scores("all", [trial(add=a, mspd_px=px) for a, px in ((0.01, 1.0), (0.04, 12.0), (0.09, 60.0), (0.3, 60.0))])
    assert (some.add_02, some.add_05, some.add_10) == (0.25, 0.5, 0.75)
    assert some.mspd == pytest.approx((10 + 8) / 40)


def test_small_and_hidden_objects_have_rows_of_their_own():
    rows = grouped_scores([trial(size_px=80.0, visible_share=1.0), trial(size_px=200.0, visible_share=0.5, add=0.5)])
    of = {row.group: row for row in rows}
    assert (of["below 100 px"].add_10, of["above 180 px"].add_10, of["visible below 70 %"].add_10) == (1.0, 0.0, 0.0)
    assert (of["below 100 px"].trials, of["overall"].trials) == (1, 2)


def test_a_score_of_one_for_wrong_poses_is_a_calibration_error_of_their_share():
    assert scores("all", [trial(add=0.5), trial(), trial(), trial()]).calibration_error == pytest.approx(0.25)


def test_the_verb_prints_every_table_and_writes_page_scores_and_trials(syn_folder, tmp_path, capsys):
    words = ["--benchmark", "syn", "--data", str(syn_folder), "--weights", str(WEIGHTS), *QUICK]
    options = ["--grey", "--gap", "--basin", "--objects", "tin", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *words, *options]) == 0
    printed = capsys.readouterr().out
    for title in ("path-traced pictures", "grey pictures", "training renderer pictures", "by start angle"):
        assert title in printed
    assert "carton" not in printed
    kept = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [row["trials"] for row in kept["basin"]] == [1] * 7
    assert set(kept["scores"]) == {"path-traced", "grey", "training renderer"}
    assert len((tmp_path / "out" / "trials.csv").read_text().splitlines()) == 1 + 3 + 7
    assert "Basin of convergence" in (tmp_path / "out" / "report.html").read_text()


def test_onboarded_weights_refine_their_own_objects_only(syn_folder, tmp_path, capsys):
    (tmp_path / "tin").mkdir()
    shutil.copy(WEIGHTS, tmp_path / "tin" / "weights.safetensors")
    words = ["--benchmark", "syn", "--data", str(syn_folder), "--onboarded", str(tmp_path), *QUICK]
    assert main(["evaluate", *words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["scores"]["path-traced"]
    assert [row["group"] for row in rows][:2] == ["tin", "all textured"]
    assert rows[-1]["group"] == "overall"
    assert {row["trials"] for row in rows} == {1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objects", "tin,teapot"], "--objects: expected some of carton, tin, got teapot"),
        (["--onboarded", "nowhere"], "expected one .safetensors file in a folder for each object"),
        (["--noise", "N7"], "--noise: expected one of N1, N2, N3"),
        (["--seeds", "0"], "--seeds: expected at least 1"),
    ],
)
def test_wrong_words_are_answered_in_one_line(syn_folder, capsys, words, said):
    assert main(["evaluate", "--benchmark", "syn", "--data", str(syn_folder), *words]) == 2
    assert said in capsys.readouterr().err
