"""Published checkpoints are converted whole or refused with a reason."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
import trimesh
from torch import Tensor

from rnnpose_ros.checkpoints.checkpoint import load_network, read_info
from rnnpose_ros.checkpoints.official_names import UNUSED_SUFFIXES, published_table, raft_table
from rnnpose_ros.checkpoints.official_weights import is_raft, load_published, load_raft, read_published
from rnnpose_ros.cli import convert
from rnnpose_ros.errors import AssetError, CheckpointError, InputError
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.objects.point_pyramid import neighbour_limits
from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.rendering.warp_renderer import WarpRenderer

GATES = ("gates.weight", "gates.bias")


def published_tensors() -> dict[str, Tensor]:
    """A checkpoint in the published layout, made from a network of ours by reading the table backwards."""
    state = PaperNetwork().state_dict()
    tensors: dict[str, Tensor] = {"global_step": torch.zeros(1, dtype=torch.int64)}
    for ours, names in published_table().items():
        parts = state[ours].chunk(len(names)) if state[ours].dim() else [state[ours].reshape(1)]
        for name, part in zip(names, parts, strict=True):
            conv1d = name.endswith(("bottle.weight", "proj_gnn.weight"))
            tensors[name] = (part[..., None] if conv1d else part).clone()
    return tensors


def raft_tensors() -> dict[str, Tensor]:
    """A checkpoint in RAFT's layout, as its data-parallel training saves it."""
    state = PaperNetwork().state_dict()
    tensors = {
        "module.cnet.conv1.weight": torch.zeros(64, 3, 7, 7),
        "module.cnet.norm1.num_batches_tracked": torch.tensor(7),
    }
    for ours, names in raft_table().items():
        for name, part in zip(names, state[ours].chunk(len(names)), strict=True):
            tensors[f"module.{name}"] = part.clone()
    return tensors


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("published") / "cat.tckpt"
    torch.save(published_tensors(), path)
    return path


@pytest.fixture(scope="module")
def mesh_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mesh") / "ball.ply"
    path.write_bytes(trimesh.creation.icosphere(3, radius=0.05).export(file_type="ply"))
    return path


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    convert.add_parser(parser.add_subparsers())
    args = parser.parse_args(["convert", *arguments])
    return args.run(args)


def test_table_names_every_tensor_of_the_network_and_no_published_name_twice():
    table = published_table()
    assert table.keys() == PaperNetwork().state_dict().keys()
    names = [name for parts in table.values() for name in parts]
    assert len(names) == len(set(names)) == 195


@pytest.mark.golden
def test_table_names_every_tensor_of_the_published_layout(shared_dir):
    lines = (shared_dir / "golden" / "official" / "state_dict.txt").read_text().splitlines()
    layout = {line.split(" ", 1)[0] for line in lines}
    used = {name for parts in published_table().values() for name in parts}
    assert used <= layout
    assert all(name.endswith(UNUSED_SUFFIXES) for name in layout - used)


def test_weights_end_up_where_the_table_says():
    tensors, network = published_tensors(), PaperNetwork()
    conversion = load_published(network, tensors, source="x")
    assert conversion.unused == ("global_step",)
    gates = network.update_block.gru.rows.gates.weight
    block = "motion_net.cf_net.update_block.gru.conv"
    assert torch.equal(gates, torch.cat([tensors[f"{block}z1.weight"], tensors[f"{block}r1.weight"]]))
    bottle = tensors["ctx_fea_net.context_fea_extractor_3d.bottle.weight"]
    assert torch.equal(network.context3d.bottleneck.weight, bottle[:, :, 0])


def test_raft_weights_fill_encoder_and_update_block_and_nothing_else(tmp_path):
    torch.save(raft_tensors(), tmp_path / "raft.pth")
    tensors, network = read_published(tmp_path / "raft.pth"), PaperNetwork()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    assert is_raft(tensors)
    conversion = load_raft(network, tensors, source="raft.pth")
    assert conversion.unused == ("cnet.conv1.weight", "cnet.norm1.num_batches_tracked")
    for name, tensor in network.state_dict().items():
        if name not in raft_table():
            assert torch.equal(tensor, before[name]), name
    assert torch.equal(network.features.stem.weight, tensors["fnet.conv1.weight"])


def _without(tensors):
    del tensors["motion_net.sigma.0"]


