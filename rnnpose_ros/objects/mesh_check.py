"""Is a mesh fit to be compared with photographs? Mends what can be mended, aloud, and refuses the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from rnnpose_ros.errors import AssetError
from rnnpose_ros.objects.appearance import RawMesh, resolve_appearance
from rnnpose_ros.objects.decimation import decimate
from rnnpose_ros.objects.diameter import diameter
from rnnpose_ros.objects.library import USUAL_DIAMETER_M
from rnnpose_ros.objects.mesh_io import check_structure, faces_with_area
from rnnpose_ros.objects.topology import examine_topology

MOST_FACES = 100_000
"""Finer meshes are decimated: at the resolution of a crop nobody sees the difference, and every render pays for it."""
MOST_TEXELS = 2048
"""Along the longer side of a texture."""
MOST_BAD_SHARE = 0.05
"""Of vertices that are not finite. More mean a damaged file, not a few slips of an exporter."""

_UNITS = (
    (1.0, "metres"),
    (0.001, "millimetres"),
    (0.01, "centimetres"),
    (0.0254, "inches"),
    (1000.0, "kilometres"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was noticed about a mesh."""

    text: str
    is_warning: bool = True
    """False where it is only worth knowing."""


@dataclass(frozen=True, slots=True, eq=False)
class CheckedMesh:
    """A mesh that can be used, and what was found and done."""

    raw: RawMesh
    """In metres."""
    diameter: float
    """Metres."""
    findings: tuple[Finding, ...]


def check_mesh(raw: RawMesh, *, name: str, scale: float | None = None, most_faces: int = MOST_FACES) -> CheckedMesh:
    """Checks and mends a mesh.

    Args:
        raw: As its file says.
        name: What messages call it.
        scale: Factor from the file's unit to metres; None: the file is in metres, and refused where that is unlikely.
        most_faces: Finer meshes are decimated.

    Raises:
        AssetError: Not usable as it is; says why and what to do.
    """
    check_structure(raw, name)
    findings: list[Finding] = []
    for mend in (
        _without_bad_vertices,
        _without_flat_faces,
        _with_fewer_faces,
        _turned_outwards,
        _with_smaller_textures,
    ):
        raw = mend(raw, name, most_faces, findings.append)
    raw = replace(raw, vertices=raw.vertices * (1.0 if scale is None else scale))
    size = diameter(_used(raw))
    findings += [_size(size, name, scale), *_colours(raw)]
    return CheckedMesh(raw, size, tuple(findings))


def _used(raw: RawMesh) -> Float[np.ndarray, "_ 3"]:
    return raw.vertices[np.unique(raw.faces)]


def _with_faces(raw: RawMesh, keep: Bool[np.ndarray, "F"]) -> RawMesh:
    return replace(
        raw,
        faces=raw.faces[keep],
        material_of_face=raw.material_of_face[keep],
        corner_uvs=None if raw.corner_uvs is None else raw.corner_uvs[keep],
    )


def _without_bad_vertices(raw: RawMesh, name: str, most_faces: int, say: Callable[[Finding], None]) -> RawMesh:
    bad = ~np.isfinite(raw.vertices).all(1)
    count = int(bad.sum())
    if not count:
        return raw
    touched = bad[raw.faces].any(1)
    if count > MOST_BAD_SHARE * len(bad) or touched.all():
        raise AssetError(
            f"{name}: {count} of {len(bad)} vertices are not finite (NaN or infinite; first: vertex "
            f"{int(bad.argmax())}): the file is damaged, export it again"
        )
    say(Finding(f"{count} of {len(bad)} vertices are not finite: dropped, with the {int(touched.sum())} faces on them"))
    number = np.cumsum(~bad) - 1
    kept = _with_faces(raw, ~touched)
    colors = None if raw.vertex_colors is None else raw.vertex_colors[~bad]
    return replace(kept, vertices=raw.vertices[~bad], faces=number[kept.faces], vertex_colors=colors)


def _without_flat_faces(raw: RawMesh, name: str, most_faces: int, say: Callable[[Finding], None]) -> RawMesh:
    keep = faces_with_area(raw.vertices, raw.faces, name)
    if keep.all():
        return raw
    say(Finding(f"{int((~keep).sum())} of {len(keep)} faces have zero area: dropped"))
    return _with_faces(raw, keep)


