"""``rnnpose refine``: one refinement, or a stream of them, without ROS."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.cli.engine import add_engine_arguments, refiner_of
from rnnpose_ros.errors import InputError, RnnposeError

if TYPE_CHECKING:
    from torch import Tensor

    from rnnpose_ros.refinement.refiner import Refiner
    from rnnpose_ros.types import CameraIntrinsics, ImageFrame, ObjectModel, PoseHypothesis, RefinementResult


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("refine", help="refine one pose, or a file of them, without ROS")
    parser.add_argument("--mesh", type=Path, required=True, help="OBJ, PLY, STL, GLB, or an object.yaml")
    parser.add_argument("--mesh-scale", type=float, help="metres per unit of the mesh file (default 1)")
    parser.add_argument("--camera", type=Path, required=True, help="camera.json: fx fy cx cy width height")
    parser.add_argument("--image", type=Path, help="the picture")
    parser.add_argument(
        "--pose", type=Path, help='{"label", "R" 3x3, "t_m" 3}: object to camera; or {"label", "poses": [...]} of them'
    )
    parser.add_argument("--requests", type=Path, help='JSON lines {"image", "label", "R", "t_m"}, answered in order')
    parser.add_argument(
        "--spread", type=int, default=1, metavar="N", help="refine from N poses: the given one and turns of it"
    )
    parser.add_argument(
        "--spread-deg", type=float, default=90.0, metavar="DEG", help="how far those turn (default: %(default)g)"
    )
    parser.add_argument("--out", type=Path, help="folder for overlay.png and similarity.png")
    parser.add_argument("--trace", type=Path, metavar="DIR", help="folder for pictures of every iteration, with a page")
    parser.add_argument("--truth", type=Path, help="the true pose, as --pose: --trace draws it in blue")
    add_engine_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Loads once, then answers."""
    single = args.image is not None and args.pose is not None
    if single == (args.requests is not None):
        raise InputError("give either --image with --pose, or --requests")
    if single and args.out is None and args.trace is None:
        raise InputError("--image needs --out or --trace, the folder for the pictures")
    if args.truth is not None and (args.trace is None or not single):
        raise InputError("--truth is drawn by --trace, for one --image")
    if not (1 <= args.spread <= 1000 and 0.0 <= args.spread_deg <= 180.0):
        raise InputError(f"--spread: expected 1 to 1000 poses, 0 to 180 deg, got {args.spread}, {args.spread_deg:g}")
    from rnnpose_ros.objects.library import describe_object, load_described
    from rnnpose_ros.sources.sequence import read_camera
    from rnnpose_ros.sources.sequence_files import pose_from_json

    camera = read_camera(args.camera)
    described = describe_object(args.mesh, mesh_scale=args.mesh_scale)
    model = load_described(described)
    T_truth = None if args.truth is None else pose_from_json(_read_json(args.truth), name="the true pose")
    refiner = refiner_of(args, own_weights=described.weights_path)
    spread = Spread(args.spread, args.spread_deg)
    if single:
        request = {**_read_json(args.pose), "image": str(args.image)}
        picture_folders = PictureFolders(args.out, args.trace)
        print(json.dumps(_answer(refiner, camera, model, request, Path(), picture_folders, spread, T_truth=T_truth)))
        return 0
    folder = args.requests.parent
    for number, line in enumerate(_read_lines(args.requests), start=1):
        if not line.strip():
            continue
        try:
            picture_folders = PictureFolders(args.out, args.trace).of_request(number)
            answer = _answer(refiner, camera, model, _parse(line), folder, picture_folders, spread)
        except RnnposeError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
    return 0


@dataclass(frozen=True, slots=True)
class Spread:
    """How many starts are made of a given pose."""

    count: int
    within_deg: float


@dataclass(frozen=True, slots=True)
class PictureFolders:
    """Where pictures go; None for those that nobody asked for."""

    out: Path | None
    trace: Path | None

    def of_request(self, number: int) -> PictureFolders:
        """The folders of one of many requests, counted from 1."""
        name = f"{number:06d}"
        return PictureFolders(self.out and self.out / name, self.trace and self.trace / name)


