"""Wavefront OBJ and its MTL, with the file's own vertex order kept.

General mesh readers split vertices where texture coordinates differ; a network that was trained on the
vertices of a file, and the correspondences that name them, need them as they are written.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from rnnpose_ros.errors import AssetError
from rnnpose_ros.objects.appearance import GREY, Material, RawMesh

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lines:
    """What the lines of an OBJ file said, in their order."""

    vertices: list[list[float]] = field(default_factory=list)
    uvs: list[list[float]] = field(default_factory=list)
    corners: list[tuple[int, int]] = field(default_factory=list)
    """Three per triangle: position index, texture index or -1; both from 0."""
    material_of_face: list[int] = field(default_factory=list)
    material_names: list[str] = field(default_factory=lambda: [""])
    libraries: list[str] = field(default_factory=list)


def read_obj(path: Path) -> RawMesh:
    """The mesh of an OBJ file; polygons become fans of triangles in the file's order.

    Raises:
        AssetError: A line cannot be read, or a face names a vertex that is not there.
    """
    lines = _Lines()
    material = 0
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        keyword, _, rest = line.strip().partition(" ")
        try:
            if keyword == "v":
                lines.vertices.append([float(x) for x in rest.split()])
            elif keyword == "vt":
                lines.uvs.append([float(x) for x in rest.split()[:2]])
            elif keyword == "f":
                _add_face(lines, rest.split(), material)
            elif keyword == "usemtl":
                name = rest.strip()
                if name not in lines.material_names:
                    lines.material_names.append(name)
                material = lines.material_names.index(name)
            elif keyword == "mtllib":
                lines.libraries.append(rest.strip())
        except (ValueError, IndexError) as error:
            raise AssetError(f"{path}:{number}: cannot read {line.strip()[:60]!r}: {error}") from None
    return _assemble(lines, path)


def _add_face(lines: _Lines, words: list[str], material: int) -> None:
    corners = [_corner(word, len(lines.vertices), len(lines.uvs)) for word in words]
    if len(corners) < 3:
        raise ValueError("a face needs three corners")
    for second, third in pairwise(corners[1:]):
        lines.corners += [corners[0], second, third]
        lines.material_of_face.append(material)


def _corner(word: str, vertex_count: int, uv_count: int) -> tuple[int, int]:
    """Indices from 0; negative ones count back from the last line read."""
    parts = word.split("/")
    vertex = int(parts[0])
    uv = int(parts[1]) if len(parts) > 1 and parts[1] else 0
    if vertex == 0:
        raise ValueError("indices start at 1")
    return (vertex - 1 if vertex > 0 else vertex_count + vertex), (uv - 1 if uv >= 0 else uv_count + uv)


def _assemble(lines: _Lines, path: Path) -> RawMesh:
    if len({len(v) for v in lines.vertices}) > 1 or any(len(v) < 3 for v in lines.vertices[:1]):
        raise AssetError(f"{path}: expected v lines with 3 numbers, or all with 6 (x y z r g b)")
    width = len(lines.vertices[0]) if lines.vertices else 3
    table = np.array(lines.vertices, float).reshape(-1, width)
    corners = np.array(lines.corners, np.int64).reshape(-1, 3, 2)
    uvs = np.array(lines.uvs, float).reshape(-1, 2)
    if corners.size and corners[..., 1].max() >= len(uvs):
        raise AssetError(f"{path}: a face names texture coordinate {corners[..., 1].max() + 1} of {len(uvs)}")
    corner_uvs = None
    if len(uvs) and (corners[..., 1] >= 0).any():
        corner_uvs = np.where(corners[..., 1:] >= 0, uvs[corners[..., 1]], np.nan)
    known = _read_libraries(lines.libraries, path)
    materials = [known.get(name, Material()) for name in lines.material_names]
    missing = [name for name in lines.material_names[1:] if name not in known]
    if missing:
        logger.warning("%s: no material %s in %s: shown grey", path, missing, lines.libraries or "any mtllib")
    return RawMesh(
        vertices=table[:, :3],
        faces=corners[..., 0],
        materials=materials,
        material_of_face=np.array(lines.material_of_face, np.int64),
        corner_uvs=corner_uvs,
        vertex_colors=_colors(table),
    )


def _colors(table: np.ndarray) -> np.ndarray | None:
    """Colours that some writers append to v lines, 0..1 or 0..255."""
    if table.shape[1] < 6 or len(table) == 0:
        return None
    colors = table[:, 3:6]
    return (colors * (255.0 if colors.max() <= 1.0 else 1.0)).round().clip(0, 255).astype(np.uint8)


def _read_libraries(names: list[str], path: Path) -> dict[str, Material]:
    materials: dict[str, Material] = {}
    for name in names:
        library = path.parent / name.replace("\\", "/")
        if not library.is_file():
            logger.warning("%s: material library %s is missing: the mesh is shown grey", path, name)
            continue
        materials.update(_read_mtl(library))
    return materials


def _read_mtl(path: Path) -> dict[str, Material]:
    materials: dict[str, Material] = {}
    name = ""
    color, texture = GREY, None
    for line in [*path.read_text(encoding="utf-8", errors="replace").splitlines(), "newmtl"]:
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "newmtl":
            if name:
                materials[name] = Material(color=color, texture=texture)
            name, color, texture = rest.strip(), GREY, None
        elif keyword == "Kd":
            color = _color_from_kd(rest, path)
        elif keyword == "map_Kd":
            texture = read_picture(path.parent / _picture_name(rest))
    return materials


def _color_from_kd(rest: str, path: Path) -> tuple[int, int, int]:
    try:
        r, g, b = (min(255, max(0, round(255 * float(x)))) for x in rest.split()[:3])
    except ValueError:
        logger.warning("%s: cannot read colour 'Kd %s': shown grey", path, rest)
        return GREY
    return r, g, b


def _picture_name(rest: str) -> str:
    """The file of a map line, after options such as ``-s 1 1 1`` (a file name may hold spaces)."""
    words = rest.strip().replace("\\", "/").split(" ")
    while words and words[0].startswith("-") and len(words) > 1:
        words.pop(0)
        while len(words) > 1 and (_is_number(words[0]) or words[0] in ("on", "off")):
            words.pop(0)
    return " ".join(words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_picture(path: Path) -> np.ndarray | None:
    """A texture as RGB uint8, first row on top; None with a warning where it cannot be read."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError:
        logger.warning("texture %s is missing: the surface is shown in its plain colour", path)
    except (OSError, Image.DecompressionBombError) as error:
        logger.warning("texture %s cannot be read (%s): the surface is shown in its plain colour", path, error)
    return None
