"""Weights come back as they were written, and anything else is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, describe, load_network, read_info, save_checkpoint
from rnnpose_ros.errors import CheckpointError
from rnnpose_ros.networks.rnnpose_network import NetworkConfig, RnnposeNetwork

SMALLER = NetworkConfig(feature_widths=(8, 8, 16, 16), feature_channels=16, context_widths=(8, 8, 8, 16))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, RnnposeNetwork]:
    network = RnnposeNetwork(SMALLER)
    path = tmp_path / "weights.safetensors"
    info = CheckpointInfo(network=describe(network), provenance={"minutes": 3}, calibration={"score_bias": 1.5})
    save_checkpoint(path, network, info)
    return path, network


def test_network_and_facts_come_back(saved: tuple[Path, RnnposeNetwork]) -> None:
    path, network = saved
    loaded, info = load_network(path)
    assert loaded.config == SMALLER
    assert not loaded.training
    assert info.provenance == {"minutes": 3}
    assert info.calibration == {"score_bias": 1.5}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_half_precision_is_half_the_size_and_loads_as_float32(
    saved: tuple[Path, RnnposeNetwork], tmp_path: Path
) -> None:
    path, network = saved
    save_checkpoint(tmp_path / "half.safetensors", network, read_info(path), half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * path.stat().st_size
    loaded, _ = load_network(tmp_path / "half.safetensors")
    assert all(t.dtype == torch.float32 for t in loaded.state_dict().values())


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights at .*gone\.safetensors"):
        load_network(tmp_path / "gone.safetensors")


def test_truncated_file_is_called_damaged(saved: tuple[Path, RnnposeNetwork]) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_network(path)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="not written by this package"):
        load_network(tmp_path / "foreign.safetensors")


def test_missing_tensor_is_named(saved: tuple[Path, RnnposeNetwork]) -> None:
    path, network = saved
    tensors = load_file(path)
    del tensors["log_sigma"]
    info = read_info(path)
    save_checkpoint(path, network, info)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(CheckpointError, match="log_sigma"):
        load_network(path)
