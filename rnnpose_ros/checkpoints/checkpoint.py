"""Weights on disk: safetensors with the configuration, conventions and provenance in the metadata.

Nothing is ever unpickled, and loading is strict: every tensor of the file is used, every tensor of the
network is filled, shapes agree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from rnnpose_ros.config import build, flatten
from rnnpose_ros.errors import CheckpointError, ConfigError
from rnnpose_ros.files import make_folder, write_whole
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.networks.paper_network import PaperConfig, PaperNetwork, TrainedFor
from rnnpose_ros.networks.precision import use_bfloat16
from rnnpose_ros.networks.rnnpose_network import NetworkConfig, RnnposeNetwork
from rnnpose_ros.paths import resolve_path

_FORMAT = "rnnpose_ros/1"

Network = RnnposeNetwork | PaperNetwork
"""Of any family."""


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """What a checkpoint says of itself."""

    network: dict[str, Any]
    """Flat :class:`NetworkConfig`."""
    convention: str = CropConvention.EXACT.value
    labels: tuple[str, ...] = ()
    """Objects it was trained for; empty = any mesh."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Training command, data, time, machine, git commit."""
    calibration: dict[str, float] = field(default_factory=dict)
    """Constants that turn raw measures into score and covariance."""
    neighbour_limits: tuple[int, ...] = ()
    """Of the point pyramid, for networks with 3D encoders."""
    meshes: dict[str, str] = field(default_factory=dict)
    """Fingerprint of each label's mesh, for networks with 3D encoders: their features lie on its vertices."""


def save_checkpoint(path: Path, network: Network, info: CheckpointInfo, *, half: bool = False) -> None:
    """Writes the file whole or not at all.

    Args:
        path: Ends in .safetensors.
        network: Its parameters are written.
        info: Goes into the metadata.
        half: Store float16 (half the size; loaded back as float32).

    Raises:
        OutputError: It cannot be written.
    """
    tensors = {
        name: (t.detach().cpu().half() if half and t.is_floating_point() else t.detach().cpu()).contiguous()
        for name, t in network.state_dict().items()
    }
    body = {
        "network": info.network,
        "convention": info.convention,
        "labels": list(info.labels),
        "provenance": info.provenance,
        "calibration": info.calibration,
        "neighbour_limits": list(info.neighbour_limits),
        "meshes": info.meshes,
    }
    make_folder(path.parent)
    write_whole(path, save(tensors, metadata={"format": _FORMAT, "info": json.dumps(body)}))


def read_info(path: Path) -> CheckpointInfo:
    """What a checkpoint says of itself, without its tensors.

    Raises:
        CheckpointError: The file is missing, damaged, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}: give an existing .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file or is damaged ({error})") from None
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} was not written by this package: expected format {_FORMAT!r}, got {metadata.get('format')!r}"
        )
    body = json.loads(metadata["info"])
    return CheckpointInfo(
        network=body["network"],
        convention=body["convention"],
        labels=tuple(body["labels"]),
        provenance=body["provenance"],
        calibration=body["calibration"],
        neighbour_limits=tuple(body["neighbour_limits"]),
        meshes=body.get("meshes", {}),
    )


def load_network(
    path: Path, *, device: torch.device | str = "cpu", precision: str = "auto"
) -> tuple[Network, CheckpointInfo]:
    """The network of a checkpoint, in evaluation mode, and what the checkpoint says.

    Args:
        path: A safetensors file of ours.
        device: Where the network goes.
        precision: Of the convolutions, see ``networks.precision``; the paper family always has float32.

    Raises:
        CheckpointError: Missing, damaged, foreign, or tensors that do not fit the configuration.
    """
    path = Path(path)
    info = read_info(path)
    try:
        with torch.device("meta"):
            network = _make_network(info)
    except ConfigError as error:
        raise CheckpointError(f"{path} has a configuration that this version does not know: {error}") from None
    expected = network.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error})") from None
    missing, foreign = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or foreign:
        raise CheckpointError(f"{path} does not fit its configuration: missing {missing[:3]}, foreign {foreign[:3]}")
    wrong = [name for name, t in tensors.items() if t.shape != expected[name].shape]
    if wrong:
        shapes = f"{tuple(tensors[wrong[0]].shape)} instead of {tuple(expected[wrong[0]].shape)}"
        raise CheckpointError(f"{path}: tensor {wrong[0]} has shape {shapes}")
    filled = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    network.load_state_dict(filled, assign=True)
    if isinstance(network, RnnposeNetwork):
        network.mixed_precision = use_bfloat16(precision, device)
    return network.to(device).eval(), info


def _make_network(info: CheckpointInfo) -> Network:
    """The family that the checkpoint names, with random weights."""
    if info.network.get("family") != "paper":
        return RnnposeNetwork(build(NetworkConfig, info.network))
    try:
        convention = CropConvention(info.convention)
    except ValueError:
        known = ", ".join(c.value for c in CropConvention)
        raise CheckpointError(f"unknown crop convention {info.convention!r}; known: {known}") from None
    network = PaperNetwork(build(PaperConfig, info.network))
    network.trained_for = TrainedFor(
        fingerprints=info.meshes, neighbour_limits=info.neighbour_limits, convention=convention
    )
    return network


def describe(network: Network) -> dict[str, Any]:
    """The network's configuration as a flat dictionary for :class:`CheckpointInfo`."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in flatten(network.config).items()}


def default_weights() -> Path:
    """The packaged ``small`` weights: in the repository, or in the installed package's share folder.

    Raises:
        CheckpointError: They are not there.
    """
    path = resolve_path("package://rnnpose_ros/models/weights/small.safetensors")
    if not path.is_file():
        raise CheckpointError(f"the packaged weights are not installed: there is no {path}")
    return path