def _answer(
    refiner: Refiner,
    camera: CameraIntrinsics,
    model: ObjectModel,
    request: dict[str, Any],
    folder: Path,
    picture_folders: PictureFolders,
    spread: Spread,
    *,
    T_truth: Tensor | None = None,
) -> dict[str, Any]:
    """Refines one request and writes its pictures where asked."""
    from rnnpose_ros.sources.sequence import read_image
    from rnnpose_ros.types import ImageFrame

    hypotheses = hypotheses_from_json(request, model, spread)
    if not isinstance(request.get("image"), str):
        raise InputError('the request has no "image"')
    frame = ImageFrame(rgb=read_image(folder / request["image"]), camera=camera)
    given, objects = hypotheses[0], {hypotheses[0].label: model}
    started = time.perf_counter()
    refine = refiner.refine if len(hypotheses) == 1 else refiner.refine_best
    (result,) = refine(frame, hypotheses, objects, trace=picture_folders != PictureFolders(None, None))
    milliseconds = 1000.0 * (time.perf_counter() - started)
    if picture_folders.out is not None:
        _write_pictures(refiner, frame, given, result, objects, picture_folders.out)
    if picture_folders.trace is not None:
        from rnnpose_ros.cli.refine_trace import write_trace

        write_trace(picture_folders.trace, frame, given, result, model, T_camera_object_truth=T_truth)
    return result_to_json(result, milliseconds=milliseconds)


def hypotheses_from_json(values: dict[str, Any], model: ObjectModel, spread: Spread) -> list[PoseHypothesis]:
    """Start poses from ``{"label", "R", "t_m"}`` or ``{"label", "poses": [{"R", "t_m"}, ...]}``, each spread.

    Raises:
        InputError: Says which entry is missing or not a finite rotation or translation.
    """
    from rnnpose_ros.refinement.restarts import poses_around

    entries = values.get("poses", [values])
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError('the pose\'s "poses" must be a list of {"R", "t_m"}, at least one')
    label = values.get("label", model.label)
    given = [hypothesis_from_json({"label": label, **entry}, default_label=model.label) for entry in entries]
    return [
        dataclasses.replace(start, T_camera_object=T)
        for start in given
        for T in poses_around(start.T_camera_object, model, count=spread.count, within_deg=spread.within_deg)
    ]


def hypothesis_from_json(values: dict[str, Any], *, default_label: str) -> PoseHypothesis:
    """A start pose from ``{"label", "R", "t_m"}``.

    Raises:
        InputError: Says which entry is missing or not a finite rotation or translation.
    """
    from rnnpose_ros.sources.sequence_files import pose_from_json
    from rnnpose_ros.types import PoseHypothesis

    T = pose_from_json(values, name="the pose")
    label = values.get("label", default_label)
    if not isinstance(label, str):
        raise InputError('the pose\'s "label" must be a string')
    return PoseHypothesis(label=label, T_camera_object=T, source="file")


def result_to_json(result: RefinementResult, *, milliseconds: float) -> dict[str, Any]:
    """The one JSON line of a result; what is not finite becomes null."""
    return {
        "label": result.label,
        "T_camera_object": result.T_camera_object.tolist(),
        "status": result.status.value,
        "score": round(result.score, 6),
        "residual_px": result.residual_px if math.isfinite(result.residual_px) else None,
        "covariance": None if result.covariance is None else result.covariance.tolist(),
        "milliseconds": round(milliseconds, 2),
    }


def _write_pictures(
    refiner: Refiner,
    frame: ImageFrame,
    hypothesis: PoseHypothesis,
    result: RefinementResult,
    objects: dict[str, ObjectModel],
    out: Path,
) -> None:
    from rnnpose_ros.refinement.pictures import colorize, overlay, similarity_map
    from rnnpose_ros.sources.sequence import write_image

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}") from None
    write_image(out / "overlay.png", overlay(frame, [result], objects, refiner.features, initial=[hypothesis]))
    write_image(out / "similarity.png", colorize(similarity_map(frame, [result])))


def _read_json(path: Path) -> dict[str, Any]:
    return _parse("\n".join(_read_lines(path)), name=str(path))


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None


def _parse(text: str, *, name: str = "the request") -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name} is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(values, dict):
        raise InputError(f"{name} must be a JSON object, got {type(values).__name__}")
    return values
