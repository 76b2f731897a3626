"""The object folders of a BOP dataset: PLY in millimetres, textures, ``models_info.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnpose_ros.data.bop.json_files import M_PER_MM
from rnnpose_ros.data.bop.models import label_of
from rnnpose_ros.files import make_folder, write_json, write_whole
from rnnpose_ros.objects.description import ObjectDescription
from rnnpose_ros.types import Mesh, ObjectModel


def write_models(
    folder: Path, models: Mapping[int, ObjectModel], descriptions: Mapping[int, ObjectDescription]
) -> None:
    """Writes ``models`` (with colours) and ``models_eval`` (the mesh's own vertices and faces, bare).

    A vertex on a texture seam stands in ``models`` once for each of its texture coordinates, since BOP's PLY
    knows one per vertex. Errors are means over vertices, so ``models_eval`` keeps each of them once.

    Args:
        folder: Of the dataset.
        models: By BOP object id.
        descriptions: For the symmetries as a person stated them.

    Raises:
        OutputError: Something cannot be written.
    """
    info = {str(number): _info(model, descriptions[number]) for number, model in models.items()}
    for name in ("models", "models_eval"):
        make_folder(folder / name)
        for number, model in models.items():
            stem = label_of(number)
            if name == "models":
                _write_textured(folder / name, stem, model.mesh)
            else:
                normals = _vertex_normals(model.mesh.vertices, model.mesh)
                write_whole(folder / name / f"{stem}.ply", ply_bytes(model.mesh.vertices, model.mesh.faces, normals))
        write_json(folder / name / "models_info.json", info)


def ply_bytes(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    normals: Float[Tensor, "V 3"],
    *,
    colors: Tensor | None = None,
    uvs: Float[Tensor, "V 2"] | None = None,
    texture_file: str = "",
) -> bytes:
    """An ASCII PLY as BOP's: vertices from metres to millimetres, v of the texture upwards."""
    properties = [f"property float {axis}" for axis in ("x", "y", "z", "nx", "ny", "nz")]
    columns = [(vertices.double() / M_PER_MM).numpy(), normals.double().numpy()]
    if uvs is not None:
        properties += ["property float texture_u", "property float texture_v"]
        columns.append(uvs.double().numpy())
    header = ["ply", "format ascii 1.0", *([f"comment TextureFile {texture_file}"] if texture_file else [])]
    header += [f"element vertex {len(vertices)}", *properties]
    # As text, a float32 has the fewest digits that give it back.
    rows = [" ".join(row) for row in np.concatenate(columns, 1).astype(np.float32).astype(str)]
    if colors is not None:
        header += [f"property uchar {name}" for name in ("red", "green", "blue")]
        rows = [f"{row} {r} {g} {b}" for row, (r, g, b) in zip(rows, colors.tolist(), strict=True)]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    rows += [f"3 {a} {b} {c}" for a, b, c in faces.tolist()]
    return ("\n".join([*header, *rows]) + "\n").encode("ascii")


def _write_textured(folder: Path, stem: str, mesh: Mesh) -> None:
    if mesh.texture is None or mesh.corner_uvs is None:
        content = ply_bytes(mesh.vertices, mesh.faces, _vertex_normals(mesh.vertices, mesh), colors=mesh.vertex_colors)
        write_whole(folder / f"{stem}.ply", content)
        return
    corners = torch.cat([mesh.faces.reshape(-1, 1).double(), mesh.corner_uvs.reshape(-1, 2).double()], 1)
    unique, faces = torch.unique(corners, dim=0, return_inverse=True)
    vertex = unique[:, 0].long()
    normals = _vertex_normals(mesh.vertices, mesh)[vertex]
    texture = f"{stem}.png"
    content = ply_bytes(mesh.vertices[vertex], faces.reshape(-1, 3), normals, uvs=unique[:, 1:], texture_file=texture)
    write_whole(folder / texture, encode_png(mesh.texture.numpy()))
    write_whole(folder / f"{stem}.ply", content)


def encode_png(picture: np.ndarray) -> bytes:
    """A picture (RGB, or one channel of 8 or 16 bits) as PNG."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    # Level 1 is half the time of the default for a few percent of the size.
    _, encoded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return encoded.tobytes()


def _vertex_normals(vertices: Float[Tensor, "V 3"], mesh: Mesh) -> Float[Tensor, "V 3"]:
    """The mean of the normals of the corners that meet at each vertex."""
    total = torch.zeros(len(vertices), 3, dtype=torch.float64)
    total.index_add_(0, mesh.faces.reshape(-1), mesh.corner_normals.reshape(-1, 3).double())
    return torch.nn.functional.normalize(total, dim=-1)


def _info(model: ObjectModel, description: ObjectDescription) -> dict[str, Any]:
    """One entry of ``models_info.json``, millimetres."""
    vertices = model.mesh.vertices.double() / M_PER_MM
    low, size = vertices.amin(0).tolist(), (vertices.amax(0) - vertices.amin(0)).tolist()
    entry: dict[str, Any] = {"diameter": model.diameter / M_PER_MM}
    entry |= {f"min_{axis}": value for axis, value in zip("xyz", low, strict=True)}
    entry |= {f"size_{axis}": value for axis, value in zip("xyz", size, strict=True)}
    unit_mm = description.symmetry_unit_m / M_PER_MM
    if description.discrete:
        entry["symmetries_discrete"] = [_matrix_in_mm(matrix, unit_mm) for matrix in description.discrete]
    if description.continuous:
        entry["symmetries_continuous"] = [_axis_in_mm(axis, unit_mm) for axis in description.continuous]
    return entry


def _matrix_in_mm(matrix: Any, unit_mm: float) -> list[float]:
    T = np.array(matrix, float).reshape(4, 4)
    T[:3, 3] *= unit_mm
    return T.reshape(-1).tolist()


def _axis_in_mm(symmetry: Mapping[str, Any], unit_mm: float) -> dict[str, Sequence[float]]:
    offset = np.array(symmetry.get("offset", (0.0, 0.0, 0.0)), float) * unit_mm
    return {"axis": [float(x) for x in symmetry["axis"]], "offset": offset.tolist()}
