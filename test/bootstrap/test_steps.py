"""Steps of the set-up run once, side by side, and fail in one line."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest

from rnnpose_ros.bootstrap.problems import SetupError
from rnnpose_ros.bootstrap.steps import Step, StepRunner


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def runner(tmp_path, said) -> StepRunner:
    return StepRunner(tmp_path / "state", say=said.append)


def python_step(code: str, **options) -> Step:
    return Step("A step", [sys.executable, "-S", "-c", code], **options)


def counting_step(counter, **options) -> Step:
    return python_step(f"open({str(counter)!r}, 'a').write('x')", **options)


def test_a_step_runs_once_for_the_same_inputs_and_again_for_others(runner, tmp_path):
    counter = tmp_path / "counter"
    step = counting_step(counter, inputs=("1",))
    runner.run([step])
    runner.run([step])
    assert counter.read_text() == "x"
    runner.run([replace(step, inputs=("2",))])
    assert counter.read_text() == "xx"


def test_a_step_whose_product_was_deleted_runs_again(runner, tmp_path):
    counter = tmp_path / "counter"
    step = counting_step(counter, produces=counter)
    runner.run([step])
    assert runner.is_done(step)
    counter.unlink()
    assert not runner.is_done(step)


def test_a_failed_step_says_what_failed_why_the_remedy_and_the_log_in_one_line(runner, tmp_path):
    step = python_step("import sys; print('OSError: [Errno 28] No space left on device'); sys.exit(1)")
    with pytest.raises(SetupError) as problem:
        runner.run([step])
    text = str(problem.value)
    assert "\n" not in text
    assert text.startswith("A step failed (OSError: [Errno 28] No space left on device): free some disk space")
    assert text.endswith(str(tmp_path / "state" / "a_step.log"))
    assert not runner.is_done(step)


def test_after_a_failure_only_the_failed_step_runs_again(runner, tmp_path):
    counter = tmp_path / "counter"
    good = counting_step(counter)
    bad = replace(python_step("raise SystemExit(1)"), name="another")
    runner.run([good])
    for _ in range(2):
        with pytest.raises(SetupError, match="another failed"):
            runner.run([good, bad])
    assert counter.read_text() == "x"


def test_a_failure_stops_the_steps_that_run_beside_it(runner):
    endless = replace(python_step("import time; time.sleep(600)"), name="endless")
    began_s = time.monotonic()
    with pytest.raises(SetupError, match="A step failed"):
        runner.run([endless, python_step("raise SystemExit(1)")])
    assert time.monotonic() - began_s < 60
    assert not runner.is_done(endless)


def test_a_fallback_is_tried_once_and_its_end_counts(runner, tmp_path):
    counter = tmp_path / "counter"
    logs = []

    def fallback(log):
        logs.append(log)
        return counting_step(counter).command

    step = python_step("print('not offered'); raise SystemExit(1)", fallback=fallback)
    runner.run([step])
    assert "not offered" in logs[0]
    assert counter.read_text() == "x"
    assert runner.is_done(step)


def test_a_longer_step_reports_its_name_and_time(tmp_path, said):
    runner = StepRunner(tmp_path / "state", say=said.append, quiet_s=0.0)
    runner.run([python_step("import time; time.sleep(0.3)")])
    assert said[0] == "setup: A step ... 0 s"
    assert said[-1] == "setup: A step done in 0 s"


def test_a_short_step_says_nothing(runner, said):
    runner.run([python_step("pass")])
    assert said == []
