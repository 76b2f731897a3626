"""The command line ``rnnpose``: one verb, one file.

Exit codes: 0 done; 1 it ran and the answer is no; 2 bad arguments or files, with one line on standard error.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from rnnpose_ros import __version__
from rnnpose_ros.errors import RnnposeError

_VERBS = (
    "doctor",
    "demo",
    "refine",
    "bag",
    "evaluate",
    "synthesize",
    "bench",
    "onboard",
    "train",
    "calibrate",
    "convert",
    "soak",
    "make_demo_sequence",
    "benchmark_data",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code."""
    parser = argparse.ArgumentParser(prog="rnnpose", description="Refine 6-DoF object poses in colour images.")
    parser.add_argument("--version", action="version", version=f"rnnpose_ros {__version__}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in _VERBS:
        importlib.import_module(f"rnnpose_ros.cli.{verb}").add_parser(subparsers)
    args = parser.parse_args(arguments)
    try:
        return int(args.run(args))
    except RnnposeError as error:
        print(f"rnnpose {args.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
