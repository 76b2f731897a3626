"""``rnnpose benchmark_data``: renders the benchmark SYN with a path tracer."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

_EDITIONS = ("small", "tiny")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("benchmark_data", help="render the benchmark SYN (path-traced, resumable)")
    parser.add_argument("--out", type=Path, default=Path("benchmark_data/syn"), help="folder (default: %(default)s)")
    parser.add_argument("--edition", choices=_EDITIONS, default="small", help="300 or 12 frames (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another benchmark of the same kind (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Renders what is missing; interrupted, it goes on where it was."""
    from rnnpose_ros.cli.progress_line import ProgressLine, remaining_time
    from rnnpose_ros.data.syn.dataset import BenchmarkOrder, Progress, write_benchmark

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    started = time.monotonic()
    with ProgressLine("benchmark_data") as line:

        def show(progress: Progress) -> None:
            left = remaining_time(started, done=progress.made, missing=progress.frames - progress.done)
            line.show(f"{progress.done}/{progress.frames} frames{left}")

        order = BenchmarkOrder(out=args.out, edition=args.edition, seed=args.seed)
        made = write_benchmark(order, on_frame=show)
    print(f"{args.out}: {made.frames} frames, {made.made} made now")
    print(f"score them: rnnpose evaluate --benchmark syn --data {args.out}")
    return 0
