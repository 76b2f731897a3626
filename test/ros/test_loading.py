"""What the node loads, under which names, and what it refuses before its first picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, describe, save_checkpoint
from rnnpose_ros.config import build
from rnnpose_ros.errors import AssetError, BackendUnavailableError, CheckpointError, ConfigError
from rnnpose_ros.networks.rnnpose_network import TINY, RnnposeNetwork
from rnnpose_ros.refinement.outline import OutlineConfig
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.ros.loading import check_same_weights, load_engines, load_objects, own_weights
from rnnpose_ros.ros.parameters import NodeConfig


@pytest.fixture
def folder(tmp_path: Path, cube_mesh: Path) -> Path:
    for label, alias in (("mug", "obj_000014"), ("box", "obj_000002")):
        (tmp_path / label).mkdir()
        description = f"label: {label}\nmesh: {cube_mesh}\nmesh_scale: 1.0\naliases: [{alias}]\n"
        (tmp_path / label / "object.yaml").write_text(description)
    return tmp_path


def test_a_renderer_that_is_not_installed_stops_the_node_and_is_not_replaced(without_pytorch3d):
    with pytest.raises(BackendUnavailableError, match="build it from source"):
        load_engines(build(NodeConfig, {"renderer": "pytorch3d", "device": "cpu"}))


def test_an_unknown_renderer_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"warp.*pytorch3d"):
        build(NodeConfig, {"renderer": "opengl"})


def test_aliases_lead_to_the_same_object_and_are_not_objects_of_their_own(folder: Path) -> None:
    objects = load_objects(NodeConfig(objects_file=str(folder)))
    assert sorted(objects) == ["box", "mug"]
    assert objects["obj_000014"] is objects["mug"]


@pytest.mark.parametrize("path", ["mug", "mug/object.yaml"])
def test_a_single_description_has_its_aliases_too(folder: Path, path: str) -> None:
    objects = load_objects(NodeConfig(objects_file=str(folder / path)))
    assert (len(objects), objects["obj_000014"].label) == (1, "mug")


def test_only_the_objects_that_are_asked_for_are_served(folder: Path) -> None:
    objects = load_objects(NodeConfig(objects_file=str(folder), object_ids=("box",)))
    assert list(objects) == ["box"]
    assert "obj_000014" not in objects
    with pytest.raises(AssetError, match="no object is called 'teapot'"):
        load_objects(NodeConfig(objects_file=str(folder), object_ids=("teapot",)))


def test_an_object_that_cannot_be_loaded_is_left_out_aloud(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "mug" / "object.yaml").write_text("label: mug\nmesh: nowhere.obj\nmesh_scale: 1.0\n")
    assert list(load_objects(NodeConfig(objects_file=str(folder)))) == ["box"]
    assert "object 'mug' is left out" in caplog.text


def test_an_object_brings_its_own_weights_and_many_share_the_packaged_ones(
    folder: Path, cube_mesh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (folder / "mug" / "object.yaml").open("a") as file:
        file.write("weights: mug.safetensors\n")
    own = folder / "mug" / "mug.safetensors"
    assert own_weights(NodeConfig(objects_file=str(folder / "mug"))) == own
    assert own_weights(NodeConfig(objects_file=str(folder), object_ids=("mug",))) == own
    with pytest.raises(CheckpointError, match=r"no weights at .*mug\.safetensors"):
        load_engines(NodeConfig(objects_file=str(folder / "mug"), device="cpu"))
    assert caplog.text == ""
    assert own_weights(NodeConfig(objects_file=str(folder))) is None
    assert "mug: made with weights of their own" in caplog.text
    assert own_weights(NodeConfig(objects_file=str(cube_mesh))) is None


def test_objects_that_want_other_weights_are_not_taken_while_running(folder: Path) -> None:
    with (folder / "mug" / "object.yaml").open("a") as file:
        file.write("weights: mug.safetensors\n")
    mug, box = NodeConfig(objects_file=str(folder / "mug")), NodeConfig(objects_file=str(folder / "box"))
    check_same_weights(box, None)
    check_same_weights(mug, own_weights(mug))
    check_same_weights(NodeConfig(objects_file=str(folder / "mug"), weights="any.safetensors"), None)
    with pytest.raises(ConfigError, match=r"want .*mug\.safetensors, and the packaged ones are loaded: start the node"):
        check_same_weights(mug, None)
    with pytest.raises(ConfigError, match=r"want the packaged weights, and .*mug\.safetensors are loaded"):
        check_same_weights(box, own_weights(mug))


def test_tracked_objects_are_refined_by_the_same_network_in_a_programme_of_their_own() -> None:
    settings = {"device": "cpu", "tracking.crop_size": 160, "tracking.outline_rounds": 0}
    same = load_engines(build(NodeConfig, {"device": "cpu"}))
    engines = load_engines(build(NodeConfig, settings))
    assert isinstance(same.full, Refiner)
    assert isinstance(same.short, Refiner)
    assert same.short.config == same.full.config
    assert isinstance(engines.full, Refiner)
    assert isinstance(engines.short, Refiner)
    assert (engines.short.config.crop_size, engines.short.config.outline.rounds) == (160, 0)
    assert engines.full.config.outline.rounds == OutlineConfig().rounds
    assert engines.short.network is engines.full.network
    assert engines.short.features is engines.full.features
    again = engines.under(build(NodeConfig, {**settings, "refine.cycles": 2, "tracking.iterations": 2}))
    assert isinstance(again.full, Refiner)
    assert isinstance(again.short, Refiner)
    assert (again.full.config.cycles, again.short.config.cycles, again.short.config.crop_size) == (2, 2, 160)
    assert again.short.network is engines.full.network


def test_a_network_of_fewer_threads_is_loaded_for_tracked_objects() -> None:
    engines = load_engines(build(NodeConfig, {"device": "cpu", "threads": 2, "tracking.threads": 1}))
    assert isinstance(engines.full, Refiner)
    assert isinstance(engines.short, Refiner)
    assert engines.short.network is not engines.full.network
    same = load_engines(build(NodeConfig, {"device": "cpu", "threads": 2, "tracking.threads": 2}))
    assert isinstance(same.full, Refiner)
    assert isinstance(same.short, Refiner)
    assert same.short.network is same.full.network


def test_tracked_objects_may_have_a_smaller_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, weights = RnnposeNetwork(TINY), tmp_path / "tiny.safetensors"
    save_checkpoint(weights, network, CheckpointInfo(network=describe(network), provenance={}))
    engines = load_engines(build(NodeConfig, {"device": "cpu", "tracking.weights": str(weights)}))
    assert isinstance(engines.full, Refiner)
    assert isinstance(engines.short, Refiner)
    assert engines.short.network is not engines.full.network
    assert engines.short.renderer is engines.full.renderer
    again = engines.under(build(NodeConfig, {"device": "cpu", "tracking.weights": str(weights), "refine.cycles": 2}))
    assert isinstance(again.short, Refiner)
    assert again.short.network is engines.short.network
    with pytest.raises(CheckpointError, match="no weights at"):
        load_engines(build(NodeConfig, {"device": "cpu", "tracking.weights": str(tmp_path / "none.safetensors")}))
