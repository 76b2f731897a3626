"""``rnnpose onboard``: bad input ends in one line, and any interruption is gone on from."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rnnpose_ros.checkpoints.checkpoint import read_info
from rnnpose_ros.cli.main import main
from rnnpose_ros.cli.onboard import axes_of, seconds_of
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.objects.library import load_object

ROOT = Path(__file__).resolve().parents[2]
BOX = ROOT / "models" / "objects" / "demo" / "tea_box" / "tea_box.obj"
SMALL = ["--pictures", "ray-cast", "--picture-width", "120", "--set", "stages=1.0:48:1.3:1:1"]
PATIENCE_S = 1200.0


def onboard(out: Path, *more: str, mesh: Path = BOX) -> list[str]:
    return ["onboard", str(mesh), "--name", "box", "--out", str(out), "--budget", "5s", *SMALL, *more]


@pytest.fixture
def tetrahedron(tmp_path: Path) -> Path:
    path = tmp_path / "tetra.obj"
    path.write_text("v 0 0 0\nv 0.1 0 0\nv 0 0.12 0\nv 0 0 0.15\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    return path


def test_budgets_are_times() -> None:
    assert [seconds_of(text) for text in ("120s", "30min", "1.5h", "2 min")] == [120.0, 1800.0, 5400.0, 120.0]
    for wrong in ("120", "soon", "1s", "-5min"):
        with pytest.raises(ConfigError, match="--budget: expected"):
            seconds_of(wrong)


def test_symmetries_are_axes() -> None:
    assert axes_of(["z:4", "x:any"]) == [((0.0, 0.0, 1.0), 4), ((1.0, 0.0, 0.0), 0)]
    assert axes_of(["none"]) == []
    for wrong in ("z", "w:2", "z:1", "z:0"):
        with pytest.raises(ConfigError, match="--symmetry: expected"):
            axes_of([wrong])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--budget", "30"], "--budget: expected a time such as 120s"),
        (["--bar", "0"], "--bar: expected a share"),
        (["--bar", "90"], "--bar: expected a share"),
        (["--name", "../mug"], "expected a name of letters"),
        (["--scale", "0.001"], "it looks like metres: give --scale 1 "),
        (["--weights", "nowhere.safetensors"], "no weights at nowhere.safetensors"),
        (["--pictures", "photo"], "pictures: expected one of auto, path-traced, ray-cast"),
    ],
)
def test_bad_arguments_end_in_one_line(
    arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(onboard(tmp_path, *arguments)) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_bad_meshes_end_in_one_line(tetrahedron: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tetrahedron.read_text()
    for content, reason in (
        (good.replace("0.1 0 0", "nan 0 0"), "1 of 4 vertices are not finite"),
        (good.replace("0.1", "100").replace("0.15", "150"), "give --scale 0.001"),
        (good.replace("f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n", ""), "4 vertices and no faces"),
        (good.replace("f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n", "f 1 1 2\n"), "all 1 faces have zero area"),
        ("", "the mesh file is empty"),
    ):
        tetrahedron.write_text(content)
        assert main(onboard(tmp_path / "out", mesh=tetrahedron)) == 2
        assert reason in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_said_before_anything_takes_long(
    tetrahedron: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    assert main(onboard(tmp_path / "taken", "--symmetry", "none", mesh=tetrahedron)) == 2
    assert "a file stands where a folder is needed" in capsys.readouterr().err.splitlines()[-1]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))  # fails as a full disk does, with its own number
    try:
        assert main(onboard(tmp_path / "full", "--symmetry", "none", mesh=tetrahedron)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "larger than this shell allows" in capsys.readouterr().err.splitlines()[-1]
    assert not list((tmp_path / "full").rglob("*.partial"))


def _listen_to_interrupts() -> None:
    """Of a shell's background jobs, children inherit that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Run:
    """``rnnpose`` in a process of its own."""

    def __init__(self, arguments: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "rnnpose_ros.cli.main", *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, preexec_fn=_listen_to_interrupts, **pipes
        )

    def wait_for(self, path: Path) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline, f"{path.name} does not come"
            time.sleep(0.05)

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Exit code and all that was printed, after a signal where one is given."""
        if number is not None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, output


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """Runs that are put in here do not outlive the test."""
    started: list[Run] = []
    yield started
    for run in started:
        with suppress(ProcessLookupError):
            run.process.kill()
        run.process.communicate()


@pytest.mark.slow
def test_killed_at_any_time_the_same_command_goes_on_to_the_certificate(runs: list[Run], tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "box"
    work = folder / "onboarding"
    command = onboard(tmp_path, "--bar", "0.01", "--set", "save_seconds=0", "--set", "log_seconds=0")
    for awaited in (
        work / "views" / "002.json",
        work / "trials" / "generic_003.json",
        work / "finetune" / "previous.pt",
    ):
        runs.append(Run(command))
        runs[-1].wait_for(awaited)
        code, _ = runs[-1].end(signal.SIGKILL)
        assert code == -signal.SIGKILL
        kept = {path: path.stat().st_mtime_ns for path in (*work.glob("views/*"), *work.glob("trials/*"))}
        assert kept
    last = work / "finetune" / "last.pt"
    last.write_bytes(last.read_bytes()[:-100])
    runs.append(Run(command))
    runs[-1].wait_for(work / "trials" / "fine_tuned_000.json")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # nothing was made twice
    code, output = runs[-1].end()
    assert code == 0, output
    assert "last.pt is damaged" in output
    assert "CERTIFIED: " in output
    certificate = json.loads((folder / "certificate.json").read_text())
    assert certificate["certified"] is True
    assert not work.exists()
    model = load_object(folder)
    assert model.label == "box"
    assert (folder / "weights.safetensors").exists() == (certificate["kept"] == "fine-tuned")
    if certificate["kept"] == "fine-tuned":
        assert read_info(folder / "weights.safetensors").labels == ("box",)
    runs.append(Run(command))
    code, output = runs[-1].end()
    assert code == 0
    assert "done before, nothing to do" in output


@pytest.mark.slow
def test_an_interrupt_waits_and_a_bar_that_is_missed_is_no_certificate(runs: list[Run], tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "box"
    command = onboard(tmp_path, "--bar", "1", "--set", "learning_rate=0.000001")
    runs.append(Run(command))
    runs[-1].wait_for(folder / "onboarding" / "views" / "001.json")
    code, output = runs[-1].end(signal.SIGINT)
    assert code == 130
    assert "stopped: the same command goes on" in output
    runs.append(Run([*command[:2], "--symmetry", "z:2", *command[2:]]))
    code, output = runs[-1].end()
    assert code == 2
    assert "holds an unfinished onboarding with other symmetries" in output
    runs.append(Run(command))
    code, output = runs[-1].end()
    content = json.loads((folder / "certificate.json").read_text())
    recall = content["networks"][content["kept"]]["add_01d"]
    assert recall < 1.0, "the pictures are too easy for this test"
    assert code == 1
    assert "NOT CERTIFIED" in output
    assert "NOT CERTIFIED" in (folder / "certificate.html").read_text()
