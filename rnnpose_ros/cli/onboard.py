"""``rnnpose onboard``: from a mesh to a refiner with a certificate."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.errors import ConfigError, InputError

if TYPE_CHECKING:
    from rnnpose_ros.evaluation.certificate import Certificate
    from rnnpose_ros.objects.description import ObjectDescription
    from rnnpose_ros.objects.mesh_check import CheckedMesh
    from rnnpose_ros.objects.symmetry_search import SymmetrySuggestion
    from rnnpose_ros.training.onboarding_order import OnboardingOrder
    from rnnpose_ros.types import Mesh

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_SHORTEST_S = 5.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "onboard",
        help="from a mesh to a refiner with a certificate: check, fine-tune, evaluate",
        description="Checks a mesh, fine-tunes the packaged weights to it on rendered pictures, measures both on "
        "held-out pictures of another renderer, keeps the better ones and writes a certificate. Stopped in any way, "
        "the same command goes on.",
        epilog="Exit code: 0 certified, 1 not certified, 2 bad arguments or a mesh that cannot be used, 130 stopped.",
    )
    parser.add_argument("mesh", type=Path, help="OBJ, PLY, STL, GLB, or an object.yaml (its scale and symmetries hold)")
    parser.add_argument("--name", help="the object's label (default: the mesh's file name)")
    parser.add_argument("--set-name", default="mine", help="folder that the object's folder lies in (default: mine)")
    parser.add_argument(
        "--out", type=Path, default=Path("models/objects"), help="where sets lie (default: %(default)s)"
    )
    parser.add_argument("--budget", default="30min", metavar="TIME", help="e.g. 120s, 30min, 1h (default: %(default)s)")
    parser.add_argument("--scale", type=float, help="metres per unit of the mesh file (default 1)")
    parser.add_argument(
        "--symmetry",
        action="append",
        metavar="AXIS:N",
        help="x:2, y:4, z:any (again for more), or none: turns that change nothing, instead of the search",
    )
    parser.add_argument("--yes", action="store_true", help="take the symmetries that the search suggests")
    parser.add_argument("--bar", type=float, default=0.9, help="share of right poses to certify (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="start from these (default: the packaged small network)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--pictures", default="auto", help="held-out ones: auto, path-traced or ray-cast")
    parser.add_argument("--picture-width", type=int, default=640, help="of held-out ones, px (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the recipe finetune")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Checks, asks, and works until the certificate is there."""
    from rnnpose_ros.cli.progress_line import ProgressLine
    from rnnpose_ros.cli.train import stopped_by_signals
    from rnnpose_ros.rendering.backends import make_renderer
    from rnnpose_ros.training.onboarding import Onboarding
    from rnnpose_ros.training.onboarding_order import WorkFolder

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    order = _order(args)
    sys.stdout.flush()  # what was found belongs before the progress, in a log file too
    again = f"the same command goes on from {order.folder}"
    done = WorkFolder(order).finished_verdict()
    if done is not None:
        print(f"{done[1]}\ndone before, nothing to do: {order.folder / 'certificate.html'}")
        return 0 if done[0] else 1
    try:
        with ProgressLine("onboard") as line:
            renderer = make_renderer("warp", args.device)
            onboarding = Onboarding(order, renderer, show=line.show, while_training=stopped_by_signals)
            certificate = onboarding.run()
    except KeyboardInterrupt:
        certificate = None
    if certificate is None:
        print(f"stopped: {again}")
        return 130
    print(certificate.verdict)
    print(f"kept: the {certificate.kept} weights (generic {_recalls(certificate, 0)}, fine-tuned "
          f"{_recalls(certificate, 1)} under 0.1 / 0.05 / 0.02 d)")  # fmt: skip
    print(f"{order.folder / 'certificate.html'}")
    return 0 if certificate.is_certified else 1


