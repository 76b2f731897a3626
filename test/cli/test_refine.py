"""The refine verb: one answer a request, one line an error."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rnnpose_ros.cli.main import main
from rnnpose_ros.geometry.perturbation import N1, perturb
from rnnpose_ros.sources.sequence import Sequence, read_image, read_sequence, write_image

INDEX = 30


@pytest.fixture(scope="module")
def sequence() -> Sequence:
    return read_sequence("package://rnnpose_ros/models/sequences/tea_box")


@pytest.fixture
def case(sequence: Sequence, tmp_path: Path) -> dict[str, Any]:
    """A folder with a picture, its camera, and a start pose; the arguments that refine it."""
    write_image(tmp_path / "image.png", sequence.frame(INDEX).numpy())
    shutil.copy(sequence.folder / "camera.json", tmp_path / "camera.json")
    truth = sequence.poses[INDEX]
    noise = dataclasses.replace(N1, translation_std=(0.01, 0.01, 0.02))
    start = perturb(truth[None], noise=noise, generator=torch.Generator().manual_seed(3), scale=0.6)[0]
    pose = {"label": "tea_box", "R": start[:3, :3].tolist(), "t_m": start[:3, 3].tolist()}
    (tmp_path / "pose.json").write_text(json.dumps(pose))
    arguments = {
        "--mesh": str(sequence.object.mesh_path),
        "--mesh-scale": str(sequence.object.mesh_scale),
        "--camera": str(tmp_path / "camera.json"),
        "--image": str(tmp_path / "image.png"),
        "--pose": str(tmp_path / "pose.json"),
        "--out": str(tmp_path / "out"),
    }
    return {"folder": tmp_path, "arguments": arguments, "pose": pose, "truth": truth, "start": start}


def run(arguments: dict[str, str], *more: str) -> int:
    return main(["refine", *(word for pair in arguments.items() for word in pair), *more])


def test_refined_pose_is_nearer_to_the_truth_and_pictures_are_written(
    case: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(case["arguments"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {
        "label", "T_camera_object", "status", "score", "residual_px", "covariance", "milliseconds",
    }  # fmt: skip
    T = torch.tensor(answer["T_camera_object"], dtype=torch.float64)
    before = (case["start"] - case["truth"])[:3, 3].norm()
    after = (T - case["truth"])[:3, 3].norm()
    assert answer["status"] in ("converged", "not_converged")
    assert float(after) < 0.5 * float(before)
    assert np.array(answer["covariance"]).shape == (6, 6)
    for name in ("overlay.png", "similarity.png"):
        assert tuple(read_image(case["folder"] / "out" / name).shape) == (480, 640, 3)


def test_requests_are_answered_in_order_and_a_bad_one_stops_nothing(
    case: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"image": "image.png", **case["pose"]}
    nan = {**good, "t_m": [float("nan"), 0.0, 1.0]}
    behind = {**good, "t_m": [0.0, 0.0, -0.5]}
    aside = {**good, "t_m": [3.0, 0.0, 0.5]}
    lines = [
        json.dumps(good),
        "{not json",
        json.dumps(nan),
        json.dumps(behind),
        json.dumps(aside),
        json.dumps({**good, "image": "camera.json"}),
        json.dumps({**good, "image": "gone.png"}),
        json.dumps({"image": "image.png"}),
        json.dumps(good),
    ]
    requests = case["folder"] / "requests.jsonl"
    requests.write_text("\n".join(lines) + "\n")
    kept = {k: v for k, v in case["arguments"].items() if k in ("--mesh", "--mesh-scale", "--camera")}
    assert run({**kept, "--requests": str(requests)}) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == len(lines)
    assert [sorted(a) == ["error"] for a in answers] == [False, True, True, False, False, True, True, True, False]
    assert "NaN" in answers[2]["error"]
    assert answers[3]["status"] == "out_of_view"
    assert answers[4]["status"] == "out_of_view"
    assert answers[3]["covariance"] is None
    assert answers[0]["T_camera_object"] == answers[8]["T_camera_object"]
    assert not (case["folder"] / "out").exists()


def write_camera(folder: Path, **changes: float) -> None:
    camera = json.loads((folder / "camera.json").read_text())
    (folder / "camera.json").write_text(json.dumps({**camera, **changes}))


def spoil_mesh(case: dict[str, Any], text: str | None) -> None:
    path = case["folder"] / "bad.obj"
    if text is not None:
        path.write_text(text)
    case["arguments"]["--mesh"] = str(path)


def test_several_poses_and_turns_of_them_give_one_answer(
    case: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {name: case["pose"][name] for name in ("R", "t_m")}
    aside = {**entry, "t_m": [entry["t_m"][0] + 0.15, *entry["t_m"][1:]]}
    Path(case["arguments"]["--pose"]).write_text(json.dumps({"poses": [aside, entry]}))
    more = {"--spread": "2", "--spread-deg": "20", "--set": "cycles=2"}
    assert run({**case["arguments"], **more}) == 0
    answer = json.loads(capsys.readouterr().out)
    T = torch.tensor(answer["T_camera_object"], dtype=torch.float64)
    assert float((T - case["truth"])[:3, 3].norm()) < 0.02


SPOILED = {
    "missing mesh": (lambda c: spoil_mesh(c, None), "bad.obj"),
    "empty mesh": (lambda c: spoil_mesh(c, ""), "bad.obj"),
    "mesh of points": (lambda c: spoil_mesh(c, "v 0 0 0\nv 1 0 0\n"), "face"),
    "not an image": (lambda c: (c["folder"] / "image.png").write_text("no picture"), "image.png"),
    "K of zeros": (lambda c: write_camera(c["folder"], fx=0.0, fy=0.0), "fx"),
    "image of another size": (lambda c: write_camera(c["folder"], width=320, height=240), "640 x 480"),
    "no weights": (lambda c: c["arguments"].update({"--weights": "/nowhere.safetensors"}), "nowhere"),
    "no poses": (lambda c: (c["folder"] / "pose.json").write_text('{"poses": []}'), "at least one"),
    "no start": (lambda c: c["arguments"].update({"--spread": "0"}), "1 to 1000"),
    "unknown setting": (lambda c: c["arguments"].update({"--set": "cylces=3"}), "did you mean 'cycles'"),
    "setting out of bounds": (lambda c: c["arguments"].update({"--set": "cycles=0"}), "1 to 20"),
    "truth that nobody draws": (lambda c: c["arguments"].update({"--truth": "pose.json"}), "--trace"),
    "both ways at once": (lambda c: c["arguments"].update({"--requests": "x.jsonl"}), "either"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_bad_input_is_one_line_and_exit_code_2(
    name: str, case: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, expected = SPOILED[name]
    spoil(case)
    assert run(case["arguments"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert expected in captured.err


def test_mesh_in_millimetres_declared_metres_is_questioned_aloud(
    case: dict[str, Any], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    case["arguments"]["--mesh-scale"] = str(1000.0 * float(case["arguments"]["--mesh-scale"]))
    code = run(case["arguments"])
    said = caplog.text + capsys.readouterr().err
    assert "mesh_scale" in said
    assert code in (0, 2)


def test_settings_reach_the_refiner(case: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    case["arguments"]["--set"] = "min_score=1.0"
    assert run(case["arguments"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "low_score"


def test_a_trace_is_a_picture_of_everything_a_film_and_a_page(
    case: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, truth = case["folder"], case["truth"]
    (folder / "truth.json").write_text(json.dumps({"R": truth[:3, :3].tolist(), "t_m": truth[:3, 3].tolist()}))
    trace = folder / "trace"
    more = {"--trace": str(trace), "--truth": str(folder / "truth.json"), "--set": "cycles=2"}
    assert run({**case["arguments"], **more}, "--set", "settled_px=0", "--set", "settled_step=0") == 0
    kinds = ("boxes", "field", "rectified", "similarity", "warped")
    expected = {f"c{c}_i{i}_{kind}.png" for c in range(2) for i in range(4) for kind in kinds}
    expected |= {f"c{c}_{kind}.png" for c in range(2) for kind in ("photo", "render")}
    expected |= {"index.html", "refinement.gif", "wheel.png"}
    assert {path.name for path in trace.iterdir()} == expected
    page = (trace / "index.html").read_text()
    assert set(re.findall(r'src="([^"]+)"', page)) == expected - {"index.html"}
    away_mm = [float(text) for text in re.findall(r"and ([0-9.]+) mm from the truth", page)]
    assert len(away_mm) == 8
    assert away_mm[-1] < 0.5 * 1000.0 * float((case["start"] - truth)[:3, 3].norm())
    assert Image.open(trace / "refinement.gif").n_frames == 8
    assert (trace / "refinement.gif").stat().st_size < 3_000_000
    warped, photo, render = (read_image(trace / f"{n}.png").float() for n in ("c0_i3_warped", "c0_photo", "c0_render"))
    shown = (render > 0).any(-1)
    assert float((warped - render)[shown].abs().mean()) < 0.8 * float((photo - render)[shown].abs().mean())


def test_a_refinement_that_cannot_begin_has_a_page_that_says_so(case: dict[str, Any]) -> None:
    behind = {**case["pose"], "t_m": [0.0, 0.0, -0.5]}
    Path(case["arguments"]["--pose"]).write_text(json.dumps(behind))
    del case["arguments"]["--out"]
    trace = case["folder"] / "trace"
    assert run({**case["arguments"], "--trace": str(trace)}) == 0
    assert [path.name for path in trace.iterdir()] == ["index.html"]
    assert "out_of_view" in (trace / "index.html").read_text()
