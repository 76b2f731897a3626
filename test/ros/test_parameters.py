"""The parameter file, made from the configuration."""

from __future__ import annotations

from pathlib import Path

import yaml

from rnnpose_ros.config import build, flatten, parameters
from rnnpose_ros.ros.parameters import FILE_HEADER, NodeConfig, describe, to_yaml

_PACKAGED = Path(__file__).resolve().parents[2] / "config" / "refiner.yaml"


def _leaves(tree: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tree.items():
        flat.update(_leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return flat


def test_the_packaged_parameter_file_is_not_stale() -> None:
    assert _PACKAGED.read_text() == to_yaml(header=FILE_HEADER), (
        "run: python -m rnnpose_ros.ros.parameters --yaml > config/refiner.yaml"
    )


def test_the_file_gives_back_the_defaults() -> None:
    values = _leaves(yaml.safe_load(to_yaml())["/**"]["ros__parameters"])
    assert flatten(build(NodeConfig, values)) == flatten(NodeConfig())


def test_the_preset_for_thirty_pictures_a_second_tells_the_node_only_what_it_changes() -> None:
    from rnnpose_ros.paths import resolve_path
    from rnnpose_ros.ros.parameter_file import read_parameter_file

    preset = read_parameter_file(_PACKAGED.with_name("thirty_hz.yaml"))
    changed, defaults = flatten(build(NodeConfig, preset)), flatten(NodeConfig())
    assert {name for name in defaults if changed[name] != defaults[name]} == set(preset)
    assert resolve_path(str(changed["tracking.weights"])).is_file()


def test_every_parameter_is_described() -> None:
    silent = [p.name for p in parameters(NodeConfig) if len(describe(p).split(";")[0]) < 10]
    assert silent == []


def test_words_that_yaml_takes_for_booleans_are_quoted() -> None:
    body = yaml.safe_load(to_yaml())["/**"]["ros__parameters"]
    assert body["input_is_rectified"] == "auto"
    assert isinstance(body["engine"], str)
    assert '"' in next(line for line in to_yaml().splitlines() if "engine:" in line)
