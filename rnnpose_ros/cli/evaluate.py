"""``rnnpose evaluate``: accuracy on a recorded sequence with reference poses; its stages measure on datasets."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rnnpose_ros.cli.engine import add_engine_arguments, refiner_of
from rnnpose_ros.cli.evaluate_benchmark import add_benchmark_arguments, run_benchmark
from rnnpose_ros.cli.evaluate_dataset import add_stages
from rnnpose_ros.errors import ConfigError, InputError

if TYPE_CHECKING:
    from rnnpose_ros.geometry.perturbation import PoseNoise


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("evaluate", help="measure accuracy on a sequence or dataset with reference poses")
    parser.add_argument("--data", type=Path, help="folder: camera.json, poses.json, mesh, video or pictures")
    parser.add_argument("--seeds", type=int, help="starts per frame (default: 3; of the benchmark 1, at most 3)")
    parser.add_argument(
        "--noise", help="of the starts: N1 (15 deg, 1/1/5 cm; default), N2, N3 (45 to 90 deg), or a factor on N1"
    )
    parser.add_argument(
        "--spread",
        type=int,
        default=1,
        metavar="N",
        help="refine from N poses: each start and turns of it up to 90 deg",
    )
    parser.add_argument("--every", type=int, default=1, help="take every so many reference frames")
    parser.add_argument(
        "--grey", action="store_true", help="take the colour out of the pictures; of the benchmark: as a second round"
    )
    parser.add_argument(
        "--out", type=Path, help="write every trial to this CSV file; of the benchmark: folder for everything"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of the table")
    add_engine_arguments(parser)
    add_benchmark_arguments(parser)
    parser.set_defaults(run=run)
    add_stages(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluates and prints."""
    if args.benchmark:
        if args.spread != 1:
            raise InputError("--spread is for sequences (--data), not for --benchmark")
        return run_benchmark(args)
    from rnnpose_ros.evaluation.benchmark import Trial, evaluate_sequence, summarize
    from rnnpose_ros.sources.sequence import read_sequence

    if args.data is None:
        raise InputError("give --data FOLDER (a sequence), or a stage: rnnpose evaluate predict --dataset FOLDER")
    seeds, (noise, noise_scale) = args.seeds or 3, _noise(args.noise)
    if not 1 <= args.spread <= 1000:
        raise ConfigError(f"--spread: expected 1 to 1000 poses, got {args.spread}")
    sequence = read_sequence(args.data)
    refiner = refiner_of(args)
    trials: list[Trial] = []
    total = seeds * len(sorted(sequence.poses)[:: args.every])
    for trial in evaluate_sequence(
        refiner, sequence, seeds=seeds, noise=noise, noise_scale=noise_scale, spread=args.spread, every=args.every,
        grey=args.grey,
    ):  # fmt: skip
        trials.append(trial)
        if sys.stderr.isatty():
            print(f"\r{len(trials)}/{total}", end="", file=sys.stderr, flush=True)
    if args.out:
        _write_csv(args.out, trials)
    summary = summarize(trials)
    print(json.dumps(summary) if args.json else _table(summary))
    return 0


def _noise(text: str | None) -> tuple[PoseNoise, float]:
    """The start noise, and the factor on it."""
    from rnnpose_ros.geometry.perturbation import N1, NOISES

    if text in NOISES:
        return NOISES[text], 1.0
    try:
        factor = 1.0 if text is None else float(text)
    except ValueError:
        factor = -1.0
    if not 0.0 <= factor < 100.0:
        raise ConfigError(f"--noise: expected {', '.join(NOISES)} or a factor on N1, such as 0.2, got {text!r}")
    return N1, factor


def _table(summary: dict[str, float]) -> str:
    lines = [f"{int(summary['cases'])} cases                median px   < 1 px   < 2 px   < 5 px"]
    for title, name in (
        ("start, all vertices", "initial_px"),
        ("refined, all vertices", "refined_px"),
        ("start, visible surface", "initial_visible_px"),
        ("refined, visible surface", "refined_visible_px"),
    ):
        shares = "".join(f"{100 * summary[f'{name}_under_{limit}']:8.1f}%" for limit in (1, 2, 5))
        lines.append(f"{title:26}{summary[f'{name}_median']:9.2f}{shares}")
    lines.append(
        f"refined: {summary['rotation_deg_median']:.2f} deg, {summary['translation_mm_median']:.1f} mm (medians), "
        f"ADD-0.1d {100 * summary['add_01d']:.1f}%, usable {100 * summary['usable']:.1f}%"
    )
    return "\n".join(lines)


def _write_csv(path: Path, trials: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dataclasses.asdict(trials[0])) if trials else [])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(t) for t in trials)
