"""Meshes from files: OBJ, PLY, STL, GLB and what else trimesh reads, checked and in metres."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image

from rnnpose_ros.errors import AssetError
from rnnpose_ros.objects.appearance import GREY, Material, RawMesh, resolve_appearance
from rnnpose_ros.objects.normals import corner_normals, face_normals, weld
from rnnpose_ros.objects.obj_file import read_obj
from rnnpose_ros.types import Mesh

logger = logging.getLogger(__name__)

MESH_SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".gltf", ".off")
"""The file types this package offers to read."""


def load_mesh(path: str | Path, *, scale: float = 1.0) -> Mesh:
    """A mesh ready to draw: float32 vertices in metres and in the file's own order.

    Faces without area are dropped and a texture that cannot be read leaves the plain colour, both with a
    warning. STL repeats every vertex for every face; there, equal positions become one vertex.

    Args:
        path: One of ``MESH_SUFFIXES``.
        scale: Factor from the file's unit to metres.

    Raises:
        AssetError: The file is missing, unreadable, empty, without faces, or names vertices that are not
            there; or its vertices are not finite.
    """
    return mesh_from_raw(read_mesh_file(path), name=str(path), scale=scale)


def read_mesh_file(path: str | Path) -> RawMesh:
    """What a mesh file says, in its own unit, its vertices not judged yet.

    Raises:
        AssetError: The file is missing, unreadable or empty.
    """
    path = Path(path)
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise AssetError(
            f"{path}: expected a mesh file ({' '.join(MESH_SUFFIXES)}), got {path.suffix or 'no suffix'!r}"
        )
    if not path.is_file():
        raise AssetError(f"{path}: no such mesh file")
    if path.stat().st_size == 0:
        raise AssetError(f"{path}: the mesh file is empty (0 bytes)")
    return read_obj(path) if path.suffix.lower() == ".obj" else _read_with_trimesh(path)


def mesh_from_raw(raw: RawMesh, *, name: str, scale: float = 1.0) -> Mesh:
    """The checked mesh of what a file says.

    Args:
        raw: As read.
        name: What messages call it.
        scale: Factor to metres.

    Raises:
        AssetError: See :func:`load_mesh`.
    """
    check_structure(raw, name)
    bad = ~np.isfinite(raw.vertices).all(1)
    if bad.any():
        raise AssetError(
            f"{name}: {int(bad.sum())} of {len(bad)} vertices are not finite (first: vertex {int(bad.argmax())})"
        )
    vertices = raw.vertices * scale
    keep = faces_with_area(vertices, raw.faces, name)
    if not keep.all():
        logger.warning("%s: dropped %d of %d faces that have zero area", name, int((~keep).sum()), len(keep))
    look = resolve_appearance(raw)
    faces = raw.faces[keep]
    return Mesh(
        vertices=torch.from_numpy(vertices.astype(np.float32)),
        faces=torch.from_numpy(faces.astype(np.int64)),
        corner_normals=torch.from_numpy(corner_normals(vertices, faces).astype(np.float32)),
        vertex_colors=None if look.vertex_colors is None else torch.from_numpy(look.vertex_colors.copy()),
        corner_uvs=None if look.corner_uvs is None else torch.from_numpy(look.corner_uvs[keep].astype(np.float32)),
        texture=None if look.texture is None else torch.from_numpy(look.texture.copy()),
    )


def faces_with_area(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], name: str
) -> Bool[np.ndarray, "F"]:
    """Which faces have an area that counts.

    Raises:
        AssetError: None has.
    """
    _, areas = face_normals(vertices, faces)
    keep = areas > 1e-12 * max(float(np.ptp(vertices, axis=0).max()), 1e-30) ** 2
    if not keep.any():
        raise AssetError(f"{name}: all {len(keep)} faces have zero area")
    return keep


def check_structure(raw: RawMesh, name: str) -> None:
    """Refuses what is no mesh at all.

    Raises:
        AssetError: No vertices, no faces, or faces that name vertices that are not there.
    """
    if len(raw.vertices) == 0:
        raise AssetError(f"{name}: the mesh is empty (no vertices)")
    if len(raw.faces) == 0:
        raise AssetError(
            f"{name}: {len(raw.vertices)} vertices and no faces: a point cloud cannot be drawn, export triangles"
        )
    _check_faces(raw.faces, len(raw.vertices), name)


def _check_faces(faces: np.ndarray, vertex_count: int, name: str) -> None:
    low, high = (int(faces.min()), int(faces.max())) if faces.size else (0, -1)
    if low < 0 or high >= vertex_count:
        wrong = low if low < 0 else high
        raise AssetError(f"{name}: a face names vertex {wrong} (counted from 0), the file has {vertex_count}")


def _read_with_trimesh(path: Path) -> RawMesh:
    # Imported where it is needed: it takes a second and tens of megabytes, and an OBJ needs none of it.
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False, maintain_order=True)
        meshes = _placed_meshes(scene)
    except (ValueError, KeyError, IndexError, TypeError, OSError, AttributeError, NotImplementedError) as error:
        raise AssetError(f"{path}: not a readable {path.suffix[1:].upper()} mesh: {error!r}"[:300]) from error
    if not meshes:
        if any(isinstance(g, trimesh.PointCloud) for g in scene.geometry.values()):
            raise AssetError(f"{path}: only points and no faces: a point cloud cannot be drawn, export triangles")
        raise AssetError(f"{path}: the mesh is empty (no geometry)")
    raw = _concatenate([_part(mesh, str(path)) for mesh in meshes])
    return _weld(raw) if path.suffix.lower() == ".stl" else raw


def _placed_meshes(scene: Any) -> list[Any]:
    """Every ``trimesh.Trimesh`` of a ``trimesh.Scene`` at each of its places, in the order of the scene's nodes."""
    import trimesh

    placed = []
    for node in scene.graph.nodes_geometry:
        T_scene_part, name = scene.graph[node]
        geometry = scene.geometry[name]
        if isinstance(geometry, trimesh.Trimesh):
            copy = geometry.copy()
            if not np.array_equal(T_scene_part, np.eye(4)):
                copy.apply_transform(T_scene_part)
            placed.append(copy)
    return placed


