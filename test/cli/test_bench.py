"""``rnnpose bench`` as somebody types it."""

from __future__ import annotations

import json

import pytest

from rnnpose_ros.cli.main import main
from rnnpose_ros.stages import STAGES

QUICK = ("--runs", "1", "--set", "cycles=1", "--set", "iterations=1")


@pytest.mark.slow
def test_the_published_network_is_timed_without_a_checkpoint(capsys):
    assert main(["bench", "--network", "paper", "--faces", "1280", "--json", *QUICK]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["network"], facts["precision"], facts["faces"]) == ("paper", "float32", 1280)
    assert all(facts["stages_ms"][name] > 0 for name in STAGES)
    assert facts["p95_ms"] >= facts["p50_ms"] > 0


def test_the_table_names_every_stage_of_the_small_network(capsys):
    assert main(["bench", *QUICK]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*STAGES, "rest", "whole", "processor", "import", "peak memory"))
    assert "p99" in out


def test_two_engines_are_timed_in_turn_and_compared(capsys):
    assert main(["bench", "--compare", "eager", "openvino", "--json", *QUICK]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["compare"] == ["eager", "openvino"]
    times = {name: facts["engines"][name]["p50_ms"] for name in ("eager", "openvino")}
    assert facts["ratio"] == pytest.approx(times["openvino"] / times["eager"], abs=2e-3)
    assert [facts["engines"][name]["engine"] for name in times] == list(times)
    assert facts["engines"]["eager"]["precision"] == "float32", "the yardstick is torch as it is"


def test_a_side_of_a_comparison_names_its_precision(capsys):
    assert main(["bench", "--compare", "eager", "eager:bfloat16", "--json", *QUICK]) == 0
    sides = json.loads(capsys.readouterr().out)["engines"]
    assert [facts["precision"] for facts in sides.values()] == ["float32", "bfloat16"]


@pytest.mark.slow
def test_the_compiled_engine_needs_less_of_the_processor_than_eager_torch(capsys):
    assert main(["bench", "--compare", "eager", "openvino", "--json", "--runs", "5", "--set", "cycles=1"]) == 0
    assert json.loads(capsys.readouterr().out)["cpu_ratio"] < 0.6


def test_a_trace_shows_every_stage(tmp_path, capsys):
    path = tmp_path / "traces" / "trace.json"
    assert main(["bench", "--profile", str(path), *QUICK]) == 0
    names = {event.get("name") for event in json.loads(path.read_text())["traceEvents"]}
    assert {f"rnnpose/{name}" for name in STAGES if name != "describe"} <= names


def test_objects_and_faces_are_cases_of_their_own(capsys):
    assert main(["bench", "--objects", "1", "--objects", "2", "--faces", "1280", "--json", *QUICK]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(f["objects"], f["faces"]) for f in lines] == [(1, 1280), (2, 1280)]
    assert all(f["p50_ms"] <= f["p95_ms"] <= f["p99_ms"] for f in lines)


def test_one_engine_is_no_comparison(capsys):
    assert main(["bench", "--compare", "eager", "eager", *QUICK]) == 2
    assert "expected two engines" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--runs", "0"), ("--objects", "0")])
def test_nothing_to_time_is_refused(arguments, capsys):
    assert main(["bench", *arguments]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_a_renderer_that_is_not_installed_is_refused_with_how_to_build_it(without_pytorch3d, capsys):
    assert main(["bench", "--renderer", "pytorch3d", *QUICK]) == 2
    assert "build it from source" in capsys.readouterr().err
