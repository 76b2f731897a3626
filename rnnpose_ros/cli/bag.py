"""``rnnpose bag``: the node's work over a recording, without ROS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from rnnpose_ros.ros.parameters import NodeConfig
    from rnnpose_ros.types import CameraIntrinsics, PoseHypothesis


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("bag", help="refine the objects in a rosbag2 or MCAP recording, without ROS")
    parser.add_argument("recording", type=Path, help="rosbag2 folder, or a .mcap or .db3 file")
    parser.add_argument("--out", type=Path, help="folder for the recording of the results, report, table and summary")
    parser.add_argument("--list", action="store_true", help="list the recording's topics, and do nothing else")
    parser.add_argument("--objects", default="", help="a mesh, an object.yaml or a folder of them")
    what = parser.add_argument_group("what is read (by default what fits by type and name; it says what it took)")
    what.add_argument("--image", default="", metavar="TOPIC", help="pictures")
    what.add_argument("--camera-info", default="", metavar="TOPIC", help="their camera infos")
    what.add_argument("--camera", type=Path, help="camera.json instead: fx fy cx cy width height, no distortion")
    what.add_argument("--poses", action="append", default=[], metavar="TOPIC", help="rough poses; may be repeated")
    what.add_argument("--pose", type=Path, help='rough pose in the first picture: {"label", "R" 3x3, "t_m" 3}')
    what.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds to leave out at the beginning")
    what.add_argument("--duration", type=float, metavar="S", help="seconds to read")
    what.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th picture")
    node = parser.add_argument_group("as the node is told")
    node.add_argument("--params-file", type=Path, help="the node's parameters, YAML")
    node.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one parameter of the node")
    node.add_argument("--weights", default="", help="safetensors file (default: the packaged small network)")
    node.add_argument("--device", default="", help="auto, cpu or cuda (default: auto)")
    result = parser.add_argument_group("what is written")
    result.add_argument("--storage", choices=("mcap", "db3"), default="mcap", help="kind of file (default: mcap)")
    result.add_argument("--debug-images", action="store_true", help="write overlay and similarity as well")
    result.add_argument("--name", default="/rnnpose", help="topics as of a node of this name (default: /rnnpose)")
    result.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in --out")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Works through the recording; 0 when poses came out, 1 when none did."""
    from rnnpose_ros.cli.bag_run import BagRun, list_topics, refine_recording
    from rnnpose_ros.ros.bags.replay import ReplaySettings
    from rnnpose_ros.ros.bags.topics import TopicWishes

    if args.list:
        print(list_topics(args.recording))
        return 0
    if args.out is None:
        raise InputError("--out is needed: the folder for the results")
    if args.every < 1 or args.start < 0 or (args.duration is not None and args.duration <= 0):
        raise InputError("--every must be at least 1, --start at least 0, --duration above 0")
    config = _config(args)
    pose = _first_pose(args.pose)
    camera = _camera(args.camera)
    wishes = TopicWishes(
        image=args.image,
        camera_info=args.camera_info,
        poses=tuple(args.poses),
        camera_is_given=camera is not None,
        pose_is_given=pose is not None or any(config.initial_pose.tf_frames),
        own=args.name,
    )
    settings = ReplaySettings(start_s=args.start, duration_s=args.duration, every=args.every, camera=camera, pose=pose)
    summary = refine_recording(
        BagRun(
            recording=args.recording,
            out=args.out,
            config=config,
            wishes=wishes,
            settings=settings,
            storage=args.storage,
            writes_pictures=args.debug_images,
            name=args.name,
            overwrites=args.overwrite,
        )
    )
    return 0 if summary.poses else 1


def _config(args: argparse.Namespace) -> NodeConfig:
    from rnnpose_ros.cli.settings import node_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.ros.parameters import NodeConfig

    given = {"objects_file": args.objects, "weights": args.weights, "device": args.device}
    config = build(NodeConfig, node_settings(args.params_file, args.set, given=given))
    if not config.objects_file:
        raise InputError("--objects is needed: a mesh, an object.yaml or a folder of them")
    return config


def _first_pose(path: Path | None) -> PoseHypothesis | None:
    from rnnpose_ros.cli.refine import hypothesis_from_json
    from rnnpose_ros.sources.sequence_files import read_json

    if path is None:
        return None
    values = read_json(path)
    if not isinstance(values.get("label"), str):
        raise InputError(f'{path}: "label" must say which object it is')
    return hypothesis_from_json(dict(values), default_label="")


def _camera(path: Path | None) -> CameraIntrinsics | None:
    from rnnpose_ros.sources.sequence import read_camera

    return None if path is None else read_camera(path)
