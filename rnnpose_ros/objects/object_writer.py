"""The folder of an object: ``object.yaml``, its mesh as OBJ in metres, its texture. What :mod:`.library` reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from rnnpose_ros.files import make_folder, write_whole
from rnnpose_ros.types import Mesh

DESCRIPTION_FILE = "object.yaml"


def write_mesh(folder: Path, stem: str, mesh: Mesh) -> Path:
    """Writes ``<stem>.obj`` and, where there is a texture, ``.mtl`` and ``.png``; reads back to the same mesh.

    Raises:
        OutputError: Something cannot be written.
    """
    make_folder(folder)
    vertices = mesh.vertices.cpu().numpy()
    columns = vertices.astype(np.float32).astype(str)  # a float32's text gives it back
    if mesh.vertex_colors is not None:
        columns = np.concatenate([columns, (mesh.vertex_colors.cpu().numpy() / 255.0).round(5).astype(str)], 1)
    lines = [f"v {' '.join(row)}" for row in columns]
    faces = mesh.faces.cpu().numpy() + 1
    if mesh.texture is None or mesh.corner_uvs is None:
        lines += [f"f {a} {b} {c}" for a, b, c in faces.tolist()]
    else:
        _write_texture(folder, stem, mesh.texture.cpu().numpy())
        uvs, index = np.unique(mesh.corner_uvs.cpu().numpy().reshape(-1, 2), axis=0, return_inverse=True)
        lines = [f"mtllib {stem}.mtl", *lines, *(f"vt {u} {v}" for u, v in uvs.astype(str)), f"usemtl {stem}"]
        corners = np.stack([faces, index.reshape(-1, 3) + 1], -1)
        lines += ["f " + " ".join(f"{v}/{t}" for v, t in face) for face in corners.tolist()]
    path = folder / f"{stem}.obj"
    write_whole(path, "\n".join(lines) + "\n")
    return path


def write_description(
    folder: Path,
    *,
    label: str,
    mesh_file: str,
    discrete: Sequence[Any] = (),
    continuous: Sequence[Any] = (),
    weights_file: str | None = None,
) -> Path:
    """Writes ``object.yaml`` for a mesh in metres beside it.

    Args:
        folder: Of the object.
        label: What detectors call it.
        mesh_file: Its name.
        discrete: Symmetries as :func:`.symmetry.expand_symmetries` takes them, metres.
        continuous: The same.
        weights_file: The name of weights made for it.

    Raises:
        OutputError: It cannot be written.
    """
    content: dict[str, Any] = {"label": label, "mesh": mesh_file, "mesh_scale": 1.0}
    symmetries = {"discrete": list(discrete), "continuous": list(continuous)}
    named = {kind: values for kind, values in symmetries.items() if values}
    if named:
        content["symmetries"] = named
    if weights_file is not None:
        content["weights"] = weights_file
    make_folder(folder)
    path = folder / DESCRIPTION_FILE
    write_whole(path, yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120))
    return path


def _write_texture(folder: Path, stem: str, texture: np.ndarray) -> None:
    picture = io.BytesIO()
    Image.fromarray(texture).save(picture, format="PNG")
    write_whole(folder / f"{stem}.png", picture.getvalue())
    write_whole(folder / f"{stem}.mtl", f"newmtl {stem}\nKd 1 1 1\nmap_Kd {stem}.png\n")
