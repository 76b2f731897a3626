"""What the README says is so: its Python runs, its parameter table is the configuration's."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from rnnpose_ros.ros import interface
from rnnpose_ros.ros.parameters import to_table
from rnnpose_ros.sources.sequence import read_sequence, write_image

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.search(r"<!-- python: runs as a test -->\n```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    sequence = read_sequence("package://rnnpose_ros/models/sequences/tea_box")
    for file in Path(sequence.object.mesh_path).parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    shutil.copy(sequence.object.mesh_path, tmp_path / "mug.obj")
    shutil.copy(sequence.folder / "camera.json", tmp_path)
    write_image(tmp_path / "image.png", sequence.frame(30).numpy())
    (tmp_path / "start.json").write_text(json.dumps(sequence.poses[26].tolist()))
    monkeypatch.chdir(tmp_path)
    exec(compile(code.group(1), "README.md", "exec"), {})
    assert "converged" in capsys.readouterr().out


def test_parameter_table_is_not_stale() -> None:
    table = re.search(r"<!-- parameters: .*?-->\n(.*?)<!-- end of parameters -->", README, re.DOTALL)
    assert table is not None
    assert table.group(1) == to_table(), "put the output of: python -m rnnpose_ros.ros.parameters --table"


def test_interface_table_is_not_stale() -> None:
    table = re.search(r"<!-- interface: .*?-->\n(.*?)<!-- end of interface -->", README, re.DOTALL)
    assert table is not None
    assert table.group(1) == interface.to_table(), "put the output of: python -m rnnpose_ros.ros.interface"
