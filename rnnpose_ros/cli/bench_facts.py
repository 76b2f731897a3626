"""What ``rnnpose bench`` says of a measurement, as JSON and as a table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnpose_ros.evaluation.start_up import StartUp
    from rnnpose_ros.evaluation.timing import Timing
    from rnnpose_ros.refinement.refiner import Refiner
    from rnnpose_ros.types import ObjectModel


def facts_of(
    args: argparse.Namespace,
    refiner: Refiner,
    model: ObjectModel,
    objects: int,
    timing: Timing,
    start_up: StartUp | None = None,
) -> dict[str, Any]:
    """One case of one engine."""
    import torch

    from rnnpose_ros.acceleration.engines import engine_of

    config = refiner.config
    network_config: Any = getattr(refiner.network, "config", None)
    start = {}
    if start_up is not None:
        start = {
            "import_ms": round(start_up.import_ms, 1),
            "load_s": round(start_up.load_s, 2),
            "first_s": round(start_up.first_s, 2),
        }
    return {
        "network": args.network if network_config is None else network_config.family,
        "engine": engine_of(refiner.network),
        "device": args.device,
        "renderer": args.renderer,
        "precision": "bfloat16" if getattr(refiner.network, "mixed_precision", False) else "float32",
        "threads": args.threads or torch.get_num_threads(),
        "objects": objects,
        "cycles": config.cycles,
        "iterations": config.iterations,
        "crop_px": config.crop_size,
        "vertices": len(model.mesh.vertices),
        "faces": len(model.mesh.faces),
        "runs": timing.runs,
        "p50_ms": round(timing.wall.p50_ms, 1),
        "p95_ms": round(timing.wall.p95_ms, 1),
        "p99_ms": round(timing.wall.p99_ms, 1),
        "cpu_p50_ms": round(timing.cpu.p50_ms, 1),
        "cpu_p95_ms": round(timing.cpu.p95_ms, 1),
        "stages_ms": {name: round(s.p50_ms, 1) for name, s in timing.stages.items()},
        "stages_p95_ms": {name: round(s.p95_ms, 1) for name, s in timing.stages.items()},
        "stages_p99_ms": {name: round(s.p99_ms, 1) for name, s in timing.stages.items()},
        **start,
        "peak_rss_mb": round(timing.peak_rss_mb),
    }


def comparison(a: str, b: str, facts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Two engines on one case; the ratios are of the second over the first, of medians."""
    return {
        "compare": [a, b],
        "ratio": round(facts[b]["p50_ms"] / facts[a]["p50_ms"], 3),
        "cpu_ratio": round(facts[b]["cpu_p50_ms"] / facts[a]["cpu_p50_ms"], 3),
        "engines": dict(facts),
    }


def table(facts: Mapping[str, Any]) -> str:
    """One case of one engine, to read."""
    lines = [_title(facts), f"  {'':10}{'p50':>9}{'p95':>9}{'p99':>9}"]
    for name, ms in facts["stages_ms"].items():
        lines.append(f"  {name:10}{ms:9.1f}{facts['stages_p95_ms'][name]:9.1f}{facts['stages_p99_ms'][name]:9.1f} ms")
    lines.append(f"  {'whole':10}{facts['p50_ms']:9.1f}{facts['p95_ms']:9.1f}{facts['p99_ms']:9.1f} ms")
    lines.append(f"  {'processor':10}{facts['cpu_p50_ms']:9.1f}{facts['cpu_p95_ms']:9.1f}{'':9} ms, all threads")
    if "load_s" in facts:
        lines.append(
            f"  import rnnpose_ros {facts['import_ms']:.0f} ms, loading {facts['load_s']:.1f} s, "
            f"first refinement {facts['first_s']:.1f} s"
        )
    lines.append(f"  peak memory {facts['peak_rss_mb']:7} MB resident, loading included")
    return "\n".join(lines)


def comparison_table(facts: Mapping[str, Any]) -> str:
    """Two engines on one case, to read."""
    a, b = facts["compare"]
    first, second = facts["engines"][a], facts["engines"][b]
    lines = [_title(first, second), f"  {'p50':10}{a:>12}{b:>12}"]
    for name, ms in first["stages_ms"].items():
        lines.append(f"  {name:10}{ms:12.1f}{second['stages_ms'][name]:12.1f} ms")
    lines.append(f"  {'whole':10}{first['p50_ms']:12.1f}{second['p50_ms']:12.1f} ms, ratio {facts['ratio']:.2f}")
    lines.append(
        f"  {'processor':10}{first['cpu_p50_ms']:12.1f}{second['cpu_p50_ms']:12.1f} ms, ratio {facts['cpu_ratio']:.2f}"
    )
    return "\n".join(lines)


def _title(*engines: Mapping[str, Any]) -> str:
    facts = engines[0]
    computed = " and ".join(f"{e['engine']} in {e['precision']}" for e in engines)
    return (
        f"{facts['network']} on {facts['device']} ({computed}, {facts['threads']} threads, "
        f"{facts['renderer']}), {facts['objects']} object(s) of {facts['faces']} faces, "
        f"{facts['cycles']} cycles x {facts['iterations']} iterations, {facts['crop_px']} px crop, {facts['runs']} runs"
    )
