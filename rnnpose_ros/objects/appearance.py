"""From the materials of a mesh file to one texture, or to vertex colours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

logger = logging.getLogger(__name__)

GREY = (179, 179, 179)
"""The colour of a surface nobody said anything about, sRGB."""

_MAX_ATLAS_WIDTH = 4096
_BORDER = 4


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What one part of a surface looks like."""

    color: tuple[int, int, int] = GREY
    """sRGB, used where there is no texture."""
    texture: UInt8[np.ndarray, "Ht Wt 3"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RawMesh:
    """A mesh as its file says it, before anything is judged or scaled."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    materials: Sequence[Material]
    material_of_face: Int[np.ndarray, "F"]
    corner_uvs: Float[np.ndarray, "F 3 2"] | None = None
    """v upwards; NaN at corners the file gives none for."""
    vertex_colors: UInt8[np.ndarray, "V 3"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Either a texture with its coordinates, or vertex colours, or neither."""

    corner_uvs: Float[np.ndarray, "F 3 2"] | None = None
    texture: UInt8[np.ndarray, "Ht Wt 3"] | None = None
    vertex_colors: UInt8[np.ndarray, "V 3"] | None = None


def resolve_appearance(raw: RawMesh) -> Appearance:
    """One texture or one set of colours for the whole mesh.

    A single texture stays as it is. Several materials are packed into one atlas, one below the other;
    materials without a picture get a patch of their colour. Vertex colours win over plain material
    colours, and lose (with a warning) where another part of the same mesh is textured.
    """
    used = [raw.materials[i] for i in np.unique(raw.material_of_face)]
    textured = [m for m in used if m.texture is not None and raw.corner_uvs is not None]
    if not textured:
        if raw.vertex_colors is not None:
            return Appearance(vertex_colors=raw.vertex_colors)
        if len({m.color for m in used}) == 1:
            color = used[0].color
            colors = np.tile(np.array(color, np.uint8), (len(raw.vertices), 1))
            return Appearance(vertex_colors=None if color == GREY else colors)
    elif len(used) == 1 and raw.corner_uvs is not None:
        return Appearance(corner_uvs=np.nan_to_num(raw.corner_uvs), texture=textured[0].texture)
    if raw.vertex_colors is not None:
        logger.warning("the mesh has both textures and vertex colours: the vertex colours are not used")
    return _pack_atlas(raw)


def _pack_atlas(raw: RawMesh) -> Appearance:
    uvs = np.full((len(raw.faces), 3, 2), 0.5) if raw.corner_uvs is None else _fold(raw.corner_uvs)
    has_uvs = raw.corner_uvs is not None
    pictures = [
        m.texture if m.texture is not None and has_uvs else np.full((8, 8, 3), m.color, np.uint8) for m in raw.materials
    ]
    used = set(np.unique(raw.material_of_face).tolist())
    width = min(max(p.shape[1] for i, p in enumerate(pictures) if i in used), _MAX_ATLAS_WIDTH)
    tiles: list[np.ndarray] = []
    bands: dict[int, tuple[int, int]] = {}
    top = 0
    for i in sorted(used):
        height = max(1, round(pictures[i].shape[0] * width / pictures[i].shape[1])) if _is_textured(raw, i) else 8
        tile = np.asarray(Image.fromarray(pictures[i]).resize((width, height), Image.Resampling.BILINEAR))
        bands[i] = (top + _BORDER, height)
        tiles.append(np.pad(tile, ((_BORDER, _BORDER), (0, 0), (0, 0)), mode="edge"))
        top += height + 2 * _BORDER
    start = np.array([bands.get(i, (0, 1))[0] for i in range(len(pictures))], float)[raw.material_of_face][:, None]
    height_of_face = np.array([bands.get(i, (0, 1))[1] for i in range(len(pictures))], float)
    rows = start + (1.0 - uvs[..., 1]) * height_of_face[raw.material_of_face][:, None]
    packed = np.stack([uvs[..., 0], 1.0 - rows / top], -1)
    return Appearance(corner_uvs=packed, texture=np.concatenate(tiles))


def _is_textured(raw: RawMesh, index: int) -> bool:
    return raw.materials[index].texture is not None and raw.corner_uvs is not None


def _fold(corner_uvs: np.ndarray) -> np.ndarray:
    """Coordinates with v inside 0..1, where an atlas can hold them; u may go on repeating."""
    uvs = np.nan_to_num(corner_uvs, nan=0.5)
    uvs = uvs - np.array([0.0, 1.0]) * np.floor(uvs[..., 1].min(1) + 1e-9)[:, None, None]
    if (uvs[..., 1] > 1.0 + 1e-6).any():
        logger.warning("a face repeats its texture more than once upwards: an atlas of several textures cannot")
    return np.stack([uvs[..., 0], uvs[..., 1].clip(0.0, 1.0)], -1)
