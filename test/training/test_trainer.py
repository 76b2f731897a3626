"""The trainer: it learns, it leaves out what is not finite, and runs that stop go on as if they had not."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnpose_ros.checkpoints.checkpoint import load_network
from rnnpose_ros.errors import ConfigError, OutputError
from rnnpose_ros.training.experiment import Stage, parse_stages
from rnnpose_ros.training.recipe import Losses
from rnnpose_ros.training.trainer import Trainer
from rnnpose_ros.types import TrainingBatch

ROOT = Path(__file__).resolve().parents[2]
STAGE = Stage(until=1.0, size=64, margin=1.3, batch=2, iterations=2)
PATIENCE_S = 300.0
MakeTrainer = Callable[..., Trainer]
Arguments = Callable[..., list[str]]
Start = Callable[[list[str]], "subprocess.Popen[str]"]


class OneBatch:
    """A stream that gives the same batch for ever."""

    def __init__(self, batch: TrainingBatch) -> None:
        self.random = torch.Generator().manual_seed(1)
        self._batch = batch

    def batch(self, stage: Stage) -> TrainingBatch:
        return self._batch

    def state(self) -> dict[str, Any]:
        return {}


def weights(directory: Path) -> dict[str, Any]:
    """All tensors that a run left: trained, averaged, the optimiser's."""
    state = torch.load(directory / "last.pt", weights_only=True)
    moments = {
        f"{index}.{name}": value
        for index, moment in state["optimizer"]["state"].items()
        for name, value in moment.items()
    }
    return {**state["network"], **{f"mean {k}": v for k, v in state["average"]["network"].items()}, **moments}


def assert_same_bits(first: Path, second: Path) -> None:
    ours, others = weights(first), weights(second)
    assert ours.keys() == others.keys()
    different = [name for name in ours if not torch.equal(ours[name], others[name])]
    assert different == []


def losses_of(directory: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def test_training_on_one_batch_lowers_its_loss(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, {"streams": 1})
    trainer.streams = [OneBatch(trainer.streams[0].batch(STAGE))]
    losses = [trainer.train_step(0.1, STAGE)["matching"] for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_step_takes_the_mean_gradient_of_all_streams(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    gradients = []
    for chosen in ((0,), (1,), (0, 1)):
        trainer = make_trainer(tmp_path, {"streams": 2, "clip_norm": 1000.0})
        trainer.streams = [trainer.streams[i] for i in chosen]
        trainer.train_step(0.1, STAGE)
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.network.parameters()]))
    first, second, both = gradients
    assert not torch.allclose(first, second)
    assert torch.allclose(both, 0.5 * (first + second), rtol=1e-5, atol=1e-7)


def test_a_stopped_run_goes_on_to_the_same_bits(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    settings = {"steps": 8, "log_seconds": 0.0}
    assert make_trainer(tmp_path / "whole", settings).run()

    shown: list[str] = []

    def stop_soon(line: str) -> None:
        shown.append(line)
        if len(shown) == 5:
            stopped.stop()

    stopped = make_trainer(tmp_path / "halves", settings, show=stop_soon)
    assert not stopped.run()
    assert 5 <= stopped.progress.step < 8
    assert make_trainer(tmp_path / "halves", settings).run()
    assert_same_bits(tmp_path / "whole", tmp_path / "halves")
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "halves")
    network, info = load_network(tmp_path / "halves" / "weights.safetensors")
    assert (info.provenance["step"], info.provenance["samples"]) == (8, 16)
    mean = torch.load(tmp_path / "halves" / "last.pt", weights_only=True)["average"]["network"]
    assert all(torch.equal(tensor, mean[name]) for name, tensor in network.state_dict().items())


