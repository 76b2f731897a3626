"""A recorded sequence: a camera, a video or pictures, an object, and where it was.

A folder holds ``camera.json``, ``poses.json``, the object (an ``object.yaml`` or one mesh file, or
``"object_file"`` in ``poses.json``), and a video or pictures (in ``frames/`` or beside the rest).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from rnnpose_ros.errors import InputError
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.objects.mesh_io import MESH_SUFFIXES
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.sources.image_files import read_image, write_image
from rnnpose_ros.sources.sequence_files import read_camera, read_json, read_poses
from rnnpose_ros.types import CameraIntrinsics, ObjectModel

__all__ = ["Sequence", "read_camera", "read_image", "read_sequence", "write_image"]

logger = logging.getLogger(__name__)

_VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_DEFAULT_FPS = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A recording with reference poses. Reading it decodes no picture; :meth:`frames` does."""

    folder: Path
    fps: float
    n_frames: int
    camera: CameraIntrinsics
    """B = 1."""
    object: ObjectModel
    poses: Mapping[int, Float[Tensor, "4 4"]]
    """T_camera_object by frame index, float64; not every frame has one."""
    video: Path | None
    pictures: tuple[Path, ...]
    """In order; empty where there is a video."""

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[tuple[int, UInt8[Tensor, "H W 3"]]]:
        """Index and picture of all frames, or of some in ascending order, each decoded when it is its turn.

        Raises:
            InputError: A picture cannot be read, or has another size than the camera.
        """
        wanted = range(self.n_frames) if indices is None else sorted(set(indices))
        decoded = self._from_video(wanted) if self.video is not None else ((i, self._picture(i)) for i in wanted)
        for index, rgb in decoded:
            height, width = rgb.shape[:2]
            if (height, width) != (self.camera.height, self.camera.width):
                raise InputError(
                    f"{self.video or self.pictures[index]}: frame {index} is {width} x {height}, "
                    f"camera.json says {self.camera.width} x {self.camera.height}"
                )
            yield index, rgb

    def frame(self, index: int) -> UInt8[Tensor, "H W 3"]:
        """One frame; in a video all frames before it are passed over.

        Raises:
            InputError: See :meth:`frames`.
        """
        return next(self.frames([index]))[1]

    def _picture(self, index: int) -> Tensor:
        if not 0 <= index < len(self.pictures):
            raise InputError(f"{self.folder}: no frame {index}, there are {len(self.pictures)}")
        return read_image(self.pictures[index])

    def _from_video(self, wanted: Iterable[int]) -> Iterator[tuple[int, Tensor]]:
        # Decoding in order, since seeking by frame number is not exact in every codec.
        capture = cv2.VideoCapture(str(self.video))
        try:
            position = 0
            for index in wanted:
                while position < index and capture.grab():
                    position += 1
                found, bgr = capture.read() if position == index else (False, None)
                if not found or bgr is None:
                    raise InputError(f"{self.video}: no frame {index}, the video ends after {position}")
                position += 1
                yield index, torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
        finally:
            capture.release()


def read_sequence(folder: str | Path, *, mesh_scale: float | None = None) -> Sequence:
    """The sequence in a folder, its mesh loaded.

    Args:
        folder: May be a ``package://`` address.
        mesh_scale: Metres per unit of a bare mesh file, or instead of the ``object.yaml``'s.

    Raises:
        InputError: A file is missing, wrong, or not to be told apart from others.
        AssetError: The object cannot be loaded.
    """
    folder = resolve_path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    camera = read_camera(folder / "camera.json")
    content = read_json(folder / "poses.json")
    if content.get("symmetry"):
        logger.warning("%s: symmetry is not read here: describe it in an object.yaml", folder / "poses.json")
    video = _find_video(folder, content)
    pictures = () if video is not None else _find_pictures(folder, content, camera)
    if video is None and not pictures:
        raise InputError(
            f"{folder}: no video ({' '.join(_VIDEO_SUFFIXES)}) and no pictures of {camera.width} x {camera.height}"
        )
    fps, n_frames = _video_facts(video) if video is not None else (_DEFAULT_FPS, len(pictures))
    poses, name = read_poses(content, folder / "poses.json", pictures)
    if max(poses) >= n_frames:
        raise InputError(f"{folder / 'poses.json'}: a pose for frame {max(poses)}, there are {n_frames} frames")
    return Sequence(
        folder=folder,
        fps=_stated_fps(content, folder) or fps,
        n_frames=n_frames,
        camera=camera,
        object=_load_object(folder, content, name, mesh_scale),
        poses=poses,
        video=video,
        pictures=pictures,
    )


def _find_video(folder: Path, content: Mapping[str, Any]) -> Path | None:
    if isinstance(content.get("video"), str):
        video = folder / content["video"]
        if not video.is_file():
            raise InputError(f"{folder / 'poses.json'}: the video {video.name} is not there")
        return video
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in _VIDEO_SUFFIXES)
    if len(videos) > 1:
        raise InputError(f'{folder}: {len(videos)} videos; name one as "video" in poses.json')
    return videos[0] if videos else None


def _find_pictures(folder: Path, content: Mapping[str, Any], camera: CameraIntrinsics) -> tuple[Path, ...]:
    """Those in ``frames/``; else those that poses.json names; else all beside it of the camera's size."""
    if (folder / "frames").is_dir():
        return tuple(_pictures_in(folder / "frames"))
    here = _pictures_in(folder)
    named = [p for p in here if p.name in content.get("frames", content)]
    if named:
        return tuple(named)
    # Textures lie here too: a picture of the camera's size is a frame, another is not.
    return tuple(p for p in here if _picture_size(p) == (camera.width, camera.height))


def _pictures_in(folder: Path) -> list[Path]:
    """By name, numbers counted as numbers: 9.png comes before 10.png."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in _PICTURE_SUFFIXES]
    return sorted(found, key=lambda p: (int(p.stem) if p.stem.isdigit() else -1, p.name))


def _picture_size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError:
        return None


def _video_facts(video: Path) -> tuple[float, int]:
    capture = cv2.VideoCapture(str(video))
    try:
        fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not capture.isOpened() or count < 1 or not capture.grab():
            raise InputError(f"{video}: not a video that this OpenCV can decode")
    finally:
        capture.release()
    return (fps if fps > 0 else _DEFAULT_FPS), count


def _stated_fps(content: Mapping[str, Any], folder: Path) -> float | None:
    fps = content.get("fps")
    if fps is None:
        return None
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0.0 < fps < 10000.0:
        raise InputError(f"{folder / 'poses.json'}: fps: expected a rate above 0, got {fps!r}")
    return float(fps)


def _load_object(folder: Path, content: Mapping[str, Any], name: str, mesh_scale: float | None) -> ObjectModel:
    if isinstance(content.get("object_file"), str):
        return load_object(resolve_path(content["object_file"], relative_to=folder), mesh_scale=mesh_scale)
    if (folder / "object.yaml").is_file():
        return load_object(folder / "object.yaml", mesh_scale=mesh_scale)
    meshes = sorted(p for p in folder.iterdir() if p.suffix.lower() in MESH_SUFFIXES)
    if len(meshes) > 1:
        meshes = [p for p in meshes if p.stem == name] or meshes
    if len(meshes) != 1:
        found = ", ".join(p.name for p in meshes) or "none"
        raise InputError(f"{folder}: expected an object.yaml or one mesh ({' '.join(MESH_SUFFIXES)}), found {found}")
    return load_object(meshes[0], label=name or None, mesh_scale=mesh_scale)
