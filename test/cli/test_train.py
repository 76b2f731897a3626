"""``rnnpose train``: which objects it takes, and a whole fine-tuning from the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from rnnpose_ros.checkpoints.checkpoint import read_info
from rnnpose_ros.cli.main import main
from rnnpose_ros.cli.train import given_objects

ROOT = Path(__file__).resolve().parents[2]
TETRAHEDRON = "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    path = tmp_path / "tetra.obj"
    path.write_text(TETRAHEDRON)
    return path


def test_objects_come_from_meshes_descriptions_and_folders(mesh: Path) -> None:
    demo = ROOT / "models" / "objects" / "demo"
    assert [model.label for model in given_objects([str(mesh)])] == ["tetra"]
    assert [model.label for model in given_objects([str(demo / "tea_box"), str(mesh)])] == ["tea_box", "tetra"]
    assert [model.label for model in given_objects([str(demo)])] == ["tea_box"]


def test_a_mesh_that_is_not_there_ends_the_command_with_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["train", "--mesh", "nowhere.obj", "--out", str(tmp_path)]) == 2
    assert "nowhere.obj" in capsys.readouterr().err.splitlines()[-1]


def test_an_object_is_learned_from_given_weights(
    mesh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    settings = ["steps=2", "stages=1.0:64:1.3:1:2", "log_seconds=0", "mixed_precision=false"]
    command = ["train", "--recipe", "finetune", "--mesh", str(mesh), "--out", str(tmp_path / "run")]
    for setting in settings:
        command += ["--set", setting]
    assert main(command) == 0
    assert "weights in" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    info = read_info(tmp_path / "run" / "weights.safetensors")
    assert info.provenance["trained_on"].startswith("renders of tetra,")
    assert json.loads(info.provenance["settings"])["initial"].endswith("small.safetensors")
    assert main(command) == 0  # finished: nothing left to do
    (mesh.parent / "tetra.obj").write_text(TETRAHEDRON.replace("0.1", "0.2"))
    assert main(command) == 2
    assert "holds a run with objects =" in capsys.readouterr().err
