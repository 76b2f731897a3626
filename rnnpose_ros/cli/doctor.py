"""``rnnpose doctor``: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rnnpose_ros.cli.doctor_findings import Finding, Level, as_json, as_lines, counts, error
from rnnpose_ros.errors import InputError

if TYPE_CHECKING:
    from rnnpose_ros.cli.doctor_transport import TransportQuestion
    from rnnpose_ros.ros.parameters import NodeConfig

_PARTS = ("python", "ros", "transport", "engine")
_EXAMPLES = "package://rnnpose_ros/models/objects"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "doctor",
        help="find out what works on this machine, and what to do about the rest",
        description="Looks at Python, ROS 2, image transport (measured), GPU, weights and objects; changes nothing.",
        epilog="Exit code: 0 when nothing is wrong or there are warnings only, 1 when there is an error, 2 for bad "
        "arguments.",
    )
    parser.add_argument("--only", nargs="+", choices=_PARTS, metavar="PART", help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    node = parser.add_argument_group("as the node is told")
    node.add_argument("--params-file", type=Path, help="the node's parameters, YAML")
    node.add_argument("--objects", default="", help="a mesh, an object.yaml or a folder of them (default: the example)")
    node.add_argument("--weights", default="", help="safetensors file (default: the packaged small network)")
    node.add_argument("--device", default="", help="auto, cpu or cuda (default: auto)")
    node.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one parameter of the node")
    images = parser.add_argument_group("pictures sent")
    images.add_argument("--size", action="append", metavar="WxH", help="may be repeated (default: 640x480, 1280x720)")
    images.add_argument("--rate", type=float, default=30.0, help="pictures a second (default: %(default)s)")
    images.add_argument("--count", type=int, default=45, help="pictures of each kind (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Looks at everything that was asked for; 0 when no error was found, 1 otherwise."""
    checks = _checks(args)
    findings: list[Finding] = []
    section = ""
    for finding in _all(checks[part] for part in args.only or _PARTS):
        findings.append(finding)
        if args.json:
            continue
        if finding.section != section:
            section = finding.section
            print(section)
        print(as_lines(finding), flush=True)
    numbers = counts(findings)
    print(as_json(findings) if args.json else ", ".join(f"{number} {level}" for level, number in numbers.items()))
    return 1 if numbers[Level.ERROR.value] else 0


def _all(checks: Iterable[Callable[[], Iterator[Finding]]]) -> Iterator[Finding]:
    for check in checks:
        try:
            yield from check()
        except ImportError as problem:
            # The machine that needs a doctor may lack what the doctor would look with.
            yield error("python", f"cannot go on: {problem}", f"make setup; or ask with {sys.executable} -m pip check")


def _checks(args: argparse.Namespace) -> dict[str, Callable[[], Iterator[Finding]]]:
    question = _question(args)

    def python() -> Iterator[Finding]:
        from rnnpose_ros.cli.doctor_python import check_python

        return check_python()

    def ros() -> Iterator[Finding]:
        from rnnpose_ros.cli.doctor_ros import check_ros

        return check_ros()

    def transport() -> Iterator[Finding]:
        from rnnpose_ros.cli.doctor_transport import check_transport

        return check_transport(question)

    def engine() -> Iterator[Finding]:
        from rnnpose_ros.cli.doctor_engine import check_engine

        return check_engine(_config(args))

    return dict(zip(_PARTS, (python, ros, transport, engine), strict=True))


def _question(args: argparse.Namespace) -> TransportQuestion:
    from rnnpose_ros.cli.doctor_transport import TransportQuestion

    if args.count < 1 or args.rate <= 0:
        raise InputError("--count must be at least 1, --rate above 0")
    if not args.size:
        return TransportQuestion(rate_hz=args.rate, count=args.count)
    sizes = []
    for text in args.size:
        width, _, height = text.partition("x")
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise InputError(f"--size: expected WIDTHxHEIGHT such as 1280x720, got {text!r}")
        sizes.append((int(width), int(height)))
    return TransportQuestion(tuple(sizes), args.rate, args.count)


def _config(args: argparse.Namespace) -> NodeConfig:
    from rnnpose_ros.cli.settings import node_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.ros.parameters import NodeConfig

    given = {"objects_file": args.objects, "weights": args.weights, "device": args.device}
    values = node_settings(args.params_file, args.set, given=given)
    if not values.get("objects_file"):
        values["objects_file"] = _EXAMPLES
    return build(NodeConfig, values)