def test_a_finished_run_is_left_as_it_is(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    make_trainer(tmp_path, {"steps": 2}).run()
    before = (tmp_path / "last.pt").read_bytes()
    again = make_trainer(tmp_path, {"steps": 2})
    assert again.run()
    assert again.progress.step == 2
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_time_budget_ends_the_run(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, {"minutes": 0.03})
    assert trainer.run()
    assert trainer.progress.step > 0
    assert trainer.progress.seconds >= 1.8


def test_other_settings_do_not_go_on_with_a_run(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    make_trainer(tmp_path, {"steps": 1}).run()
    with pytest.raises(ConfigError, match=r"holds a run with learning_rate = 0\.002, not 0\.001"):
        make_trainer(tmp_path, {"steps": 2, "learning_rate": 1e-3}).run()
    longer = make_trainer(tmp_path, {"steps": 2})
    assert longer.run()
    assert longer.progress.step == 2


def test_batches_without_finite_losses_are_left_out_counted_and_said(
    make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer(tmp_path, {"steps": 4, "streams": 2})
    honest = trainer.recipe.losses
    calls = iter(range(100))

    def sometimes_nan(*args: Any, **kwargs: Any) -> Losses:
        losses = honest(*args, **kwargs)
        return replace(losses, total=losses.total * float("nan")) if next(calls) in (1, 4, 5) else losses

    monkeypatch.setattr(trainer.recipe, "losses", sometimes_nan)
    trainer.run()
    assert trainer.progress.skipped == 3
    assert "3 batches without finite losses and gradients were left out" in caplog.text
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())
    assert all(loss == loss for loss in losses_of(tmp_path).values())


def test_a_run_that_diverges_is_given_up(
    make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tmp_path, {"steps": 100})
    nothing = Losses(total=torch.tensor(float("nan")), parts={"loss": float("nan")})
    monkeypatch.setattr(trainer.recipe, "losses", lambda *_, **__: nothing)
    trainer.streams = [OneBatch(trainer.streams[0].batch(STAGE))]
    with pytest.raises(ConfigError, match="50 steps in a row had no finite gradient; lower learning_rate"):
        trainer.run()


@contextmanager
def nothing_larger_than(size: int) -> Iterator[None]:
    """A disk that takes no more: writes beyond a file's size fail as they do on a full one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_at_the_start_and_leaves_no_half_file(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, {"steps": 1})
    with (
        nothing_larger_than(20_000),
        pytest.raises(OutputError, match=r"new\.pt: the file would be larger"),
    ):
        trainer.run()
    assert {path.name for path in tmp_path.iterdir()} <= {"log.jsonl", "tensorboard"}


def test_a_disk_that_fills_up_later_does_not_end_the_run(
    make_trainer: MakeTrainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer(tmp_path, {"steps": 6, "save_seconds": 0.0})
    honest, saved = trainer.save, []

    def save_on_a_disk_that_is_full_in_between() -> None:
        step = trainer.progress.step
        with nothing_larger_than(20_000 if step in (2, 3) else 1 << 40):
            honest()
        saved.append(step)

    trainer.save = save_on_a_disk_that_is_full_in_between
    assert trainer.run()
    assert saved == [0, 1, 4, 5, 6]
    assert caplog.text.count("NOT SAVED") == 2
    assert not list(tmp_path.glob("*.partial"))
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 6
    assert torch.load(tmp_path / "previous.pt", weights_only=True)["step"] == 5


def test_a_folder_that_cannot_be_is_said(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        make_trainer(tmp_path / "file" / "run", {"steps": 1}).run()


@pytest.mark.gpu
def test_a_run_on_a_gpu_learns_and_goes_on(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    for steps in (2, 4):
        trainer = make_trainer(tmp_path, {"steps": steps}, device="cuda")
        assert trainer.run()
    assert trainer.progress.step == 4
    assert trainer.progress.skipped == 0
    assert all(p.device.type == "cuda" for p in trainer.network.parameters())


def test_stages_that_do_not_reach_the_end_are_refused(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rise to 1\.0"):
        parse_stages("0.5:160:1.3:4:4")
    with pytest.raises(ConfigError, match="share:px:margin"):
        make_trainer(tmp_path, {"stages": "1.0:160"})


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``rnnpose`` in a process of its own, one thread; none outlives the test."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(arguments: list[str]) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "rnnpose_ros.cli.main", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, start_new_session=True, **pipes)
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return output


def wait_for_step(directory: Path, step: int) -> None:
    """Until the run has told of a step."""
    deadline = time.monotonic() + PATIENCE_S
    while not (directory / "log.jsonl").exists() or max(losses_of(directory), default=0) < step:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits(start: Start, train_arguments: Arguments, tmp_path: Path) -> None:
    settings = {"steps": 24, "log_seconds": 0.0, "save_seconds": 0.5}
    finish(start(train_arguments(tmp_path / "whole", settings)))

    killed = start(train_arguments(tmp_path / "killed", settings))
    wait_for_step(tmp_path / "killed", 10)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=PATIENCE_S)
    assert 0 < torch.load(tmp_path / "killed" / "last.pt", weights_only=True)["step"] < 24
    finish(start(train_arguments(tmp_path / "killed", settings)))

    assert_same_bits(tmp_path / "whole", tmp_path / "killed")
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "killed")
    assert not list((tmp_path / "killed").glob("*.partial"))


@pytest.mark.slow
def test_an_asked_stop_saves_and_says_how_to_go_on(start: Start, train_arguments: Arguments, tmp_path: Path) -> None:
    process = start(train_arguments(tmp_path, {"steps": 10_000, "log_seconds": 0.0}))
    wait_for_step(tmp_path, 3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "the same command goes on" in output
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] >= 3


@pytest.mark.slow
def test_two_processes_train_as_one_does(start: Start, train_arguments: Arguments, tmp_path: Path) -> None:
    settings = {"steps": 8, "log_seconds": 0.0, "streams": 2}
    finish(start(train_arguments(tmp_path / "one", settings)))
    finish(start([*train_arguments(tmp_path / "two", settings), "--processes", "2"]))
    one, two = losses_of(tmp_path / "one"), losses_of(tmp_path / "two")
    assert one.keys() == two.keys() == set(range(1, 9))
    assert [two[step] for step in one] == pytest.approx(list(one.values()), rel=1e-4)
    ours, others = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(ours[name], others[name], rtol=1e-4, atol=1e-5) for name in ours)
    other_counts = start([*train_arguments(tmp_path / "three", {**settings, "streams": 3}), "--processes", "2"])
    output, _ = other_counts.communicate(timeout=PATIENCE_S)
    assert other_counts.returncode != 0
    assert "3 cannot be shared evenly by 2 processes; set streams=4" in output
