"""``rnnpose demo``: player, detector, refiner and recorder as processes on a real ROS graph, and a report."""

from __future__ import annotations

import argparse
from pathlib import Path

PACKAGED_SEQUENCE = "package://rnnpose_ros/models/sequences/tea_box"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("demo", help="refine a recorded object's pose over real ROS 2 and write a report")
    parser.add_argument("--data", help="folder: camera.json, poses.json, mesh, video or pictures (default: ours)")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder of the report (default: demo_out)")
    parser.add_argument("--weights", default="", help="safetensors file (default: the packaged small network)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--mesh-scale", type=float, default=0.0, help="metres per unit of a bare mesh file")
    parser.add_argument("--seed", type=int, default=0, help="of the start noise")
    parser.add_argument("--noise", type=float, default=1.0, help="factor on the start noise (15 deg, 1/1/5 cm)")
    parser.add_argument("--every", type=int, default=1, help="send each so many-th recorded pose; 0: only the first")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing; 1 is the sequence's own")
    parser.add_argument("--first", type=int, default=0, help="first frame")
    parser.add_argument("--count", type=int, default=0, help="number of frames; 0: all")
    parser.add_argument("--lockstep", action="store_true", help="send a frame only when the last one was answered")
    parser.add_argument("--engine", default="auto", help="auto, eager or openvino (default: auto)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a refiner node's parameter")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the graph and judges it."""
    from rnnpose_ros.cli.demo_graph import DemoSettings
    from rnnpose_ros.cli.settings import parse_settings

    settings = DemoSettings(
        weights=args.weights,
        device=args.device,
        mesh_scale=args.mesh_scale,
        seed=args.seed,
        noise_scale=args.noise,
        every=args.every,
        rate=args.rate,
        first=args.first,
        count=args.count,
        lockstep=args.lockstep,
        engine=args.engine,
        refiner=parse_settings(args.set),
    )
    return run_demo(args.data, args.out, settings=settings)


def run_demo(data: str | Path | None, out: Path, *, settings: object = None) -> int:
    """Play a sequence through the node and write ``report.html``, ``poses.csv`` and ``summary.json``.

    Args:
        data: Folder of the sequence; the packaged one when None.
        out: Folder of the report; made when missing.
        settings: A :class:`~rnnpose_ros.cli.demo_graph.DemoSettings`; the defaults when None.

    Returns:
        0 only if transforms arrived and the refined poses beat the initial ones.

    Raises:
        RnnposeError: The sequence cannot be used, or a process failed.
    """
    from rnnpose_ros.cli.demo_graph import DemoSettings, play
    from rnnpose_ros.cli.demo_report import report
    from rnnpose_ros.sources.sequence import read_sequence

    chosen = settings if isinstance(settings, DemoSettings) else DemoSettings()
    address = str(data or PACKAGED_SEQUENCE)
    sequence = read_sequence(address, mesh_scale=chosen.mesh_scale or None)
    recording = play(sequence, out, settings=chosen)
    summary, table = report(recording, sequence, out, settings=chosen)
    print(table)
    return 0 if summary.passed else 1
