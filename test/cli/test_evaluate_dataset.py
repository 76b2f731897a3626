"""Predict, then score: on a dataset of our own making, from noise, from files and from a source."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from rnnpose_ros.cli.main import main
from rnnpose_ros.data.bop.dataset import read_bop
from rnnpose_ros.data.bop.results import BopEstimate, read_results, write_results
from rnnpose_ros.data.synthetic.randomization import FullFrameConfig
from rnnpose_ros.data.synthetic.writer import SynthesisOrder, synthesize
from rnnpose_ros.evaluation.prediction_run import PredictionRun
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.objects.library import describe_object
from rnnpose_ros.rendering.warp_renderer import WarpRenderer

IMAGES = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the tea box alone, without greys and compression."""
    out = tmp_path_factory.mktemp("dataset") / "tea"
    order = SynthesisOrder(
        out=out,
        objects=(describe_object("package://rnnpose_ros/models/objects/demo/tea_box"),),
        scenes=1,
        images=IMAGES,
        seed=2,
        split="test",
        camera=intrinsics(350.0, 350.0, 159.5, 119.5, width=320, height=240),
        config=FullFrameConfig(image_px=(320, 240), object_px=(90.0, 140.0), distractors=0),
    )
    synthesize(order, WarpRenderer())
    return out


def predict(dataset: Path, run: Path, *words: str) -> int:
    return main(["evaluate", "predict", "--dataset", str(dataset), "--out", str(run), *words])


