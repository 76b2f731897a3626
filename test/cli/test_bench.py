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
    assert all(name in out for name in (*STAGES, "rest", "whole", "processor", "peak memory"))


@pytest.mark.parametrize("arguments", [("--runs", "0"), ("--objects", "0")])
def test_nothing_to_time_is_refused(arguments, capsys):
    assert main(["bench", *arguments]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_a_renderer_that_is_not_installed_is_refused_with_how_to_build_it(without_pytorch3d, capsys):
    assert main(["bench", "--renderer", "pytorch3d", *QUICK]) == 2
    assert "build it from source" in capsys.readouterr().err
