"""One scene of a BOP dataset read: cameras and annotations at once, pictures when they are asked for.

Lengths are metres here and millimetres in the files; integers are pixel centres in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.bop.json_files import M_PER_MM, numbers, pose_from_mm, read_by_number, whole_number
from rnnpose_ros.errors import InputError

_PICTURE_FOLDERS = ("rgb", "gray")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True, slots=True, eq=False)
class BopAnnotation:
    """One object in one picture."""

    object_id: int
    T_camera_object: Float[Tensor, "4 4"]
    """float64, metres."""
    visible_share: float
    """Of its outline's pixels, those that can be seen; 1 where the dataset does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class BopImage:
    """One picture of a split, not decoded yet."""

    scene_id: int
    image_id: int
    K: Float[Tensor, "1 3 3"]
    """float64."""
    picture: Path | None
    depth: Path | None
    depth_unit_m: float
    """Metres per unit of the depth picture."""
    annotations: tuple[BopAnnotation, ...] | None
    """In the file's order; None where the truth is not public."""


def read_scene(scene: Path) -> list[BopImage]:
    """The pictures of a scene, in the order of their numbers.

    Args:
        scene: Its folder, named by its number.

    Raises:
        InputError: Says which file is missing or damaged and what it should hold.
    """
    number = int(scene.name)
    cameras = read_by_number(scene / "scene_camera.json", expected=f"the cameras of scene {number}")
    truths = _optional(scene / "scene_gt.json", expected=f"the poses of scene {number}")
    visible = _optional(scene / "scene_gt_info.json", expected=f"how much of each object scene {number} shows")
    pictures, depths = _files(scene, _PICTURE_FOLDERS), _files(scene, ("depth",))
    images = []
    for image_id, entry in cameras.items():
        name = f"{scene / 'scene_camera.json'}: {image_id}"
        scale = entry.get("depth_scale", 1.0) if isinstance(entry, dict) else None
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not scale > 0:
            raise InputError(f"{name}: depth_scale: expected a number above 0, got {scale!r}")
        image = BopImage(
            scene_id=number,
            image_id=image_id,
            K=_camera_matrix(entry, name),
            picture=pictures.get(image_id),
            depth=depths.get(image_id),
            depth_unit_m=scale * M_PER_MM,
            annotations=None if truths is None else _annotations(scene, image_id, truths, visible),
        )
        images.append(image)
    return images


def read_depth(path: Path, *, unit_m: float) -> Float[Tensor, "H W"]:
    """A depth picture in metres, 0 = no measurement.

    Raises:
        InputError: It is missing or no picture of one channel.
    """
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    picture = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if len(encoded) else None
    if picture is None or picture.ndim != 2:
        raise InputError(f"{path}: not a readable depth picture (expected one channel of 16 bits)")
    return torch.from_numpy(picture.astype(np.float32) * np.float32(unit_m))


def _optional(path: Path, *, expected: str) -> dict[int, Any] | None:
    return read_by_number(path, expected=expected) if path.exists() else None


def _camera_matrix(entry: Any, name: str) -> Float[Tensor, "1 3 3"]:
    if isinstance(entry, dict) and "cam_K" not in entry and "cam_model" in entry:
        raise InputError(f"{name}: cam_model: only pinhole cameras (cam_K) can be used; rectify the pictures first")
    K = numbers(entry, "cam_K", 9, name=name).reshape(1, 3, 3)
    if float(K[0, 0, 0]) <= 0 or float(K[0, 1, 1]) <= 0 or K[0, 2].tolist() != [0, 0, 1]:
        raise InputError(f"{name}: cam_K: expected fx 0 cx 0 fy cy 0 0 1, got {K.reshape(-1).tolist()}")
    return K


def _files(scene: Path, folders: tuple[str, ...]) -> dict[int, Path]:
    """The pictures in the first of the folders that is there, by their numbers."""
    folder = next((scene / name for name in folders if (scene / name).is_dir()), None)
    if folder is None:
        return {}
    suffixes = _PICTURE_SUFFIXES
    return {int(p.stem): p for p in folder.iterdir() if p.stem.isdigit() and p.suffix.lower() in suffixes}


def _annotations(
    scene: Path, image_id: int, truths: Mapping[int, Any], visible: Mapping[int, Any] | None
) -> tuple[BopAnnotation, ...]:
    entries, shares = truths.get(image_id), None if visible is None else visible.get(image_id)
    if not isinstance(entries, list):
        raise InputError(f"{scene / 'scene_gt.json'}: {image_id}: expected a list of poses, got {entries!r}")
    if visible is not None and (not isinstance(shares, list) or len(shares) != len(entries)):
        raise InputError(
            f"{scene / 'scene_gt_info.json'}: {image_id}: expected {len(entries)} entries as in scene_gt.json"
        )
    annotations = []
    for index, entry in enumerate(entries):
        name = f"{scene / 'scene_gt.json'}: {image_id}[{index}]"
        R, t = numbers(entry, "cam_R_m2c", 9, name=name), numbers(entry, "cam_t_m2c", 3, name=name)
        share = 1.0
        if shares is not None:
            name_info = f"{scene / 'scene_gt_info.json'}: {image_id}[{index}]"
            share = float(numbers(shares[index], "visib_fract", 1, name=name_info))
        pose = pose_from_mm(R, t, name=f"{name}: cam_R_m2c")
        annotations.append(BopAnnotation(whole_number(entry, "obj_id", name=name), pose, share))
    return tuple(annotations)
