"""The benchmark's dataset read: BOP's files, and the starts and names beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.bop.dataset import BopDataset, BopImage, read_bop
from rnnpose_ros.data.bop.json_files import numbers, pose_from_mm, read_json
from rnnpose_ros.data.syn.dataset import MANIFEST_FILE, SPLIT, STARTS_FILE
from rnnpose_ros.errors import InputError


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """What the manifest says of an object."""

    label: str
    kind: str
    """textured, texture-less, thin or symmetric."""


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """Pictures, truths and starts."""

    dataset: BopDataset
    objects: dict[int, ObjectEntry]
    starts: dict[tuple[int, int, str], Float[Tensor, "N 4 4"]]
    """By scene, image and name of the noise."""

    @property
    def images(self) -> list[BopImage]:
        """In the order of scenes and images; each shows one annotated object."""
        return [self.dataset.images[key] for key in sorted(self.dataset.images)]


def read_benchmark(folder: str | Path) -> Benchmark:
    """The benchmark.

    Raises:
        InputError: It is not there, not finished or damaged; says how to make it.
    """
    folder = Path(folder).expanduser()
    if not (folder / MANIFEST_FILE).is_file() or not (folder / STARTS_FILE).is_file():
        raise InputError(
            f"{folder}: expected the benchmark SYN ({MANIFEST_FILE}, {STARTS_FILE}); render it with: "
            f"rnnpose benchmark_data --out {folder}"
        )
    manifest = read_json(folder / MANIFEST_FILE, expected="what the benchmark was rendered with")
    try:
        objects = {int(n): ObjectEntry(o["label"], o["kind"]) for n, o in manifest["objects"].items()}
        wanted = {(scene, image) for scene in objects for image in range(int(manifest["frames_per_object"]))}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{folder / MANIFEST_FILE}: damaged: expected frames_per_object, and objects with label and kind"
        ) from None
    benchmark = Benchmark(read_bop(folder, split=SPLIT), objects, _read_starts(folder / STARTS_FILE))
    there = {key for key, image in benchmark.dataset.images.items() if image.picture is not None and image.annotations}
    if not wanted <= there:
        raise InputError(
            f"{folder}: expected {len(wanted)} frames, got {len(wanted & there)}; the rendering goes on where it "
            f"stopped with: rnnpose benchmark_data --out {folder} --edition {manifest.get('edition', 'small')}"
        )
    return benchmark


def _read_starts(path: Path) -> dict[tuple[int, int, str], Tensor]:
    entries = read_json(path, expected="the benchmark's start poses")
    grouped: dict[tuple[int, int, str], list[Tensor]] = {}
    for index, entry in enumerate(entries):
        name = f"{path}[{index}]"
        R, t = numbers(entry, "cam_R_m2c", 9, name=name), numbers(entry, "cam_t_m2c", 3, name=name)
        key = (int(entry["scene_id"]), int(entry["im_id"]), str(entry["noise"]))
        grouped.setdefault(key, []).append(pose_from_mm(R, t, name=name))
    return {key: torch.stack(poses) for key, poses in grouped.items()}
