"""Datasets in BOP's format of one's own meshes, made picture by picture and taken up again after any interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpose_ros import __version__
from rnnpose_ros.config import flatten
from rnnpose_ros.data.bop.dataset import TARGETS_FILE, read_bop
from rnnpose_ros.data.bop.model_writer import write_models
from rnnpose_ros.data.bop.scene_writer import DEPTH_UNIT_MM, SceneWriter
from rnnpose_ros.data.synthetic.full_frame import Studio
from rnnpose_ros.data.synthetic.randomization import FullFrameConfig
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.files import make_folder, write_json, write_whole
from rnnpose_ros.objects.description import ObjectDescription
from rnnpose_ros.objects.library import load_described
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import CameraIntrinsics, ObjectModel

_SETTINGS_FILE = "synthesis.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dataset is."""

    scene: int
    images_done: int
    images_made: int
    """Of those done, the ones that this run made."""
    images: int


@dataclass(frozen=True, slots=True, eq=False)
class SynthesisOrder:
    """What to make."""

    out: Path
    objects: tuple[ObjectDescription, ...]
    """They become objects 1, 2, 3, ..."""
    scenes: int
    images: int
    """In each scene."""
    seed: int = 0
    split: str = "train"
    camera: CameraIntrinsics | None = None
    """B = 1; a random one for each scene where None."""
    config: FullFrameConfig = FullFrameConfig()


def synthesize(
    order: SynthesisOrder, renderer: Renderer, *, on_image: Callable[[Progress], None] = lambda _: None
) -> Progress:
    """Makes what is missing of a dataset. Run again after an interruption, it goes on and ends with the same bytes.

    More scenes or pictures than before are added; anything else that differs is refused.

    Args:
        order: What to make.
        renderer: Draws it.
        on_image: Called after every picture.

    Raises:
        AssetError: A mesh cannot be used.
        ConfigError: The folder holds a dataset of other settings.
        OutputError: Something cannot be written.
    """
    models = {i: load_described(described) for i, described in enumerate(order.objects, start=1)}
    make_folder(order.out)
    _claim(order, models)
    if not (order.out / "models_eval" / "models_info.json").is_file():
        write_models(order.out, models, dict(enumerate(order.objects, start=1)))
    studio = Studio(renderer, models, config=order.config, seed=order.seed)
    progress = Progress(0, 0, 0, order.scenes * order.images)
    for scene in range(1, order.scenes + 1):
        progress = _scene(order, studio, scene, progress, on_image)
    _describe(order, studio)
    if order.split.startswith("test"):
        _write_targets(order)
    return progress


def _scene(
    order: SynthesisOrder, studio: Studio, scene: int, progress: Progress, on_image: Callable[[Progress], None]
) -> Progress:
    writer = SceneWriter(order.out / order.split / f"{scene:06d}")
    if writer.is_complete(order.images):
        return Progress(scene, progress.images_done + order.images, progress.images_made, progress.images)
    done, setup = writer.done(), studio.set_up(scene, camera=order.camera)
    for image in range(order.images):
        made = image not in done
        if made:
            writer.write(image, studio.take(setup, image))
        progress = Progress(scene, progress.images_done + 1, progress.images_made + made, progress.images)
        on_image(progress)
    writer.finish(done | set(range(order.images)))
    return progress


def _claim(order: SynthesisOrder, models: Mapping[int, ObjectModel]) -> None:
    """Writes what the dataset is made with, or compares with what is written there."""
    path = order.out / _SETTINGS_FILE
    wanted = json.loads(json.dumps(_settings(order, models)))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_json(path, wanted)
        return
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: damaged ({error}); choose another --out, or remove the folder") from None
    differing = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
    if differing:
        changes = "; ".join(f"{key}: {found.get(key)} there, {wanted.get(key)} now" for key in differing)
        raise ConfigError(f"{order.out} holds a dataset of other settings ({changes}); choose another --out")


def _settings(order: SynthesisOrder, models: Mapping[int, ObjectModel]) -> dict[str, Any]:
    camera = (
        None
        if order.camera is None
        else [*order.camera.K.reshape(-1).tolist(), order.camera.width, order.camera.height]
    )
    return {
        "version": __version__,
        "seed": order.seed,
        "camera": camera,
        "objects": {str(i): [model.label, _fingerprint(model)] for i, model in models.items()},
        **flatten(order.config),
    }


def _fingerprint(model: ObjectModel) -> str:
    """Of shape, colours and symmetries."""
    mesh = model.mesh
    digest = hashlib.sha256()
    for tensor in (mesh.vertices, mesh.faces, mesh.vertex_colors, mesh.corner_uvs, mesh.texture, model.symmetries):
        digest.update(b"-" if tensor is None else tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _describe(order: SynthesisOrder, studio: Studio) -> None:
    """``camera.json`` and ``dataset_info.md``."""
    camera = studio.set_up(1, camera=order.camera).camera
    K = camera.K[0]
    values = {"fx": float(K[0, 0]), "fy": float(K[1, 1]), "cx": float(K[0, 2]), "cy": float(K[1, 2])}
    sizes = {"width": camera.width, "height": camera.height, "depth_scale": DEPTH_UNIT_MM}
    write_json(order.out / "camera.json", values | sizes)
    write_whole(order.out / "dataset_info.md", _INFO.format(seed=order.seed, version=__version__))


def _write_targets(order: SynthesisOrder) -> None:
    (order.out / TARGETS_FILE).unlink(missing_ok=True)
    targets = [
        {"scene_id": t.scene_id, "im_id": t.image_id, "obj_id": t.object_id, "inst_count": t.count}
        for t in read_bop(order.out, split=order.split).targets
    ]
    write_json(order.out / TARGETS_FILE, targets)


_INFO = """# A rendered dataset in BOP's format
Made by `rnnpose synthesize` (rnnpose_ros {version}), seed {seed}; `synthesis.json` has every setting.
Objects float before a flat background; none reaches into another; made-up objects that are not annotated stand beside
and before them. Depth is 0 where the background is seen. Masks and visible shares are exact, not estimated from depth.
"""
