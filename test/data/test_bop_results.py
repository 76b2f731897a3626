"""BOP result files in and out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rnnpose_ros.data.bop.results import HEADER, BopEstimate, best_of_each, read_results, write_results
from rnnpose_ros.errors import InputError, OutputError
from rnnpose_ros.geometry.se3 import exp_se3

GOOD = "3,7,1,0.5,1 0 0 0 1 0 0 0 1,10 20 800,0.25"


def test_estimates_survive_the_file_to_the_last_digit(tmp_path: Path) -> None:
    twists = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    poses = exp_se3(twists)
    written = [BopEstimate(1, i, 2 + i, 0.1 * i, T, time_s=-1.0 if i else 0.125) for i, T in enumerate(poses)]
    write_results(tmp_path / "r.csv", written)
    assert (tmp_path / "r.csv").read_text().startswith(HEADER + "\n1,0,2,0.0,")
    for before, after in zip(written, read_results(tmp_path / "r.csv"), strict=True):
        assert (before.scene_id, before.image_id, before.object_id) == (after.scene_id, after.image_id, after.object_id)
        assert (before.score, before.time_s) == (after.score, after.time_s)
        torch.testing.assert_close(after.T_camera_object, before.T_camera_object, rtol=0, atol=1e-15)


def test_translations_are_millimetres_in_the_file_and_the_header_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(f"{GOOD}\n\n{GOOD.replace('0.25', '-1')}")
    first, second = read_results(tmp_path / "r.csv")
    assert first.T_camera_object[:3, 3].tolist() == pytest.approx([0.01, 0.02, 0.8])
    assert (first.time_s, second.time_s) == (0.25, -1.0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("3,7,1,0.5,1 0 0 0 1 0 0 0 1,10 20 800", "expected 7 values (scene_id,im_id,obj_id,score,R,t,time), got 6"),
        (GOOD.replace("3,7", "3,x7"), "im_id: expected a whole number, got 'x7'"),
        (GOOD.replace("1 0 0 0 1", "1 0 0 1"), "R: expected 9 finite numbers"),
        (GOOD.replace("1 0 0 0 1", "1 0 0 0 2"), "R: not a rotation"),
        (GOOD.replace("800", "nan"), "t: expected 3 finite numbers, separated by spaces, got '10 20 nan'"),
        (GOOD.replace("0.5", "high"), "score: expected 1 finite numbers"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "r.csv").write_text("\n".join([HEADER, GOOD, line, GOOD]))
    with pytest.raises(InputError) as caught:
        read_results(tmp_path / "r.csv")
    assert f"r.csv: line 3: {words}" in str(caught.value)


def test_a_missing_file_and_a_place_that_is_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; expected BOP results"):
        read_results(tmp_path / "none.csv")
    with pytest.raises(OutputError, match=r"cannot write .*r\.csv"):
        write_results(tmp_path / "none" / "r.csv", [])


def test_the_best_come_first_and_equals_keep_their_order() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    estimates = [BopEstimate(1, i, 1, score, eye) for i, score in enumerate((0.2, 0.9, 0.9, 0.1))]
    assert [e.image_id for e in best_of_each(estimates, 3)] == [1, 2, 0]
