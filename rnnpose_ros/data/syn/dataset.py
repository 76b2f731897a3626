"""Renders the benchmark's dataset in BOP's format, frame by frame, and goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpose_ros.data.bop.dataset import TARGETS_FILE
from rnnpose_ros.data.bop.json_files import pose_to_mm, read_json
from rnnpose_ros.data.bop.model_writer import write_models
from rnnpose_ros.data.bop.scene_writer import DEPTH_UNIT_MM, SceneFrame, SceneObject, SceneWriter
from rnnpose_ros.data.path_traced.look import TracedLook
from rnnpose_ros.data.path_traced.mitsuba_tracer import renderer_version
from rnnpose_ros.data.path_traced.views import HEIGHT, WIDTH, photograph_view, plan_view
from rnnpose_ros.data.syn.objects import DESIGNS, BenchmarkObject, build_object
from rnnpose_ros.data.syn.starts import frame_starts
from rnnpose_ros.errors import InputError
from rnnpose_ros.files import make_folder, write_json
from rnnpose_ros.geometry.perturbation import NOISES

VERSION = 1
"""Goes up with every change of what the pictures show."""
EDITIONS = {"tiny": 1, "small": 25}
"""Frames of each object."""
SPLIT = "test"
STARTS_FILE = "starts.json"
MANIFEST_FILE = "manifest.json"
_FRAMES_BETWEEN_SUMMARIES = 60


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dataset is."""

    done: int
    made: int
    """Of those done, the frames that this run rendered."""
    frames: int


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkOrder:
    """What to make."""

    out: Path
    edition: str = "small"
    """One of ``EDITIONS``."""
    seed: int = 0
    objects: int = len(DESIGNS)
    """Only the first so many of the twelve."""
    look: TracedLook = TracedLook()


def write_benchmark(order: BenchmarkOrder, *, on_frame: Callable[[Progress], None] = lambda _: None) -> Progress:
    """Makes what is missing. A part of it can be used as well: BOP's files are brought up to date now and then.

    Raises:
        BackendUnavailableError: Mitsuba is not installed.
        InputError: The folder holds another edition, version or seed.
        OutputError: Something cannot be written.
    """
    items = {number: build_object(design) for number, design in enumerate(DESIGNS[: order.objects], start=1)}
    make_folder(order.out)
    _claim(order.out / MANIFEST_FILE, _manifest(order, items))
    descriptions = {number: item.description for number, item in items.items()}
    write_models(order.out, {number: item.model for number, item in items.items()}, descriptions)
    writers = {number: SceneWriter(order.out / SPLIT / f"{number:06d}") for number in items}
    images = {number: writer.done() for number, writer in writers.items()}
    total, made = EDITIONS[order.edition] * len(items), 0
    for image in range(EDITIONS[order.edition]):
        for number in items:
            if image in images[number]:
                continue
            writers[number].write(image, _frame(order, items, number, image))
            images[number].add(image)
            made += 1
            on_frame(Progress(sum(map(len, images.values())), made, total))
            if made % _FRAMES_BETWEEN_SUMMARIES == 0:
                _summarize(order, items, images, writers, more_to_come=True)
    _summarize(order, items, images, writers, more_to_come=False)
    return Progress(total, made, total)


def frame_seed(seed: int, number: int, image: int) -> int:
    """The seed of a frame, given the benchmark's."""
    return 1_000_000 * seed + 1000 * number + image


def _manifest(order: BenchmarkOrder, items: Mapping[int, BenchmarkObject]) -> dict[str, Any]:
    return {
        "benchmark": "syn",
        "version": VERSION,
        "edition": order.edition,
        "seed": order.seed,
        "frames_per_object": EDITIONS[order.edition],
        "renderer": renderer_version(),
        "look": repr(order.look),
        "objects": {
            str(n): {"label": i.design.label, "kind": i.design.kind, "has_colours": i.design.has_colours}
            for n, i in items.items()
        },
    }


def _claim(path: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest, or agrees with the one that is there."""
    if not path.is_file():
        write_json(path, manifest)
        return
    there = read_json(path, expected="what the benchmark was rendered with")
    different = sorted(key for key in manifest if manifest[key] != there.get(key))
    if different:
        raise InputError(
            f"{path.parent} holds another dataset: "
            + ", ".join(f"{key} is {there.get(key)!r}, expected {manifest[key]!r}" for key in different)
            + "; remove the folder or write to another one"
        )


def _frame(order: BenchmarkOrder, items: Mapping[int, BenchmarkObject], number: int, image: int) -> SceneFrame:
    item = items[number]
    view = plan_view(item.model, seed=frame_seed(order.seed, number, image))
    others = [other.thing for key, other in items.items() if key != number]
    photograph = photograph_view(view, item.model, look=order.look, thing=item.thing, others=others)
    seen = SceneObject(
        object_id=number,
        T_camera_object=view.T_camera_object,
        outline=photograph.object_mask.numpy(),
        border_px=0,
        visible=photograph.visible_mask.numpy(),
    )
    return SceneFrame(photograph.rgb.numpy(), photograph.depth.numpy(), view.camera.K[0], (seen,))


def _summarize(
    order: BenchmarkOrder,
    items: Mapping[int, BenchmarkObject],
    images: Mapping[int, set[int]],
    writers: Mapping[int, SceneWriter],
    *,
    more_to_come: bool,
) -> None:
    """BOP's files of every scene, the targets and the starts, of the frames that are there."""
    targets, starts = [], []
    for number, item in items.items():
        if images[number]:
            writers[number].finish(images[number], more_to_come=more_to_come)
        for image in sorted(images[number]):
            targets.append({"im_id": image, "inst_count": 1, "obj_id": number, "scene_id": number})
            view = plan_view(item.model, seed=frame_seed(order.seed, number, image))
            for noise in NOISES:
                for T in frame_starts(view.T_camera_object, item.model, noise=noise, seed=view.seed):
                    R, t = pose_to_mm(T)
                    pose = {"cam_R_m2c": R, "cam_t_m2c": t, "obj_id": number}
                    starts.append({"scene_id": number, "im_id": image, "noise": noise, **pose})
    write_json(order.out / TARGETS_FILE, targets)
    write_json(order.out / STARTS_FILE, starts)
    write_json(order.out / "camera.json", _nominal_camera())


def _nominal_camera() -> dict[str, Any]:
    """BOP's ``camera.json``; the pictures' own cameras are in ``scene_camera.json``."""
    centre = {"cx": WIDTH / 2 - 0.5, "cy": HEIGHT / 2 - 0.5}
    return {"width": WIDTH, "height": HEIGHT, "fx": 690.0, "fy": 690.0, **centre, "depth_scale": DEPTH_UNIT_MM}