def _part(mesh: Any, name: str) -> RawMesh:
    vertices, faces = np.array(mesh.vertices, float), np.array(mesh.faces, np.int64)
    _check_faces(faces, len(vertices), name)
    visual: Any = mesh.visual
    uvs = getattr(visual, "uv", None)
    corner_uvs = None if uvs is None or len(uvs) != len(vertices) else np.asarray(uvs, float)[faces]
    vertex_colors = None
    if visual.kind in ("vertex", "face"):
        vertex_colors = np.asarray(visual.vertex_colors)[:, :3].astype(np.uint8)
    elif len(np.atleast_1d(mesh.vertex_attributes.get("color", ()))) == len(vertices):
        vertex_colors = _as_uint8(np.asarray(mesh.vertex_attributes["color"])[:, :3])
    raw = RawMesh(
        vertices=vertices,
        faces=faces,
        materials=[_material(getattr(visual, "material", None))],
        material_of_face=np.zeros(len(faces), np.int64),
        corner_uvs=corner_uvs,
        vertex_colors=vertex_colors,
    )
    return _as_in_ply(raw, mesh.metadata.get("_ply_raw"))


def _as_in_ply(raw: RawMesh, elements: Any) -> RawMesh:
    """Undo the splitting of a PLY with texture coordinates per corner: the file's own vertices again."""
    if not elements or "vertex" not in elements:
        return raw
    data = elements["vertex"]["data"]
    written = np.stack([np.asarray(data[axis], float).reshape(-1) for axis in "xyz"], -1)
    if len(written) == len(raw.vertices):
        return raw
    first, point_of_row = weld(np.concatenate([written, raw.vertices]))
    if first.max() >= len(written):
        return raw
    index = first[point_of_row[len(written) :]]
    colors = None
    if raw.vertex_colors is not None:
        colors = np.zeros((len(written), 3), np.uint8)
        colors[index] = raw.vertex_colors
    return RawMesh(written, index[raw.faces], raw.materials, raw.material_of_face, raw.corner_uvs, colors)


def _material(material: Any) -> Material:
    """Colour and picture of trimesh's simple (OBJ, PLY) or physically based (GLB) material."""
    if material is None:
        return Material()
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    color = getattr(material, "baseColorFactor", None)
    if color is None:
        color = getattr(material, "diffuse", None)
    rgb = GREY if color is None else tuple(int(x) for x in _as_uint8(np.asarray(color)[:3]))
    texture = np.asarray(picture.convert("RGB")) if isinstance(picture, Image.Image) else None
    return Material(color=rgb, texture=texture)  # type: ignore[arg-type]


def _as_uint8(colors: np.ndarray) -> np.ndarray:
    if np.issubdtype(colors.dtype, np.floating):
        colors = (colors * (255.0 if colors.max(initial=0.0) <= 1.0 else 1.0)).round()
    return colors.clip(0, 255).astype(np.uint8)


def _concatenate(parts: list[RawMesh]) -> RawMesh:
    """Parts one after the other; parts without coordinates or colours get neutral ones where others have them."""
    offsets = np.cumsum([0] + [len(p.vertices) for p in parts])
    materials = [p.materials[0] for p in parts]

    def gather(
        get: Callable[[RawMesh], np.ndarray | None], blank: Callable[[RawMesh], np.ndarray]
    ) -> np.ndarray | None:
        if all(get(p) is None for p in parts):
            return None
        return np.concatenate([blank(p) if get(p) is None else get(p) for p in parts])

    return RawMesh(
        vertices=np.concatenate([p.vertices for p in parts]),
        faces=np.concatenate([p.faces + offset for p, offset in zip(parts, offsets[:-1], strict=True)]),
        materials=materials,
        material_of_face=np.repeat(np.arange(len(parts)), [len(p.faces) for p in parts]),
        corner_uvs=gather(lambda p: p.corner_uvs, lambda p: np.full((len(p.faces), 3, 2), np.nan)),
        vertex_colors=gather(
            lambda p: p.vertex_colors,
            lambda p: np.tile(np.array(p.materials[0].color, np.uint8), (len(p.vertices), 1)),
        ),
    )


def _weld(raw: RawMesh) -> RawMesh:
    first, point_of_vertex = weld(raw.vertices)
    colors = None if raw.vertex_colors is None else raw.vertex_colors[first]
    faces = point_of_vertex[raw.faces]
    return RawMesh(raw.vertices[first], faces, raw.materials, raw.material_of_face, raw.corner_uvs, colors)
