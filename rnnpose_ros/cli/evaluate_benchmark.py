"""``rnnpose evaluate --benchmark syn``: accuracy on the path-traced benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnpose_ros.cli.engine import refiner_of
from rnnpose_ros.errors import ConfigError, InputError

if TYPE_CHECKING:
    from rnnpose_ros.data.syn.reading import Benchmark
    from rnnpose_ros.evaluation.syn import SynMeter, SynTrial
    from rnnpose_ros.refinement.refiner import Refiner

_DEFAULT_FOLDER = Path("benchmark_data/syn")
_BASIN_SPARSER = 5
"""Seven starts a frame: of the frames one in five is enough."""


def add_benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``evaluate`` takes beside the options that a sequence has too."""
    group = parser.add_argument_group("with --benchmark syn (--data: its folder, default benchmark_data/syn)")
    group.add_argument("--benchmark", choices=("syn",), help="score on the benchmark instead of a sequence")
    group.add_argument("--objects", metavar="A,B", help="only these of its objects")
    group.add_argument(
        "--onboarded", type=Path, metavar="DIR", help="each object by the weights in DIR/OBJECT; others are left out"
    )
    group.add_argument("--gap", action="store_true", help="also on the training renderer's pictures of the same poses")
    group.add_argument("--basin", action="store_true", help="also recall against the start's angle, 0 to 90 degrees")


def run_benchmark(args: argparse.Namespace) -> int:
    """Evaluates and prints; ``--out FOLDER`` keeps trials, scores and a page."""
    from rnnpose_ros.cli.progress_line import ProgressLine
    from rnnpose_ros.data.syn.reading import read_benchmark
    from rnnpose_ros.evaluation.syn import BASIN_DEG, SynMeter
    from rnnpose_ros.evaluation.syn_report import as_json, text_tables

    noise, starts = _checked(args)
    benchmark = read_benchmark(args.data or _DEFAULT_FOLDER)
    refiners = _refiners(args, _labels(args.objects, benchmark))
    meter = SynMeter(benchmark, refiners, every=args.every)
    total = (1 + args.grey + args.gap) * starts * len(meter.frames())
    total += len(BASIN_DEG) * len(meter.frames(sparser=_BASIN_SPARSER)) if args.basin else 0
    trials: list[SynTrial] = []
    with ProgressLine("evaluate") as line:
        for trial in _all_trials(args, meter, benchmark, noise, starts):
            trials.append(trial)
            line.show(f"{len(trials)}/{total} refinements")
    facts = _facts(args, benchmark, meter, noise, refiners)
    if args.out:
        _keep(args.out, trials, noise, facts)
    print(json.dumps(as_json(trials, facts=facts)) if args.json else text_tables(trials, noise=noise))
    return 0


def _checked(args: argparse.Namespace) -> tuple[str, int]:
    """Name of the noise, and starts per frame."""
    from rnnpose_ros.geometry.perturbation import NOISES

    noise, starts = args.noise or "N1", 1 if args.seeds is None else args.seeds
    if noise not in NOISES:
        raise ConfigError(f"--noise: expected one of {', '.join(NOISES)} with --benchmark, got {noise!r}")
    for name, value in (("seeds", starts), ("every", args.every)):
        if value < 1:
            raise ConfigError(f"--{name}: expected at least 1, got {value}")
    return noise, starts


def _labels(asked: str | None, benchmark: Benchmark) -> list[str]:
    known = [entry.label for entry in benchmark.objects.values()]
    labels = known if asked is None else [label.strip() for label in asked.split(",")]
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise ConfigError(f"--objects: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    return labels


def _refiners(args: argparse.Namespace, labels: Sequence[str]) -> dict[str, Refiner]:
    """One for all objects, or one for each that has weights of its own."""

    if args.onboarded is None:
        return dict.fromkeys(labels, refiner_of(args))
    if args.weights is not None:
        raise ConfigError("--weights and --onboarded exclude each other: both say what refines")
    found = {label: sorted((args.onboarded / label).glob("*.safetensors")) for label in labels}
    several = [label for label, files in found.items() if len(files) > 1]
    if several or not any(found.values()):
        raise InputError(
            f"--onboarded {args.onboarded}: expected one .safetensors file in a folder for each object "
            f"({', '.join(labels)}), got {'several for ' + ', '.join(several) if several else 'none'}"
        )
    return {
        label: refiner_of(argparse.Namespace(**vars(args) | {"weights": files[0]}))
        for label, files in found.items()
        if files
    }


def _all_trials(
    args: argparse.Namespace, meter: SynMeter, benchmark: Benchmark, noise: str, starts: int
) -> Iterator[SynTrial]:
    yield from meter.trials(noise=noise, starts=starts)
    if args.grey:
        yield from meter.trials(noise=noise, starts=starts, grey=True)
    if args.gap:
        from rnnpose_ros.evaluation.syn_retake import TrainingRetake
        from rnnpose_ros.rendering.warp_renderer import WarpRenderer

        retake = TrainingRetake(benchmark, WarpRenderer(args.device))
        yield from meter.trials(noise=noise, starts=starts, retake=retake)
    if args.basin:
        yield from meter.basin(sparser=_BASIN_SPARSER)


def _facts(
    args: argparse.Namespace, benchmark: Benchmark, meter: SynMeter, noise: str, refiners: Mapping[str, Refiner]
) -> dict[str, str]:
    from rnnpose_ros.checkpoints.checkpoint import default_weights

    config = next(iter(refiners.values())).config
    return {
        "benchmark": str(benchmark.dataset.folder),
        "frames": str(len(meter.frames())),
        "objects": ", ".join(refiners),
        "noise": noise,
        "weights": f"{args.onboarded}, one for each object"
        if args.onboarded
        else str(args.weights or default_weights()),
        "cycles x iterations": f"{config.cycles} x {config.iterations}",
    }


def _keep(folder: Path, trials: list[SynTrial], noise: str, facts: dict[str, str]) -> None:
    from rnnpose_ros.evaluation.syn_report import as_json, write_page, write_trials
    from rnnpose_ros.files import make_folder, write_json

    make_folder(folder)
    write_trials(folder / "trials.csv", trials)
    write_json(folder / "scores.json", as_json(trials, facts=facts))
    write_page(folder / "report.html", trials, noise=noise, facts=facts)
