"""``rnnpose train``: trains a refiner on rendered scenes, of random objects or of given ones."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rnnpose_ros.types import ObjectModel


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("train", help="train weights on rendered scenes")
    parser.add_argument("--recipe", default="generic", help="generic (from the start), finetune (from given weights)")
    parser.add_argument(
        "--mesh",
        action="append",
        default=[],
        metavar="FILE_OR_FOLDER",
        help="train on this object (mesh or object.yaml), or on all below this folder; again for more; "
        "without: on random shapes",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/small"), help="the run's folder; a run resumes there")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the work (one core each)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, e.g. minutes=30")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Starts the run, over several processes through torchrun where asked."""
    if args.processes > 1 and "RANK" not in os.environ:
        _become_torchrun(args)
    import torch
    import torch.distributed as dist

    from rnnpose_ros.cli.progress_line import ProgressLine
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer
    from rnnpose_ros.training.recipes import make_recipe
    from rnnpose_ros.training.trainer import Trainer

    rank = int(os.environ.get("RANK", "0"))
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(asctime)s %(message)s")
    distributed = "RANK" in os.environ
    device = args.device
    if device == "cuda" and distributed:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    renderer = WarpRenderer(device)
    recipe = make_recipe(args.recipe, parse_settings(args.set), renderer)
    objects = given_objects(args.mesh)
    if distributed:
        # Gradients go by nccl where they lie on GPUs, everything small by gloo.
        dist.init_process_group("gloo" if args.device == "cpu" else "cpu:gloo,cuda:nccl")
    try:
        with ProgressLine("train") as line:
            trainer = Trainer(recipe, renderer, args.out, objects=objects, show=line.show)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: trainer.stop())
            finished = trainer.run()
    finally:
        if distributed:
            dist.destroy_process_group()
    if rank == 0:
        print(_last_words(args.out, finished=finished))
    return 0 if finished else 130


def _last_words(out: Path, *, finished: bool) -> str:
    if finished:
        return f"weights in {out / 'weights.safetensors'}"
    return f"stopped and saved; the same command goes on from there, and {out / 'weights.safetensors'} can be used"


def given_objects(addresses: Sequence[str]) -> list[ObjectModel]:
    """The objects of mesh files, object descriptions, and folders of these."""
    from rnnpose_ros.objects.library import ObjectLibrary, load_object
    from rnnpose_ros.paths import resolve_path

    models = []
    for address in addresses:
        path = resolve_path(address)
        if path.is_dir() and not (path / "object.yaml").is_file():
            models += list(ObjectLibrary.from_directory(path).values())
        else:
            models.append(load_object(path))
    return models


def _become_torchrun(args: argparse.Namespace) -> NoReturn:
    """The same command under torchrun, in this process's place, so that signals reach it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={args.processes}"]
    command += ["-m", "rnnpose_ros.cli.main", "train", "--recipe", args.recipe]
    command += ["--out", str(args.out), "--device", args.device]
    for mesh in args.mesh:
        command += ["--mesh", mesh]
    for setting in args.set:
        command += ["--set", setting]
    os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})
