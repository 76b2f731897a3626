"""One scene of a BOP dataset, written picture by picture so that an interruption costs the one under way.

A picture is done when its record ``frames/000012.json`` is there, which is written last. The scene's three JSON
files are made of the records when all pictures are done; then the records go.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from rnnpose_ros.data.bop.json_files import pose_to_mm
from rnnpose_ros.data.bop.model_writer import encode_png
from rnnpose_ros.files import json_text, make_folder, write_json, write_whole

logger = logging.getLogger(__name__)

DEPTH_UNIT_MM = 0.1
"""Of the 16-bit depth pictures: they reach 6.5 m."""
_RECORDS = "frames"
_SCENE_FILES = ("scene_camera.json", "scene_gt.json", "scene_gt_info.json")


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """One annotated object in a picture."""

    object_id: int
    T_camera_object: Float[Tensor, "4 4"]
    """Metres."""
    outline: Bool[np.ndarray, "Hw Ww"]
    """The object alone, on a canvas that reaches beyond the picture by ``border_px`` on all sides."""
    border_px: int
    visible: Bool[np.ndarray, "H W"]
    """What the picture shows of it."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneFrame:
    """One picture with everything known about it."""

    rgb: UInt8[np.ndarray, "H W 3"]
    depth: Float[np.ndarray, "H W"]
    """Metres, 0 = nothing."""
    K: Float[Tensor, "3 3"]
    objects: tuple[SceneObject, ...]


class SceneWriter:
    """Writes into ``folder``, for example ``DATASET/train/000001``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_complete(self, images: int) -> bool:
        """Whether the scene's JSON files are there, for at least so many pictures."""
        try:
            counts = [len(json.loads((self.folder / name).read_text())) for name in _SCENE_FILES]
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            logger.warning("%s: a scene file is damaged (%s); the scene is made again", self.folder, error)
            return False
        return min(counts) >= images

    def done(self) -> set[int]:
        """Numbers of the pictures that are done; damaged ones are named aloud, and are not among them."""
        for leftover in self.folder.rglob("*.partial"):
            leftover.unlink(missing_ok=True)
        self._reopen()
        numbers = {int(p.stem) for p in (self.folder / _RECORDS).glob("*.json") if p.stem.isdigit()}
        whole = {number for number in sorted(numbers) if self._is_whole(number)}
        for number in sorted(numbers - whole):
            logger.warning("%s: image %06d is damaged and is made again", self.folder, number)
        return whole

    def write(self, number: int, frame: SceneFrame) -> None:
        """Writes one picture, its depth and masks, and at last its record.

        Raises:
            OutputError: Something cannot be written.
        """
        for name in ("rgb", "depth", "mask", "mask_visib", _RECORDS):
            make_folder(self.folder / name)
        units = np.clip(np.round(frame.depth * (1000.0 / DEPTH_UNIT_MM)), 0, 65535).astype(np.uint16)
        write_whole(self.folder / "rgb" / f"{number:06d}.png", encode_png(frame.rgb))
        write_whole(self.folder / "depth" / f"{number:06d}.png", encode_png(units))
        for index, thing in enumerate(frame.objects):
            b = thing.border_px
            height, width = thing.visible.shape
            inside = thing.outline[b : b + height, b : b + width]
            for name, mask in (("mask", inside), ("mask_visib", thing.visible)):
                write_whole(
                    self.folder / name / f"{number:06d}_{index:06d}.png", encode_png(mask.astype(np.uint8) * 255)
                )
        write_whole(self.folder / _RECORDS / f"{number:06d}.json", json_text(_record(frame)))

    def finish(self, numbers: Iterable[int], *, more_to_come: bool = False) -> None:
        """Makes the scene's JSON files of the records.

        Args:
            numbers: Of the pictures that are done.
            more_to_come: Keep the records, for the pictures that follow.

        Raises:
            OutputError: Something cannot be written.
        """
        records = {n: json.loads((self.folder / _RECORDS / f"{n:06d}.json").read_text()) for n in sorted(numbers)}
        for name in _SCENE_FILES:
            write_json(self.folder / name, {str(n): record[name] for n, record in records.items()})
        if not more_to_come:
            shutil.rmtree(self.folder / _RECORDS, ignore_errors=True)

    def _reopen(self) -> None:
        """Records of a finished scene again, so that pictures can be added to it."""
        if (self.folder / _RECORDS).is_dir() or not self.is_complete(0):
            return
        contents = {name: json.loads((self.folder / name).read_text()) for name in _SCENE_FILES}
        make_folder(self.folder / _RECORDS)
        for number in contents[_SCENE_FILES[0]]:
            record = {name: contents[name].get(number, []) for name in _SCENE_FILES}
            write_whole(self.folder / _RECORDS / f"{int(number):06d}.json", json_text(record))

    def _is_whole(self, number: int) -> bool:
        """Whether the record and every file of a picture can be read."""
        try:
            record = json.loads((self.folder / _RECORDS / f"{number:06d}.json").read_text())
            count = len(record["scene_gt.json"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        names = [f"rgb/{number:06d}.png", f"depth/{number:06d}.png"]
        names += [f"{kind}/{number:06d}_{i:06d}.png" for i in range(count) for kind in ("mask", "mask_visib")]
        return all(_is_picture(self.folder / name) for name in names)


def _is_picture(path: Path) -> bool:
    """Whether a PNG is there and complete: OpenCV reads one whose end is missing without complaint."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if not content.endswith(b"IEND\xaeB`\x82"):
        return False
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) is not None


def _record(frame: SceneFrame) -> dict[str, Any]:
    truths, infos = [], []
    for thing in frame.objects:
        R, t = pose_to_mm(thing.T_camera_object)
        truths.append({"cam_R_m2c": R, "cam_t_m2c": t, "obj_id": thing.object_id})
        infos.append(_visibility(thing, frame.depth))
    camera = {"cam_K": frame.K.double().reshape(-1).tolist(), "depth_scale": DEPTH_UNIT_MM}
    return dict(zip(_SCENE_FILES, (camera, truths, infos), strict=True))


def _visibility(thing: SceneObject, depth: np.ndarray) -> dict[str, Any]:
    """An entry of ``scene_gt_info.json``; what is visible is known from the render, not guessed from depth."""
    b = thing.border_px
    height, width = thing.visible.shape
    inside = thing.outline[b : b + height, b : b + width]
    whole, seen = int(thing.outline.sum()), int(thing.visible.sum())
    return {
        "bbox_obj": _box(thing.outline, b) if seen else [-1, -1, -1, -1],
        "bbox_visib": _box(thing.visible, 0) if seen else [-1, -1, -1, -1],
        "px_count_all": whole,
        "px_count_valid": int((depth[inside] > 0).sum()),
        "px_count_visib": seen,
        "visib_fract": seen / whole if whole else 0.0,
    }


def _box(mask: np.ndarray, border: int) -> Sequence[int]:
    """Left, top, and the distances to the last column and row: BOP's width is one less than the pixels covered."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return [left - border, top - border, int(columns[-1]) - left, int(rows[-1]) - top]
