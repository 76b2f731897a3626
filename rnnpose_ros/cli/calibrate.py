"""``rnnpose calibrate``: fits score and covariance of trained weights and writes them into the checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("calibrate", help="fit score and covariance of trained weights on held-out scenes")
    parser.add_argument("--weights", type=Path, required=True, help="trained weights (.safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="where the calibrated weights go")
    parser.add_argument("--scenes", type=int, default=800, help="held-out scenes to refine")
    parser.add_argument("--seed", type=int, default=987_654_321, help="of the scenes")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--half", action="store_true", help="store float16")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Refines the scenes, fits, writes."""
    from rnnpose_ros.checkpoints.checkpoint import load_network, save_checkpoint
    from rnnpose_ros.refinement.refiner import Refiner
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer
    from rnnpose_ros.training.calibration import calibrate

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    network, info = load_network(args.weights, device=args.device)
    report = calibrate(Refiner(network, WarpRenderer(args.device)), scenes=args.scenes, seed=args.seed)
    facts = {
        "calibration_cases": report.cases,
        "calibration_right_share": round(report.right_share, 4),
        "calibration_error": round(report.expected_calibration_error, 4),
        "calibration_auroc": round(report.auroc, 4),
        "calibration_covered_95": round(report.covered_95, 4),
        "calibration_opinions": report.asked,
        "calibration_opinions_error": round(report.asked_error, 4),
        "calibration_opinions_auroc": round(report.asked_auroc, 4),
        "calibration_opinions_auroc_before": round(report.asked_auroc_before, 4),
    }
    known = {name: value for name, value in facts.items() if math.isfinite(value)}
    info = dataclasses.replace(
        info, calibration=dataclasses.asdict(report.calibration), provenance={**info.provenance, **known}
    )
    save_checkpoint(args.out, network, info, half=args.half)
    print(
        f"{report.cases} cases, {100 * report.right_share:.1f}% right; on the held-out half: "
        f"expected calibration error {report.expected_calibration_error:.3f}, AUROC {report.auroc:.3f}, "
        f"{100 * report.covered_95:.1f}% inside their 95% ellipsoid; of {report.asked} that second opinions were asked "
        f"about: error {report.asked_error:.3f}, AUROC {report.asked_auroc:.3f} "
        f"({report.asked_auroc_before:.3f} without them); written to {args.out}"
    )
    return 0