@pytest.fixture(scope="module")
def noisy_run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run from N1 with two starts of each instance."""
    run = tmp_path_factory.mktemp("runs") / "noisy"
    assert predict(dataset, run, "--seeds", "2") == 0
    return run


@pytest.fixture
def run_copy(noisy_run: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(noisy_run, tmp_path / "run"))


def write_truth(dataset: Path, path: Path) -> list[BopEstimate]:
    truth = [
        BopEstimate(image.scene_id, image.image_id, a.object_id, 1.0, a.T_camera_object)
        for image in read_bop(dataset).images.values()
        for a in image.annotations or ()
    ]
    write_results(path, truth)
    return truth


def test_refined_poses_beat_the_starts_and_the_report_shows_both(
    noisy_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "score", str(noisy_run)]) == 0
    assert "ADD(-S)-0.1d" in capsys.readouterr().out
    scores = json.loads((noisy_run / "scores.json").read_text())
    before, after = scores["initial"], scores["refined"]
    assert before["instances"] == after["instances"] == 2 * IMAGES
    assert after["median_px"] < 0.3 * before["median_px"]
    assert after["ar"] > before["ar"] + 0.2
    assert set(scores["by_object"]) == {"1"}
    page = (noisy_run / "report.html").read_text()
    for words in ("AR_VSD", "start ADD(-S) 0.1 d", "obj_000001", "<svg", "weights_sha256", "99th percentile"):
        assert words in page
    lines = list(csv.DictReader((noisy_run / "instances.csv").open()))
    assert len(lines) == 2 * IMAGES
    assert {line["trial"] for line in lines} == {"0", "1"}


def test_perfect_starts_have_no_error_and_stay_near_the_truth(dataset: Path, tmp_path: Path) -> None:
    truth = write_truth(dataset, tmp_path / "truth.csv")
    assert predict(dataset, tmp_path / "run", "--init", f"csv:{tmp_path / 'truth.csv'}") == 0
    assert main(["evaluate", "score", str(tmp_path / "run"), "--json"]) == 0
    for line in csv.DictReader((tmp_path / "run" / "instances.csv").open()):
        assert float(line["initial_add_d"]) < 1e-9
        assert float(line["initial_mspd_px640"]) < 1e-6
        assert float(line["refined_projection_px"]) < 3.0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert [scores["initial"][name] for name in ("add_002d", "ar_vsd", "ar_mssd", "ar_mspd")] == [1.0] * 4
    copied = read_results(tmp_path / "run" / "initial_0.csv")
    assert [(e.image_id, e.time_s) for e in copied] == [(e.image_id, -1.0) for e in truth]


def test_a_finished_run_starts_again_with_nothing_to_do_and_a_cut_line_is_made_again(
    dataset: Path, run_copy: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert predict(dataset, run_copy, "--seeds", "2") == 0
    assert "3 images, 0 predicted now" in capsys.readouterr().out
    journal = run_copy / "predictions.jsonl"
    before, poses = journal.read_bytes(), (run_copy / "refined_1.csv").read_text().splitlines()
    journal.write_bytes(before[:-100])
    (run_copy / "refined_1.csv").unlink()
    assert main(["evaluate", "score", str(run_copy)]) == 2
    assert "1 of 3 images are not predicted yet (first: scene 1, image 2)" in capsys.readouterr().err
    assert predict(dataset, run_copy, "--seeds", "2") == 0
    assert "the last line was cut short" in caplog.text
    assert "3 images, 1 predicted now" in capsys.readouterr().out
    again = (run_copy / "refined_1.csv").read_text().splitlines()
    # The same bits on a CPU; only the time differs.
    assert [line.rsplit(",", 1)[0] for line in again] == [line.rsplit(",", 1)[0] for line in poses]


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        (["--seeds", "2", "--set", "cycles=2"], "refine.cycles: 3 there, 2 now"),
        (["--seeds", "2", "--noise", "N2"], "noise: N1 there, N2 now"),
        (["--seeds", "2", "--precision", "float32"], None),
        (["--seeds", "1"], "seeds: 2 there, 1 now"),
    ],
)
def test_another_configuration_is_refused_and_named(
    dataset: Path, noisy_run: Path, capsys: pytest.CaptureFixture[str], words: list[str], difference: str | None
) -> None:
    there = PredictionRun.open(noisy_run).manifest.configuration["precision"]
    if difference is None and there == "float32":
        pytest.skip("this processor computes in float32 anyway")
    assert predict(dataset, noisy_run, *words) == 2
    error = capsys.readouterr().err
    assert "holds predictions of another configuration" in error
    assert (difference or "precision: bfloat16 there, float32 now") in error


def test_lines_of_another_run_are_not_scored_with_ours(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = run_copy / "predictions.jsonl"
    key = PredictionRun.open(run_copy).manifest.key
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], lines[1].replace(key, "0123456789ab"), lines[2]]) + "\n")
    assert main(["evaluate", "score", str(run_copy)]) == 2
    assert "line 2: made with configuration 0123456789ab" in capsys.readouterr().err
    journal.write_text("\n".join([lines[0], "{", lines[2]]) + "\n")
    assert main(["evaluate", "score", str(run_copy)]) == 2
    assert "line 2: damaged" in capsys.readouterr().err


def test_a_manifest_or_dataset_that_changed_is_refused(
    dataset: Path, run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = Path(shutil.copytree(dataset, tmp_path / "changed"))
    truth = changed / "test" / "000001" / "scene_gt.json"
    truth.write_text(truth.read_text().replace('"obj_id": 1', '"obj_id": 1, "note": 0', 1))
    assert main(["evaluate", "score", str(run_copy), "--dataset", str(changed)]) == 2
    assert "is not the dataset that" in capsys.readouterr().err
    manifest = run_copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"N1"', '"N2"'))
    assert main(["evaluate", "score", str(run_copy)]) == 2
    assert "was changed after its predictions were made" in capsys.readouterr().err
    assert main(["evaluate", "score", str(tmp_path)]) == 2
    assert "expected the folder of rnnpose evaluate predict" in capsys.readouterr().err


def test_without_true_poses_noise_is_refused_and_other_results_are_refined(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = Path(shutil.copytree(dataset, tmp_path / "private"))
    write_truth(dataset, tmp_path / "other.csv")
    (private / "test" / "000001" / "scene_gt.json").unlink()
    assert predict(private, tmp_path / "a") == 2
    assert "noise needs the true poses; use --init csv:FILE" in capsys.readouterr().err
    words = ["--init", f"csv:{tmp_path / 'other.csv'}", "--every", "3"]
    assert predict(private, tmp_path / "b", *words) == 0
    assert len(read_results(tmp_path / "b" / "refined_0.csv")) == 1
    capsys.readouterr()
    assert main(["evaluate", "score", str(tmp_path / "b")]) == 2
    assert "no scene_gt.json, so there is nothing to score against" in capsys.readouterr().err


def test_a_pose_source_is_made_by_name(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_detector.py").write_text(
        "import torch\n"
        "from rnnpose_ros.types import PoseHypothesis\n"
        "class Detector:\n"
        "    def __init__(self, objects): self.labels = list(objects)\n"
        "    def propose(self, frame):\n"
        "        T = torch.eye(4, dtype=torch.float64); T[2, 3] = 0.7\n"
        "        return [PoseHypothesis(label, T, score=s) for label in self.labels for s in (0.2, 0.7)]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert predict(dataset, tmp_path / "run", "--init", "source:my_detector:Detector", "--every", "3") == 0
    (start,) = read_results(tmp_path / "run" / "initial_0.csv")
    assert (start.score, start.object_id) == (0.7, 1)
    assert start.T_camera_object[:3, 3].tolist() == pytest.approx([0.0, 0.0, 0.7])
    for init, words in (
        ("source:my_detector:Missing", "expected source:MODULE:FACTORY"),
        ("source:no_such_module:Detector", "No module named 'no_such_module'"),
        ("guess", "expected noise, csv:FILE or source:MODULE:FACTORY, got 'guess'"),
        (f"csv:{tmp_path}/none.csv", "no such file; expected BOP results"),
    ):
        capsys.readouterr()
        assert predict(dataset, tmp_path / "other", "--init", init) == 2
        assert words in capsys.readouterr().err


def test_a_sequence_or_a_stage_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate"]) == 2
    assert "give --data FOLDER (a sequence), or a stage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--noise", "N4"), "N1, N2, N3 or a factor"), (("--spread", "0"), "1 to 1000 poses")],
)
def test_starts_of_a_sequence_that_cannot_be_made_are_refused(
    words: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--data", "models/sequences/tea_box", *words]) == 2
    assert said in capsys.readouterr().err
