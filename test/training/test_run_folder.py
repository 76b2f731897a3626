"""What a run keeps: damaged states are found and said, files are whole, logs fit the step."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rnnpose_ros.errors import CheckpointError
from rnnpose_ros.training.run_folder import RunFolder
from rnnpose_ros.training.run_log import Progress, RunLog
from rnnpose_ros.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]


def saved_twice(make_trainer: MakeTrainer, directory: Path) -> None:
    """States of steps 3 and 4."""
    trainer = make_trainer(directory)
    for step in (3, 4):
        trainer.progress.step = step
        trainer.save()


def flip_a_bit(path: Path) -> None:
    """In the middle, where the weights are."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip_a_bit, lambda p: p.write_bytes(p.read_bytes()[:-100]), lambda p: p.write_bytes(b"")]
)
def test_a_damaged_last_state_falls_back_to_the_one_before_aloud(
    make_trainer: MakeTrainer, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    saved_twice(make_trainer, tmp_path)
    damage(tmp_path / "last.pt")
    state = RunFolder(tmp_path).load()
    assert state is not None
    assert state["step"] == 3
    assert "last.pt is damaged" in caplog.text
    assert "trying the one before" in caplog.text
    assert (tmp_path / "last.damaged").exists()


def test_a_run_whose_states_are_all_damaged_does_not_start_anew_silently(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    saved_twice(make_trainer, tmp_path)
    flip_a_bit(tmp_path / "last.pt")
    flip_a_bit(tmp_path / "previous.pt")
    with pytest.raises(CheckpointError, match=r"cannot be read \(last\.damaged, previous\.damaged\)"):
        make_trainer(tmp_path).run()


def test_a_new_folder_holds_no_state(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "new").load() is None


def test_the_log_drops_what_was_lost_and_torn(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, '{"step": 4, "lo']))
    log = RunLog(tmp_path)
    log.open(Progress(step=2))
    log.note({"loss": 4.0})
    log.note({"loss": 2.0})
    log.note({})
    log.write(Progress(step=4, seconds=2.0, samples=8), share=0.25, seconds_left=6.0, facts={"sigma": 0.5})
    log.close()
    written = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in written] == [1, 2, 4]
    assert written[-1]["loss"] == 3.0
    assert written[-1]["sigma"] == 0.5


def test_the_line_for_people_says_how_long_it_takes(tmp_path: Path) -> None:
    shown: list[str] = []
    log = RunLog(tmp_path, shown.append)
    log.open(Progress())
    log.note({"loss": 4.0, "lr": 1e-3})
    log.write(Progress(step=10, seconds=20.0, samples=80), share=0.25, seconds_left=7260.0, facts={"sigma": 0.5})
    log.close()
    assert shown == [" 25.0%  step 10  4.0 samples/s  loss 4.000  sigma 0.500  2 h 01 min left"]


def test_without_tensorboard_a_run_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    caplog.set_level("INFO")
    log = RunLog(tmp_path)
    log.open(Progress())
    log.close()
    assert "rnnpose_ros[train]" in caplog.text


def test_tensorboard_shows_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = RunLog(tmp_path)
    log.open(Progress())
    log.note({"loss": 4.0})
    log.write(Progress(step=7, seconds=1.0, samples=8), share=0.5, seconds_left=1.0, facts={"sigma": 0.5})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {(tag, e.step, e.value) for tag in events.Tags()["scalars"] for e in events.Scalars(tag)} == {
        ("loss", 7, 4.0),
        ("sigma", 7, 0.5),
    }
