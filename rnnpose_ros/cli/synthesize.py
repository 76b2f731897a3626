"""``rnnpose synthesize``: datasets in BOP's format of one's own meshes."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("synthesize", help="render a BOP-format dataset of your meshes")
    parser.add_argument(
        "--mesh", type=Path, nargs="+", required=True, help="OBJ, PLY, STL, GLB, or object.yaml (with symmetries)"
    )
    parser.add_argument("--mesh-scale", type=float, help="metres per unit of the mesh files (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="the dataset's folder; started again, it goes on there")
    parser.add_argument("--scenes", type=int, default=1, help="each with its camera, materials and distractors")
    parser.add_argument("--images", type=int, default=100, help="pictures in each scene")
    parser.add_argument("--split", default="train", help="train, val, test, test_...: the folder of the scenes")
    parser.add_argument("--camera", type=Path, help="camera.json: fx fy cx cy width height (default: random)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, e.g. objects=3")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes what is missing of the dataset."""
    from rnnpose_ros.cli.progress_line import ProgressLine, remaining_time
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.data.synthetic.randomization import FullFrameConfig
    from rnnpose_ros.data.synthetic.writer import Progress, SynthesisOrder, synthesize
    from rnnpose_ros.errors import ConfigError
    from rnnpose_ros.objects.library import describe_object
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer
    from rnnpose_ros.sources.sequence_files import read_camera

    for name, least in (("scenes", 1), ("images", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name}: expected at least {least}, got {getattr(args, name)}")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    order = SynthesisOrder(
        out=args.out,
        objects=tuple(describe_object(mesh, mesh_scale=args.mesh_scale) for mesh in args.mesh),
        scenes=args.scenes,
        images=args.images,
        seed=args.seed,
        split=args.split,
        camera=None if args.camera is None else read_camera(args.camera),
        config=build(FullFrameConfig, parse_settings(args.set)),
    )
    started = time.monotonic()
    with ProgressLine("synthesize") as line:

        def show(progress: Progress) -> None:
            left = remaining_time(started, done=progress.images_made, missing=progress.images - progress.images_done)
            line.show(f"scene {progress.scene}/{order.scenes}, {progress.images_done}/{progress.images} images{left}")

        made = synthesize(order, WarpRenderer(args.device), on_image=show)
    kept = made.images_done - made.images_made
    print(f"{args.out}: {made.images_done} images in {args.split}, {made.images_made} made now, {kept} were there")
    return 0
