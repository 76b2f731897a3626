"""``rnnpose evaluate predict`` and ``rnnpose evaluate score``: accuracy on a dataset in BOP's format, in two stages."""

from __future__ import annotations

import argparse
import logging
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.cli.engine import add_engine_arguments, refiner_of
from rnnpose_ros.cli.evaluate_thresholds import add_thresholds
from rnnpose_ros.cli.evaluate_traps import add_traps

if TYPE_CHECKING:
    from rnnpose_ros.data.bop.dataset import BopDataset
    from rnnpose_ros.refinement.refiner import Refiner

_ITODD_DELTA_M, _USUAL_DELTA_M = 0.005, 0.015


def add_stages(parser: argparse.ArgumentParser) -> None:
    """Adds the two stages to the verb."""
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", title="stages (predict and score: BOP's datasets)")
    add_traps(stages)
    add_thresholds(stages)
    predict = stages.add_parser("predict", help="refine the targets of a dataset; started again, it goes on")
    predict.add_argument("--dataset", type=Path, required=True, help="the dataset's folder (BOP's format)")
    predict.add_argument("--split", default="test", help="test, test_primesense, val, train_pbr, ...")
    predict.add_argument("--models", default="models", help="folder of the meshes to refine with, e.g. models_cad")
    predict.add_argument("--targets", type=Path, help="targets file (default: test_targets_bop19.json, or all visible)")
    predict.add_argument(
        "--init", default="noise", help="noise, csv:FILE (another method's BOP results) or source:MODULE:FACTORY"
    )
    predict.add_argument("--noise", default="N1", help="N1, N2 or N3, for --init noise")
    predict.add_argument("--seeds", type=int, default=1, help="starts of each instance, for --init noise")
    predict.add_argument("--seed", type=int, default=0, help="of the noise")
    predict.add_argument("--every", type=int, default=1, help="take every so many images")
    predict.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run's folder")
    add_engine_arguments(predict)
    predict.set_defaults(run=run_predict)
    score = stages.add_parser("score", help="measure a finished run; writes RUN/report.html")
    score.add_argument("run_folder", type=Path, metavar="RUN")
    score.add_argument("--dataset", type=Path, help="where the dataset lies now, if it was moved")
    score.add_argument(
        "--vsd-delta", type=float, metavar="M", help="tolerance of VSD (default 0.015; 0.005 for itodd, as BOP)"
    )
    score.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    score.add_argument("--json", action="store_true", help="print one JSON line instead of the table")
    score.set_defaults(run=run_score)


def run_predict(args: argparse.Namespace) -> int:
    """Stage one."""
    from rnnpose_ros.checkpoints.checkpoint import default_weights
    from rnnpose_ros.cli.progress_line import ProgressLine, remaining_time
    from rnnpose_ros.data.bop.dataset import read_bop
    from rnnpose_ros.errors import ConfigError
    from rnnpose_ros.evaluation.predict import configuration, predict
    from rnnpose_ros.evaluation.prediction_run import Manifest, PredictionRun
    from rnnpose_ros.evaluation.start_poses import open_starts

    if args.every < 1:
        raise ConfigError(f"--every: expected at least 1, got {args.every}")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    weights = args.weights or default_weights()
    dataset = read_bop(args.dataset, split=args.split, models=args.models, targets=args.targets)
    starts = open_starts(args.init, dataset.models, noise=args.noise, seeds=args.seeds, seed=args.seed)
    refiner = refiner_of(args)
    manifest = Manifest(
        dataset=str(args.dataset.resolve()),
        split=args.split,
        models=args.models,
        targets="" if args.targets is None else str(args.targets.resolve()),
        every=args.every,
        configuration=configuration(
            dataset,
            starts,
            refiner,
            weights=weights,
            device=args.device,
            renderer=args.renderer,
            precision=_precision(refiner),
        ),
        environment=_environment(weights),
    )
    run = PredictionRun.start(args.out, manifest)
    started, progress = time.monotonic(), None
    with ProgressLine("predict") as line:
        for progress in predict(run, dataset, starts, refiner):
            left = remaining_time(started, done=progress.made, missing=progress.images - progress.done)
            line.show(f"{progress.done}/{progress.images} images{left}")
    assert progress is not None
    print(f"{args.out}: {progress.done} images, {progress.made} predicted now; next: rnnpose evaluate score {args.out}")
    return 0


def run_score(args: argparse.Namespace) -> int:
    """Stage two."""
    import json

    from rnnpose_ros.cli.progress_line import ProgressLine
    from rnnpose_ros.data.bop.dataset import read_bop
    from rnnpose_ros.evaluation.prediction_run import PredictionRun
    from rnnpose_ros.evaluation.published_layouts import layout_of
    from rnnpose_ros.evaluation.score_report import scores_as_json, text_table, write_score_report
    from rnnpose_ros.evaluation.scoring import score_run
    from rnnpose_ros.evaluation.target_errors import ErrorMeter
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    run = PredictionRun.open(args.run_folder)
    manifest = run.manifest
    folder = args.dataset or Path(manifest.dataset)
    dataset = read_bop(folder, split=manifest.split, models=manifest.models, targets=manifest.targets or None)
    layout = layout_of(folder, dataset.evaluation_models)
    meter = ErrorMeter(WarpRenderer(args.device), delta=_vsd_delta(args.vsd_delta, dataset))
    with ProgressLine("score") as line:
        scores = score_run(
            run, dataset, meter, layout, on_image=lambda done, images: line.show(f"{done}/{images} images")
        )
    write_score_report(run.folder, scores, manifest, layout)
    if args.json:
        print(json.dumps(scores_as_json(scores, manifest)))
    else:
        print(f"{text_table(scores)}\nreport: {run.folder / 'report.html'}")
    return 0


def _precision(refiner: Refiner) -> str:
    return "bfloat16" if getattr(refiner.network, "mixed_precision", False) else "float32"


def _environment(weights: Path) -> dict[str, Any]:
    import torch

    from rnnpose_ros import __version__

    return {
        "weights": str(weights),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": f"rnnpose_ros {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    }


def _vsd_delta(given_m: float | None, dataset: BopDataset) -> float:
    """BOP19's tolerance: 15 mm, and 5 mm for ITODD."""
    if given_m is not None:
        return given_m
    return _ITODD_DELTA_M if dataset.folder.resolve().name.lower() == "itodd" else _USUAL_DELTA_M
