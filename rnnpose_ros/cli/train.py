"""``rnnpose train``: trains a refiner on rendered scenes, of random objects or of given ones."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rnnpose_ros.training.trainer import Trainer
    from rnnpose_ros.types import ObjectModel


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("train", help="train weights on rendered scenes")
    parser.add_argument(
        "--recipe",
        default="generic",
        help="generic (any mesh), tiny (the small network's student, for tracking), paper (the published "
        "network, for the objects of --mesh), paper-short (the same in a few hundred cheap steps), finetune (given "
        "weights), outline (adds to given weights where outlines lie)",
    )
    parser.add_argument(
        "--mesh",
        action="append",
        default=[],
        metavar="FILE_OR_FOLDER",
        help="train on this object (mesh or object.yaml), or on all below this folder; again for more; "
        "without: on random shapes",
    )
    parser.add_argument("--out", type=Path, help="the run's folder, where it resumes; without: runs/ and the recipe")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the work (one core each)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, e.g. minutes=30")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Starts the run, over several processes through torchrun where asked."""
    if args.processes > 1 and "RANK" not in os.environ:
        _become_torchrun(args)
    from rnnpose_ros.cli.progress_line import ProgressLine
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer
    from rnnpose_ros.training.recipes import make_recipe
    from rnnpose_ros.training.trainer import Trainer

    out = args.out or Path("runs") / args.recipe
    is_first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if is_first else logging.WARNING, format="%(asctime)s %(message)s")
    with _together(args.device) as device, ProgressLine("train") as line:
        renderer = WarpRenderer(device)
        objects = given_objects(args.mesh)
        recipe = make_recipe(args.recipe, parse_settings(args.set), renderer, objects=objects)
        trainer = Trainer(recipe, renderer, out, objects=objects, show=line.show)
        with stopped_by_signals(trainer):
            finished = trainer.run()
    weights = out / "weights.safetensors"
    if is_first:
        stopped = f"stopped and saved: the same command goes on from there, and {weights} can be used"
        print(f"weights in {weights}" if finished else stopped)
    return 0 if finished else 130


@contextmanager
def _together(device: str) -> Iterator[str]:
    """Joins torchrun's processes, where it started this one; gives the device of this process."""
    if "RANK" not in os.environ:
        yield device
        return
    import torch
    import torch.distributed as dist

    backend = "gloo"
    if device == "cuda":
        gpus, processes = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
        device = f"cuda:{int(os.environ['LOCAL_RANK']) % max(gpus, 1)}"
        if processes <= gpus:  # nccl wants a GPU for each; what is small goes by gloo all the same
            backend = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(device)
    dist.init_process_group(backend)
    try:
        yield device
    finally:
        dist.destroy_process_group()


@contextmanager
def stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and a polite kill end the run after the step it is at."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: trainer.stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


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
    command += ["-m", "rnnpose_ros.cli.main", "train", "--recipe", args.recipe, "--device", args.device]
    command += ["--out", str(args.out)] if args.out else []
    command += [word for mesh in args.mesh for word in ("--mesh", mesh)]
    command += [word for setting in args.set for word in ("--set", setting)]
    os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})
