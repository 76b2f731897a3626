"""``rnnpose convert``: weights that RNNPose's or RAFT's authors published, as a checkpoint of this package."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from rnnpose_ros.checkpoints.official_weights import Conversion
    from rnnpose_ros.networks.paper_network import PaperNetwork
    from rnnpose_ros.types import ObjectModel


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("convert", help="convert published RNNPose or RAFT weights")
    parser.add_argument("published", type=Path, help="the authors' file: .tckpt of RNNPose, .pth of RAFT")
    parser.add_argument(
        "--mesh",
        type=Path,
        action="append",
        default=[],
        help="mesh (or object.yaml) that the weights were trained with",
    )
    parser.add_argument("--label", action="append", default=[], help="its name; give --mesh and --label once an object")
    parser.add_argument("--mesh-scale", type=float, help="metres per unit of the mesh files (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .safetensors")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Converts, and says what became of every tensor."""
    if len(args.mesh) != len(args.label) or len(set(args.label)) != len(args.label):
        raise InputError(f"give one --label for each --mesh, all different: got {len(args.mesh)} and {args.label}")
    if args.out.suffix != ".safetensors":
        raise InputError(f"--out: expected a file that ends in .safetensors, got {args.out}")
    import torch

    from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, describe, save_checkpoint
    from rnnpose_ros.checkpoints.official_weights import read_published
    from rnnpose_ros.networks.paper_network import PaperNetwork
    from rnnpose_ros.objects.library import load_object
    from rnnpose_ros.objects.point_pyramid import fingerprint, neighbour_limits

    tensors = read_published(args.published)
    models = [load_object(m, label=n, mesh_scale=args.mesh_scale) for m, n in zip(args.mesh, args.label, strict=True)]
    torch.manual_seed(0)
    network = PaperNetwork()
    conversion = _load(network, tensors, args.published, models)
    info = CheckpointInfo(
        network=describe(network),
        convention=network.trained_for.convention.value,
        labels=tuple(args.label),
        provenance={
            "converted_from": args.published.name,
            "sha256": hashlib.sha256(args.published.read_bytes()).hexdigest(),
            "unused_tensors": list(conversion.unused),
        },
        neighbour_limits=neighbour_limits([m.mesh for m in models]) if models else (),
        meshes={model.label: fingerprint(model.mesh) for model in models},
    )
    save_checkpoint(args.out, network, info)
    print(
        f"{args.out}: {len(conversion.used)} published tensors used, {len(conversion.unused)} without effect left out:"
    )
    print("\n".join(f"  {name}" for name in conversion.unused))
    print(f"labels: {', '.join(args.label) or 'any'}; neighbours at most: {', '.join(map(str, info.neighbour_limits))}")
    return 0


def _load(network: PaperNetwork, tensors: dict[str, Tensor], path: Path, models: Sequence[ObjectModel]) -> Conversion:
    """Fills what the file has; RAFT's files leave the rest of the network random, to be trained."""
    from rnnpose_ros.checkpoints.official_weights import is_raft, load_published, load_raft

    if is_raft(tensors):
        print(f"{path} is a RAFT checkpoint: only image encoder and update block are filled, the rest is random")
        return load_raft(network, tensors, source=str(path))
    if not models:
        raise InputError("published RNNPose weights belong to objects: give --mesh and --label of each")
    return load_published(network, tensors, source=str(path))
