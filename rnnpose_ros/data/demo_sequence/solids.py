"""The few solids of the demonstration scene, with texture coordinates, in metres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from rnnpose_ros.objects.normals import corner_normals, face_normals, weld
from rnnpose_ros.types import Mesh

_GRID_EDGE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """A closed surface and where its picture goes."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    corner_uvs: Float[np.ndarray, "F 3 2"]

    def mesh(self, texture: UInt8[np.ndarray, "Ht Wt 3"]) -> Mesh:
        """The solid with its picture."""
        return Mesh(
            vertices=torch.from_numpy(self.vertices.astype(np.float32)),
            faces=torch.from_numpy(self.faces.astype(np.int64)),
            corner_normals=torch.from_numpy(corner_normals(self.vertices, self.faces).astype(np.float32)),
            corner_uvs=torch.from_numpy(self.corner_uvs.astype(np.float32)),
            texture=torch.from_numpy(texture.copy()),
        )


@dataclass(frozen=True, slots=True)
class Panel:
    """One side of a box: its outward axis, the axis that its picture's right and top show, its place in the atlas."""

    out: tuple[int, int, int]
    right: tuple[int, int, int]
    up: tuple[int, int, int]
    rectangle: tuple[float, float, float, float]
    """u0 v0 u1 v1, v upwards."""


def rounded_box(size: tuple[float, float, float], radius: float, panels: Sequence[Panel]) -> Solid:
    """A box with rounded edges, its origin in the middle; every side shows its own part of the picture.

    Args:
        size: Full extents along x, y, z.
        radius: Of the edges.
        panels: Six sides.
    """
    half = np.array(size) / 2
    inner = half - radius
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    uvs: list[np.ndarray] = []
    for panel in panels:
        out, right, up = (np.array(a, float) for a in (panel.out, panel.right, panel.up))
        ticks = [_edge_dense(float(half @ np.abs(axis)), radius) for axis in (right, up)]
        a, b = np.meshgrid(*ticks, indexing="ij")
        flat = a[..., None] * right + b[..., None] * up + out * half
        core = flat.clip(-inner, inner)
        bent = flat - core
        points = core + radius * bent / np.linalg.norm(bent, axis=-1, keepdims=True)
        u0, v0, u1, v1 = panel.rectangle
        share = [(t - t[0]) / (t[-1] - t[0]) for t in ticks]
        u, v = np.meshgrid(u0 + (u1 - u0) * share[0], v0 + (v1 - v0) * share[1], indexing="ij")
        grid = _grid_faces(len(ticks[0]), len(ticks[1]))
        faces.append(grid + sum(map(len, vertices)))
        vertices.append(points.reshape(-1, 3))
        uvs.append(np.stack([u, v], -1).reshape(-1, 2)[grid])
    return _clean(np.concatenate(vertices), np.concatenate(faces), np.concatenate(uvs))


def plain_panels() -> tuple[Panel, ...]:
    """Six sides that all show the whole picture."""
    whole = (0.0, 0.0, 1.0, 1.0)
    return tuple(Panel(out, right, up, whole) for out, right, up in _SIDES)


_SIDES = (
    ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    ((0, 0, -1), (1, 0, 0), (0, -1, 0)),
)
"""Front, right, back, left, top, bottom: out, right and up of each."""


def atlas_panels(rectangles: Sequence[tuple[float, float, float, float]]) -> tuple[Panel, ...]:
    """Front, right, back, left, top and bottom with their places in an atlas (u0 v0 u1 v1, v upwards)."""
    return tuple(Panel(*side, rectangle) for side, rectangle in zip(_SIDES, rectangles, strict=True))


def lathe(profile: Sequence[tuple[float, float]], *, sides: int = 64) -> Solid:
    """A turned body standing on z = 0; u goes round once, v along the profile.

    Args:
        profile: (radius, z) from the bottom's middle over the outside to the end; metres.
        sides: Around.
    """
    rows = np.array(profile, float)
    angle = np.linspace(0.0, 2.0 * math.pi, sides + 1)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(rows, axis=0), axis=1))])
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)
    flat = rows[None, :, :1] * ring[:, None]
    points = np.concatenate([flat, np.broadcast_to(rows[None, :, 1:], (*flat.shape[:2], 1))], -1)
    u, v = np.meshgrid(angle / (2 * math.pi), along / along[-1], indexing="ij")
    grid = _grid_faces(sides + 1, len(rows))
    return _clean(points.reshape(-1, 3), grid, np.stack([u, v], -1).reshape(-1, 2)[grid])


def handle(*, reach: float, height: float, thickness: float, radius: float) -> Solid:
    """A mug's handle: half a ring in the x z plane that starts and ends at x = radius."""
    t, s = np.linspace(-math.pi / 2, math.pi / 2, 25), np.linspace(0, 2 * math.pi, 17)
    centre = np.stack([radius + reach * np.cos(t), 0 * t, 0.5 * height * np.sin(t)], -1)
    outward = np.stack([np.cos(t), 0 * t, np.sin(t)], -1)
    tube = np.cos(s)[None, :, None] * outward[:, None] + np.sin(s)[None, :, None] * np.array([0.0, -1.0, 0.0])
    points = centre[:, None] + thickness * tube
    grid = _grid_faces(len(t), len(s))
    uvs = np.full((len(grid), 3, 2), 0.02)
    return _clean(points.reshape(-1, 3), grid, uvs)


def joined(parts: Sequence[tuple[Solid, Float[np.ndarray, "3"]]]) -> Solid:
    """Solids moved and taken together; they share one picture."""
    offsets = np.cumsum([0] + [len(solid.vertices) for solid, _ in parts])
    return Solid(
        np.concatenate([solid.vertices + shift for solid, shift in parts]),
        np.concatenate([solid.faces + offset for (solid, _), offset in zip(parts, offsets[:-1], strict=True)]),
        np.concatenate([solid.corner_uvs for solid, _ in parts]),
    )


def _edge_dense(half: float, radius: float) -> np.ndarray:
    """Ticks across a side: close together where it bends, six between."""
    bend = half - radius + radius * np.tan(np.linspace(0.0, math.pi / 4, _GRID_EDGE + 1))
    return np.concatenate([-bend[::-1], np.linspace(-(half - radius), half - radius, 7)[1:-1], bend])


def _grid_faces(rows: int, columns: int) -> np.ndarray:
    """Two triangles a cell of a grid whose first axis is right and second up, seen from outside."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).reshape(-1)
    b, c, d = a + columns, a + columns + 1, a + 1
    return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])


def _clean(vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray) -> Solid:
    """Equal points made one, and faces that have no area dropped."""
    vertices = vertices.round(9)
    first, index = weld(vertices)
    faces = index[faces]
    keep = face_normals(vertices[first], faces)[1] > 1e-12
    return Solid(vertices[first], faces[keep], uvs[keep])
