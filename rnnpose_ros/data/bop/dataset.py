"""BOP datasets read: a split's scenes, its targets, and the objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnpose_ros.data.bop.json_files import read_json, whole_number
from rnnpose_ros.data.bop.models import BopModels, continuous_steps
from rnnpose_ros.data.bop.scenes import BopAnnotation, BopImage, read_depth, read_scene
from rnnpose_ros.errors import InputError
from rnnpose_ros.sources.image_files import read_image
from rnnpose_ros.types import CameraIntrinsics, ImageFrame

__all__ = ["BopAnnotation", "BopDataset", "BopImage", "BopTarget", "read_bop"]

TARGETS_FILE = "test_targets_bop19.json"
MIN_VISIBLE_SHARE = 0.1
"""BOP asks for instances that show at least this share."""


@dataclass(frozen=True, slots=True)
class BopTarget:
    """How many instances of an object are to be found in a picture."""

    scene_id: int
    image_id: int
    object_id: int
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class BopDataset:
    """One split of a dataset."""

    folder: Path
    split: str
    images: Mapping[tuple[int, int], BopImage]
    """By scene and image id."""
    targets: tuple[BopTarget, ...]
    models: BopModels
    """What a refiner is told."""
    evaluation_models: BopModels
    """What errors are measured on: ``models_eval`` where there is one."""

    def frame(self, image: BopImage) -> ImageFrame:
        """The decoded picture, with depth where there is any.

        Raises:
            InputError: The picture is missing or cannot be decoded, or the depth's size differs.
        """
        if image.picture is None:
            where = f"{self.folder / self.split / f'{image.scene_id:06d}'}"
            raise InputError(f"{where}: no picture {image.image_id:06d} in rgb/ or gray/")
        rgb = read_image(image.picture)
        height, width = rgb.shape[:2]
        depth = None if image.depth is None else read_depth(image.depth, unit_m=image.depth_unit_m)
        if depth is not None and depth.shape != (height, width):
            raise InputError(
                f"{image.depth}: expected {width} x {height} as its picture, got {tuple(depth.shape)[::-1]}"
            )
        camera = CameraIntrinsics(K=image.K, height=height, width=width)
        return ImageFrame(rgb=rgb, camera=camera, depth=depth)

    def targets_by_image(self) -> dict[tuple[int, int], tuple[BopTarget, ...]]:
        """The targets of each picture that has any, in the order of scenes and images."""
        grouped: dict[tuple[int, int], list[BopTarget]] = {}
        for target in self.targets:
            grouped.setdefault((target.scene_id, target.image_id), []).append(target)
        return {key: tuple(grouped[key]) for key in sorted(grouped)}

    def fingerprint(self) -> str:
        """Changes when annotations, cameras, targets or meshes change, or pictures by name or size."""
        digest = hashlib.sha256(repr(self.targets).encode())
        for path in self._described_by():
            digest.update(f"{path.relative_to(self.folder)}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        for image in self.images.values():
            for file in (image.picture, image.depth):
                if file is not None:
                    digest.update(f"{file.relative_to(self.folder)} {file.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]

    def _described_by(self) -> Iterator[Path]:
        for folder in dict.fromkeys((self.models.folder, self.evaluation_models.folder)):
            yield folder / "models_info.json"
            yield from sorted(folder.glob("obj_*.ply"))
        for scene in sorted({scene_id for scene_id, _ in self.images}):
            yield from sorted((self.folder / self.split / f"{scene:06d}").glob("scene_*.json"))


def read_bop(
    folder: str | Path, *, split: str = "test", models: str = "models", targets: str | Path | None = None
) -> BopDataset:
    """A split of a BOP dataset.

    Args:
        folder: Holds ``models`` and the split's folder.
        split: ``test``, ``test_primesense``, ``train_pbr``.
        models: The folder of meshes for the refiner; errors are measured on ``models_eval`` where there is one.
        targets: File of targets; ``test_targets_bop19.json`` for a test split that has it. Without any,
            the targets are all instances that show at least a tenth of themselves.

    Raises:
        InputError: Says which file is missing or damaged and what it should hold.
    """
    folder = Path(folder).expanduser()
    _check_folders(folder, split, models)
    scenes = sorted(path for path in (folder / split).iterdir() if path.is_dir() and path.name.isdigit())
    if not scenes:
        raise InputError(f"{folder / split}: no scenes; expected folders like 000001")
    images = {(image.scene_id, image.image_id): image for scene in scenes for image in read_scene(scene)}
    if targets is None and split.startswith("test") and (folder / TARGETS_FILE).is_file():
        targets = folder / TARGETS_FILE
    steps = continuous_steps()
    evaluated = folder / f"{models}_eval"
    if not evaluated.is_dir():
        evaluated = folder / "models_eval" if (folder / "models_eval").is_dir() else folder / models
    return BopDataset(
        folder=folder,
        split=split,
        images=images,
        targets=_visible_targets(images) if targets is None else _read_targets(Path(targets), images),
        models=BopModels(folder / models),
        evaluation_models=BopModels(evaluated, steps=steps),
    )


def _check_folders(folder: Path, split: str, models: str) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a BOP dataset")
    for name, what in ((split, "split"), (models, "folder of meshes")):
        if not (folder / name).is_dir():
            found = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "none"
            raise InputError(f"{folder}: no {what} {name!r}; folders here: {found}")


def _visible_targets(images: Mapping[tuple[int, int], BopImage]) -> tuple[BopTarget, ...]:
    targets = []
    for (scene_id, image_id), image in images.items():
        seen = [a.object_id for a in image.annotations or () if a.visible_share >= MIN_VISIBLE_SHARE]
        targets += [BopTarget(scene_id, image_id, number, seen.count(number)) for number in sorted(set(seen))]
    return tuple(targets)


def _read_targets(path: Path, images: Mapping[tuple[int, int], BopImage]) -> tuple[BopTarget, ...]:
    content = read_json(path, expected="a list of scene_id, im_id, obj_id, inst_count")
    if not isinstance(content, list) or not content:
        raise InputError(
            f"{path}: expected a list of scene_id, im_id, obj_id, inst_count, got {type(content).__name__}"
        )
    targets = []
    for index, entry in enumerate(content):
        keys = ("scene_id", "im_id", "obj_id", "inst_count")
        scene_id, image_id, object_id, count = (whole_number(entry, key, name=f"{path}[{index}]") for key in keys)
        image = images.get((scene_id, image_id))
        if image is None or image.picture is None:
            raise InputError(
                f"{path}[{index}]: asks for image {image_id} of scene {scene_id}, "
                f"which has no {'entry in scene_camera.json' if image is None else 'picture in rgb/ or gray/'}"
            )
        targets.append(BopTarget(scene_id, image_id, object_id, count))
    return tuple(targets)
