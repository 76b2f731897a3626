"""``rnnpose make-demo-sequence``: draws the packaged demonstration again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("make-demo-sequence", help="draw the packaged demonstration object and video again")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of objects/ and sequences/")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every n-th frame, for a quick look")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draws; minutes on two cores."""
    from rnnpose_ros.data.demo_sequence.tea_box import LABEL
    from rnnpose_ros.data.demo_sequence.writer import write_object, write_sequence
    from rnnpose_ros.errors import InputError

    if args.every < 1 or args.seed < 0:
        raise InputError("--every must be at least 1 and --seed at least 0")
    object_folder = args.out / "objects" / "demo" / LABEL
    write_object(object_folder)
    print("lighting the scenery", file=sys.stderr)
    write_sequence(
        args.out / "sequences" / LABEL, object_folder, seed=args.seed, every=args.every, on_frame=_show_progress
    )
    print(f"\nwrote {object_folder} and {args.out / 'sequences' / LABEL}", file=sys.stderr)
    return 0


def _show_progress(done: int, total: int) -> None:
    print(f"\rframe {done} of {total}", end="", file=sys.stderr, flush=True)