def _with_fewer_faces(raw: RawMesh, name: str, most_faces: int, say: Callable[[Finding], None]) -> RawMesh:
    if len(raw.faces) <= most_faces:
        return raw
    fewer = decimate(raw, most_faces)
    carried = "" if raw.corner_uvs is None else "; its texture is carried over and may be off by a little at seams"
    say(Finding(f"{len(raw.faces)} faces are more than any picture shows: decimated to {len(fewer.faces)}{carried}"))
    return _with_faces(fewer, faces_with_area(fewer.vertices, fewer.faces, name))


def _turned_outwards(raw: RawMesh, name: str, most_faces: int, say: Callable[[Finding], None]) -> RawMesh:
    found = examine_topology(raw.vertices, raw.faces)
    count = int(found.flipped.sum())
    if found.holes:
        say(
            Finding(
                f"not watertight: {found.holes} holes, {found.open_edges} open edges; through them the inside is "
                "drawn. Close them in the CAD program if the real thing is closed there"
            )
        )
    else:
        say(Finding("watertight", is_warning=False))
    if found.crowded_edges:
        say(Finding(f"{found.crowded_edges} edges have more than two faces: drawn as they are", is_warning=False))
    if found.bodies > 1:
        say(Finding(f"{found.bodies} separate parts, taken as one rigid object", is_warning=False))
    if not count:
        return raw
    say(Finding(f"{count} of {len(raw.faces)} faces were the wrong way round: turned"))
    faces = np.where(found.flipped[:, None], raw.faces[:, ::-1], raw.faces)
    uvs = raw.corner_uvs
    if uvs is not None:
        uvs = np.where(found.flipped[:, None, None], uvs[:, ::-1], uvs)
    return replace(raw, faces=faces, corner_uvs=uvs)


def _with_smaller_textures(raw: RawMesh, name: str, most_faces: int, say: Callable[[Finding], None]) -> RawMesh:
    materials = []
    for material in raw.materials:
        texture = material.texture
        if texture is not None and max(texture.shape[:2]) > MOST_TEXELS:
            height, width = texture.shape[:2]
            shrink = MOST_TEXELS / max(height, width)
            size = max(1, round(width * shrink)), max(1, round(height * shrink))
            texture = np.asarray(Image.fromarray(texture).resize(size, Image.Resampling.BOX))
            say(
                Finding(
                    f"a texture of {width} x {height} texels is finer than any crop: reduced to {size[0]} x {size[1]}"
                )
            )
        materials.append(replace(material, texture=texture))
    return replace(raw, materials=materials)


def _size(size_m: float, name: str, scale: float | None) -> Finding:
    """Says the size; refuses one that cannot be meant.

    Raises:
        AssetError: Outside what the package serves; with the scale that would make sense.
    """
    low, high = USUAL_DIAMETER_M
    if low <= size_m <= high:
        return Finding(f"diameter {1000 * size_m:.1f} mm", is_warning=False)
    units = size_m if scale is None else size_m / scale
    said = "no --scale was given, so it was read as metres" if scale is None else f"--scale {scale:g} was given"
    guess = next(((f, unit) for f, unit in _UNITS if 0.02 <= units * f <= 1.0), None)
    guess = guess or next(((f, unit) for f, unit in _UNITS if low <= units * f <= high), None)
    remedy = "give --scale, in metres per unit of the file"
    if guess is not None:
        remedy = f"it looks like {guess[1]}: give --scale {guess[0]:g} (a diameter of {1000 * units * guess[0]:.4g} mm)"
    raise AssetError(
        f"{name}: a diameter of {size_m:.4g} m is outside {1000 * low:g} mm to {high:g} m ({said}); {remedy}"
    )


def _colours(raw: RawMesh) -> Iterator[Finding]:
    look = resolve_appearance(raw)
    if look.texture is not None:
        height, width = look.texture.shape[:2]
        yield Finding(f"texture of {width} x {height} texels", is_warning=False)
    elif look.vertex_colors is not None and len(np.unique(look.vertex_colors, axis=0)) > 1:
        yield Finding("no texture: its colours, given for each vertex or part, are used", is_warning=False)
    else:
        yield Finding(
            "no texture: one plain colour. Pictures are compared by shape and shading alone, which is less exact; "
            "give a mesh with the real thing's colours if there is one"
        )