def _with_more(tensors):
    tensors["motion_net.extra"] = torch.zeros(1)


def _wider(tensors):
    name = "motion_net.image_fea_enc.fnet.conv1.weight"
    tensors[name] = torch.zeros(96, 3, 7, 7)


def _not_finite(tensors):
    tensors["motion_net.sigma.0"] = torch.tensor([float("nan")])


def _uneven_gates(tensors):
    name = "motion_net.cf_net.update_block.gru.convz1.weight"
    tensors[name] = torch.zeros(128, 384, 1, 3)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_without, "missing motion_net.sigma.0"),
        (_with_more, "foreign motion_net.extra"),
        (_wider, r"\(96, 3, 7, 7\)"),
        (_not_finite, "no finite"),
        (_uneven_gates, "different shapes"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_the_network_left_alone(damage, reason):
    tensors, network = published_tensors(), PaperNetwork()
    damage(tensors)
    before = network.features.stem.weight.clone()
    with pytest.raises(CheckpointError, match=reason):
        load_published(network, tensors, source="cat.tckpt")
    assert torch.equal(network.features.stem.weight, before)


class Payload:
    """What a hostile file would run when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize("content", [{"a": Payload()}, {"epoch": 3}, [torch.zeros(2)]])
def test_files_of_anything_but_named_tensors_are_refused(content, tmp_path, capsys):
    torch.save(content, tmp_path / "x.tckpt")
    with pytest.raises(CheckpointError):
        read_published(tmp_path / "x.tckpt")
    assert "unpickled" not in capsys.readouterr().out


def test_missing_and_truncated_files_are_refused(published, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_published(tmp_path / "none.tckpt")
    cut = tmp_path / "cut.tckpt"
    cut.write_bytes(published.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_published(cut)


def test_converted_weights_load_with_their_objects(published, mesh_file, tmp_path, capsys):
    out = tmp_path / "cat.safetensors"
    assert run(str(published), "--mesh", str(mesh_file), "--label", "cat", "--out", str(out)) == 0
    assert "195 published tensors used" in capsys.readouterr().out
    info = read_info(out)
    model = load_object(mesh_file, label="cat")
    assert (info.convention, info.labels) == ("official", ("cat",))
    assert info.neighbour_limits == neighbour_limits([model.mesh])
    network, _ = load_network(out)
    for name, tensor in read_published(published).items():
        if name == "motion_net.sigma.0":
            assert torch.equal(network.sigma.reshape(1), tensor)
    cache = FeatureCache(WarpRenderer("cpu"), network=network)
    with torch.inference_mode():
        assert cache.get(model).encoded.features.descriptors.shape == (642, 32)
    other = load_object(mesh_file, label="cat", mesh_scale=1.1)
    with pytest.raises(AssetError, match="not the one that these weights were made for"):
        cache.get(other)


def test_one_checkpoint_may_hold_several_objects(published, mesh_file, tmp_path):
    second = tmp_path / "dice.ply"
    second.write_bytes(trimesh.creation.box((0.05, 0.04, 0.03)).export(file_type="ply"))
    out = tmp_path / "both.safetensors"
    objects = ["--mesh", str(mesh_file), "--label", "ball", "--mesh", str(second), "--label", "dice"]
    assert run(str(published), *objects, "--out", str(out)) == 0
    info = read_info(out)
    assert info.labels == ("ball", "dice")
    assert set(info.meshes) == {"ball", "dice"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "belong to objects"),
        (["--mesh", "MESH"], "one --label for each"),
        (["--mesh", "MESH", "--label", "a", "--mesh", "MESH", "--label", "a"], "all different"),
    ],
)
def test_conversion_without_its_objects_is_refused(arguments, reason, published, mesh_file, tmp_path):
    filled = [str(mesh_file) if a == "MESH" else a for a in arguments]
    with pytest.raises(InputError, match=reason):
        run(str(published), *filled, "--out", str(tmp_path / "x.safetensors"))
    assert not list(tmp_path.iterdir())


def test_a_missing_mesh_is_refused(published, tmp_path):
    with pytest.raises(AssetError, match=r"no such mesh"):
        run(
            str(published), "--mesh", str(tmp_path / "no.ply"), "--label", "a", "--out", str(tmp_path / "x.safetensors")
        )
