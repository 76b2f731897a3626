"""``rnnpose train``: trains a generic refiner on procedural scenes."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("train", help="train weights on procedurally made scenes")
    parser.add_argument("--out", type=Path, default=Path("runs/small"), help="the run's folder; a run resumes there")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the work (one core each)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, e.g. minutes=30")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Starts the run, over several processes through torchrun where asked."""
    if args.processes > 1 and "RANK" not in os.environ:
        return _launch(args)
    import torch
    import torch.distributed as dist

    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer
    from rnnpose_ros.training.experiment import TrainingConfig
    from rnnpose_ros.training.trainer import Trainer

    rank = int(os.environ.get("RANK", "0"))
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(asctime)s %(message)s")
    config = build(TrainingConfig, parse_settings(args.set))
    distributed = "RANK" in os.environ
    if distributed:
        dist.init_process_group("gloo" if args.device == "cpu" else "nccl")
    if args.device == "cpu":
        torch.set_num_threads(1 if distributed else max(1, (os.cpu_count() or 1)))
    try:
        Trainer(config, WarpRenderer(args.device), args.out).run()
    finally:
        if distributed:
            dist.destroy_process_group()
    return 0


def _launch(args: argparse.Namespace) -> int:
    """The same command under torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={args.processes}"]
    command += ["-m", "rnnpose_ros.cli.main", "train", "--out", str(args.out), "--device", args.device]
    for setting in args.set:
        command += ["--set", setting]
    return subprocess.call(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