def seconds_of(budget: str) -> float:
    """Seconds of ``120s``, ``30min`` or ``1h``.

    Raises:
        ConfigError: It is none of these, or too short for anything.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", budget.strip())
    if match is None:
        raise ConfigError(f"--budget: expected a time such as 120s, 30min or 1h, got {budget!r}")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds < _SHORTEST_S:
        raise ConfigError(f"--budget: expected at least {_SHORTEST_S:g} s, got {budget!r}")
    return seconds


def axes_of(words: Sequence[str]) -> list[tuple[tuple[float, float, float], int]]:
    """Directions and orders (0: any turn) of ``z:4`` and the like; none for ``none``.

    Raises:
        ConfigError: A word is not of that form.
    """
    if list(words) == ["none"]:
        return []
    axes = []
    for word in words:
        match = re.fullmatch(r"([xyz]):(any|\d+)", word)
        if match is None or match[2] in ("0", "1"):
            raise ConfigError(f"--symmetry: expected x:2, y:4, z:any or the like, or none alone, got {word!r}")
        x, y, z = (float(match[1] == axis) for axis in "xyz")
        axes.append(((x, y, z), 0 if match[2] == "any" else int(match[2])))
    return axes


def _order(args: argparse.Namespace) -> OnboardingOrder:
    """Everything that is to be known before work begins; the mesh checked, symmetries asked for."""
    from rnnpose_ros.checkpoints.checkpoint import default_weights, read_info
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.data.held_out.painters import choose_painter
    from rnnpose_ros.objects.library import describe_object
    from rnnpose_ros.objects.mesh_check import check_mesh
    from rnnpose_ros.objects.mesh_io import mesh_from_raw, read_mesh_file
    from rnnpose_ros.training.onboarding_order import OnboardingOrder

    budget_s = seconds_of(args.budget)
    if not 0.0 < args.bar <= 1.0:
        raise ConfigError(f"--bar: expected a share above 0 and at most 1, got {args.bar:g}")
    described = describe_object(args.mesh)
    label = _label(args.name or described.label)
    weights = args.weights or default_weights()
    read_info(weights)  # before anything takes long
    painter = choose_painter(args.pictures, width=args.picture_width)
    is_bare = described.mesh_path == Path(described.source)
    scale = args.scale if args.scale is not None or is_bare else described.mesh_scale
    checked = check_mesh(read_mesh_file(described.mesh_path), name=str(described.mesh_path), scale=scale)
    _tell(checked)
    mesh = mesh_from_raw(checked.raw, name=str(described.mesh_path))
    discrete, continuous, words = _symmetries(args, described, mesh, checked.diameter)
    return OnboardingOrder(
        folder=args.out / _label(args.set_name) / label,
        label=label,
        mesh=mesh,
        findings=tuple(finding.text for finding in checked.findings),
        symmetries=words,
        initial=weights,
        painter=painter,
        budget_s=budget_s,
        discrete=discrete,
        continuous=continuous,
        bar=args.bar,
        settings=parse_settings(args.set),
    )


def _label(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise InputError(
            f"expected a name of letters, digits, _ . and -, which starts with one of the first two, got {name!r}"
        )
    return name


def _tell(checked: CheckedMesh) -> None:
    for finding in checked.findings:
        print(f"mesh: {'WARNING: ' if finding.is_warning else ''}{finding.text}")


def _symmetries(
    args: argparse.Namespace, described: ObjectDescription, mesh: Mesh, diameter: float
) -> tuple[list[Any], list[Any], str]:
    """Discrete and continuous ones in metres, and in words."""
    from rnnpose_ros.objects.symmetry_search import about_axes, given_symmetries, search_symmetries

    if args.symmetry is not None:
        found = given_symmetries(mesh, diameter=diameter, axes=axes_of(args.symmetry))
        for axis in found.axes:
            if not axis.has_the_shape or not axis.looks_the_same:
                what = "colours differ" if axis.has_the_shape else "shape differs"
                print(f"symmetry: WARNING: {axis}: the {what} (shape by {axis.shape_error:.3f} diameters, colours by "
                      f"{axis.colour_error:.2f}); taken because it was given")  # fmt: skip
        words = "; ".join(map(str, found.axes)) or "none"
        return (*about_axes(found.axes, found.centre), f"{words} (given)")
    if described.discrete or described.continuous:
        return (*described.symmetries_in_metres(), f"as in {described.source}")
    found = search_symmetries(mesh, diameter=diameter)
    for axis in found.broken_axes:
        print(f"symmetry: the shape allows {axis}, its colours do not (they differ by {axis.colour_error:.2f})")
    if not found.axes:
        print("symmetry: none found")
        return [], [], "none found"
    words = "; ".join(map(str, found.axes))
    print(f"symmetry: found {words}")
    if not _is_confirmed(found, args):
        return [], [], f"none taken (the search suggested {words})"
    return (*about_axes(found.axes, found.centre), f"{words} (found, confirmed)")


def _is_confirmed(found: SymmetrySuggestion, args: argparse.Namespace) -> bool:
    """Whether a person takes the suggestion; nobody to ask means no, aloud."""
    if args.yes:
        return True
    if not sys.stdin.isatty():
        print("symmetry: NOT taken: nobody is here to confirm; give --yes to take it, or --symmetry to say another")
        return False
    answer = input("Do all these turns leave the real thing looking the same? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _recalls(certificate: Certificate, index: int) -> str:
    row = certificate.results[index].recall
    return " / ".join(f"{100 * share:.1f} %" for share in (row.add_01d, row.add_005d, row.add_002d))
