"""Reads the checkpoints that RNNPose's and RAFT's authors published into a ``PaperNetwork``.

Strict: every tensor of the file is used once or named as unused, every tensor of the network is filled,
and shapes agree. Nothing but tensors is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import torch
from torch import Tensor

from rnnpose_ros.checkpoints.official_names import UNUSED_SUFFIXES, Table, published_table, raft_table
from rnnpose_ros.errors import CheckpointError
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.networks.paper_network import PaperNetwork

_PARALLEL_PREFIX = "module."
_RAFT_ONLY_PREFIX = "cnet."


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a published checkpoint's tensors."""

    used: tuple[str, ...]
    unused: tuple[str, ...]
    """Known by name to influence no result."""


def read_published(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file, without the prefix that data-parallel training leaves.

    Raises:
        CheckpointError: The file is missing, damaged, or holds something else than named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give an existing .tckpt or .pth file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError, BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged or is no file of plain tensors ({str(error)[:200]})") from None
    if not isinstance(content, Mapping) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise CheckpointError(f"{path}: expected names with tensors, got {type(content).__name__}")
    return {str(name).removeprefix(_PARALLEL_PREFIX): tensor for name, tensor in content.items()}


def load_published(network: PaperNetwork, tensors: Mapping[str, Tensor], *, source: str) -> Conversion:
    """Fills the whole network with a published RNNPose checkpoint, and sets the conventions these weights expect.

    Args:
        network: With the separable recurrent unit.
        tensors: From :func:`read_published`.
        source: What messages call the file.

    Raises:
        CheckpointError: Names are missing or foreign, or shapes differ. The network is then untouched.
    """
    table = published_table()
    absent = sorted(network.state_dict().keys() ^ table.keys())
    if absent:
        raise CheckpointError(f"the published weights do not fit this network's configuration: {absent[:3]}")
    unused = tuple(sorted(name for name in tensors if name.endswith(UNUSED_SUFFIXES)))
    conversion = _fill(network, table, tensors, unused, source)
    network.config = dataclasses.replace(network.config, input_scaling="published")
    network.trained_for = dataclasses.replace(network.trained_for, convention=CropConvention.OFFICIAL)
    return conversion


def is_raft(tensors: Mapping[str, Tensor]) -> bool:
    """True where the names are RAFT's and not RNNPose's."""
    return any(name.startswith("fnet.") for name in tensors)


def load_raft(network: PaperNetwork, tensors: Mapping[str, Tensor], *, source: str) -> Conversion:
    """Fills image encoder and update block with a RAFT checkpoint; RAFT's context encoder has no place here.

    Raises:
        CheckpointError: See :func:`load_published`.
    """
    unused = tuple(sorted(name for name in tensors if name.startswith(_RAFT_ONLY_PREFIX)))
    return _fill(network, raft_table(), tensors, unused, source)


def _fill(
    network: PaperNetwork, table: Table, tensors: Mapping[str, Tensor], unused: tuple[str, ...], source: str
) -> Conversion:
    wanted = [name for names in table.values() for name in names]
    problems = [f"missing {name}" for name in wanted if name not in tensors]
    problems += [f"foreign {name}" for name in sorted(tensors.keys() - set(wanted) - set(unused))]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise CheckpointError(f"{source} is not a checkpoint of this layout: {'; '.join(problems[:4])}{more}")
    state = network.state_dict()
    filled = {target: _joined(target, [tensors[n] for n in names], names) for target, names in table.items()}
    wrong = [
        f"{table[t]} {tuple(x.shape)} for {tuple(state[t].shape)}"
        for t, x in filled.items()
        if x.shape != state[t].shape
    ]
    if wrong:
        raise CheckpointError(f"{source}: shapes differ: {'; '.join(wrong[:4])}")
    network.load_state_dict({**state, **filled})
    return Conversion(used=tuple(wanted), unused=unused)


def _joined(target: str, parts: list[Tensor], names: tuple[str, ...]) -> Tensor:
    """One tensor of ours: 1x1 convolutions over points become linear layers, single numbers lose their axis."""
    for name, part in zip(names, parts, strict=True):
        if not part.is_floating_point() or not bool(torch.isfinite(part).all()):
            raise CheckpointError(f"{name} ({part.dtype}) is no finite floating point tensor")
    if len({p.shape[1:] for p in parts}) > 1:
        raise CheckpointError(f"{names} have different shapes: {[tuple(p.shape) for p in parts]}")
    tensor = torch.cat([p.float() for p in parts]) if len(parts) > 1 else parts[0].float()
    if target.endswith((".bottleneck.weight", ".mix.weight")) and tensor.dim() == 3 and tensor.shape[2] == 1:
        return tensor[:, :, 0]
    return tensor.reshape(()) if target == "sigma" and tensor.numel() == 1 else tensor
