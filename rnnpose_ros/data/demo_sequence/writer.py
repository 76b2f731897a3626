"""The demonstration's files: the object's folder and the sequence's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from rnnpose_ros.data.demo_sequence.film import Exposure, Film
from rnnpose_ros.data.demo_sequence.motion import CAMERA, FPS, BoxMotion, frame_count, seconds_of_frame
from rnnpose_ros.data.demo_sequence.scenery import build_scenery
from rnnpose_ros.data.demo_sequence.solids import Solid
from rnnpose_ros.data.demo_sequence.tea_box import LABEL, tea_box_artwork, tea_box_solid
from rnnpose_ros.errors import InputError

LEAST_VISIBLE_SHARE = 0.25
"""Frames that show less of the box get no reference pose."""
_TEXTURE_QUALITY = 90
_PICTURE_QUALITY = 92


def write_object(folder: Path) -> None:
    """``object.yaml``, OBJ, MTL and texture of the tea box."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_obj(folder / f"{LABEL}.obj", tea_box_solid())
    (folder / f"{LABEL}.mtl").write_text(f"newmtl print\nKd 1 1 1\nmap_Kd {LABEL}.jpg\n", encoding="utf-8")
    Image.fromarray(tea_box_artwork()).save(folder / f"{LABEL}.jpg", quality=_TEXTURE_QUALITY)
    lines = (f"label: {LABEL}", f"mesh: {LABEL}.obj", "mesh_scale: 1.0  # the file is in metres")
    (folder / "object.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_sequence(
    folder: Path, object_folder: Path, *, seed: int, every: int = 1, on_frame: Callable[[int, int], None]
) -> None:
    """``camera.json``, ``video.mp4`` and ``poses.json``.

    Args:
        folder: Made when missing.
        object_folder: Where :func:`write_object` wrote.
        seed: Of the scenery, the lamps and the sensor's noise.
        every: Take only every n-th frame (of a sequence as much slower).
        on_frame: Called with the frames done and their number.

    Raises:
        InputError: This OpenCV cannot write MPEG-4 video.
    """
    folder.mkdir(parents=True, exist_ok=True)
    film = Film(tea_box_solid().mesh(tea_box_artwork()), build_scenery(seed=seed), seed=seed)
    motion = BoxMotion()
    indices = range(0, frame_count(), every)
    fps = FPS / every
    poses = {}
    video = cv2.VideoWriter(
        str(folder / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), fps, (CAMERA.width, CAMERA.height)
    )
    if not video.isOpened():
        raise InputError(f"{folder / 'video.mp4'}: this OpenCV cannot write MPEG-4 video")
    for position, index in enumerate(indices):
        exposure = film.expose(motion, seconds_of_frame(index))
        video.write(_compressed(exposure.rgb))
        if exposure.visible_share >= LEAST_VISIBLE_SHARE:
            poses[str(position)] = _pose_entry(exposure)
        on_frame(position + 1, len(indices))
    video.release()
    _write_camera(folder / "camera.json")
    content = {
        "video": "video.mp4",
        "fps": fps,
        "n_frames": len(indices),
        "object_file": Path(os.path.relpath(object_folder / "object.yaml", folder)).as_posix(),
        "reference": f"exact; frames that show less than {LEAST_VISIBLE_SHARE:.0%} of the box are left out",
        "frames": poses,
    }
    (folder / "poses.json").write_text(_one_line_a_frame(content), encoding="utf-8")


def _write_obj(path: Path, solid: Solid) -> None:
    uvs, uv_index = np.unique(solid.corner_uvs.reshape(-1, 2).round(6), axis=0, return_inverse=True)
    corners = np.stack([solid.faces.reshape(-1), uv_index.reshape(-1)], -1).reshape(-1, 6) + 1
    lines = [f"# {LABEL}, metres", f"mtllib {path.stem}.mtl", "usemtl print"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in solid.vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uvs]
    lines += [f"f {a}/{b} {c}/{d} {e}/{f}" for a, b, c, d, e, f in corners]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _compressed(rgb: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
    """As a camera that sends JPEG, then for the video writer (BGR)."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _PICTURE_QUALITY])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def _pose_entry(exposure: Exposure) -> dict[str, object]:
    T = exposure.T_camera_box.numpy().round(8)
    return {"R": T[:3, :3].tolist(), "t_m": T[:3, 3].tolist(), "visible_share": round(exposure.visible_share, 3)}


def _write_camera(path: Path) -> None:
    K = CAMERA.K[0]
    values = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    content = {key: float(value) for key, value in values.items()}
    path.write_text(json.dumps({**content, "width": CAMERA.width, "height": CAMERA.height}, indent=1) + "\n")


def _one_line_a_frame(content: dict) -> str:
    frames = ",\n".join(f"  {json.dumps(key)}: {json.dumps(pose)}" for key, pose in content["frames"].items())
    head = json.dumps({key: value for key, value in content.items() if key != "frames"}, indent=1)
    return head.removesuffix("\n}") + ',\n "frames": {\n' + frames + "\n }\n}\n"
