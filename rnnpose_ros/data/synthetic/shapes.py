"""Random solids that look like household things: boxes, cans, bottles, bowls, tools, and odd mixtures.

Everything is built from two surfaces, a profile swept around an axis along any outline (``sweep``) and a
tube along a curve (``tube``), and then bent by smooth maps of space, which cannot tear a mesh.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """A solid in arbitrary units around the origin."""

    vertices: Array
    """V 3."""
    faces: NDArray[np.int64]
    """F 3, outwards by the right hand."""
    wrap_uvs: Array
    """F 3 2: once around the axis in u, along the profile in v; what a printed label follows."""
    part_ids: NDArray[np.int64]
    """F: which part of a union a face belongs to."""
    turns: int = 1
    """Rotations about z that map the solid onto itself: 1 none, 0 any angle."""
    flips: bool = False
    """True where half turns about x and y also map it onto itself."""


def sweep(profile: Array, outline: Array, *, turns: int, flips: bool = False) -> Shape:
    """A solid whose horizontal sections are scaled copies of one outline.

    Args:
        profile: P 2 of (scale, z), from the bottom to the top; closed where the scale is 0.
        outline: N 2, counter-clockwise around the origin.
        turns: See :class:`Shape`.
        flips: See :class:`Shape`.
    """
    rows, columns = len(profile), len(outline)
    rings = profile[:, None, :1] * outline[None]
    heights = np.broadcast_to(profile[:, None, 1:], (rows, columns, 1))
    vertices = np.concatenate([rings, heights], -1).reshape(-1, 3)
    around = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.roll(outline, -1, 0) - outline, axis=1))])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    return _grid(vertices, around / around[-1], along / along[-1], turns=turns, flips=flips)


def tube(curve: Array, radii: Array, *, sides: int) -> Shape:
    """A round bar along a curve (N 3) with a radius at each point; ends are closed where it is 0."""
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    side = np.cross(tangent, _least_parallel_axis(tangent))
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-12
    up = np.cross(tangent, side)
    angle = np.linspace(0, 2 * math.pi, sides, endpoint=False)[None, :, None]
    ring = np.cos(angle) * side[:, None] + np.sin(angle) * up[:, None]
    vertices = (curve[:, None] + radii[:, None, None] * ring).reshape(-1, 3)
    along = np.linspace(0, 1, len(curve))
    return _grid(vertices, np.linspace(0, 1, sides + 1), along, turns=1, flips=False)


def _least_parallel_axis(tangent: Array) -> Array:
    axis = np.zeros(3)
    axis[np.abs(tangent).mean(0).argmin()] = 1.0
    return axis


def _grid(vertices: Array, u: Array, v: Array, *, turns: int, flips: bool) -> Shape:
    """Two triangles a cell of a grid of len(v) rows that closes upon itself in u."""
    rows, columns = len(v), len(u) - 1
    row, column = (a.ravel() for a in np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij"))
    next_column = (column + 1) % columns
    a, b = row * columns + column, row * columns + next_column
    c, d = (row + 1) * columns + next_column, (row + 1) * columns + column
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    ua, ub, va, vc = u[column], u[column + 1], v[row], v[row + 1]
    first = np.stack([ua, va, ub, va, ub, vc], 1)
    second = np.stack([ua, va, ub, vc, ua, vc], 1)
    uvs = np.concatenate([first, second]).reshape(-1, 3, 2)
    parts = np.zeros(len(faces), np.int64)
    return Shape(vertices, faces, uvs, parts, turns=turns, flips=flips)


def union(parts: list[Shape]) -> Shape:
    """The parts laid into one mesh; surfaces inside others stay and are simply not seen."""
    offsets = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
    return Shape(
        vertices=np.concatenate([p.vertices for p in parts]),
        faces=np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=True)]),
        wrap_uvs=np.concatenate([p.wrap_uvs for p in parts]),
        part_ids=np.concatenate([np.full(len(p.faces), i) for i, p in enumerate(parts)]),
    )


def scaled(shape: Shape, factors: Array) -> Shape:
    """The solid stretched along its axes; unequal x and y leave at most the half turn of its symmetry."""
    turns = shape.turns
    if abs(factors[0] - factors[1]) > 1e-9 and turns != 1:
        turns = 2 if turns % 2 == 0 else 1
    return replace(shape, vertices=shape.vertices * factors, turns=turns)


def moved(shape: Shape, rotation: Array, offset: Array) -> Shape:
    """The solid rotated and moved; its symmetry is forgotten."""
    return replace(shape, vertices=shape.vertices @ rotation.T + offset, turns=1, flips=False)


def regular_outline(sides: int) -> Array:
    """A regular polygon on the unit circle."""
    angle = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def superellipse_outline(rng: np.random.Generator, sides: int) -> Array:
    """Between a rounded rectangle and a diamond."""
    angle = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    power = rng.uniform(0.25, 1.2)
    xy = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.sign(xy) * np.abs(xy) ** power


def star_outline(rng: np.random.Generator, sides: int) -> Array:
    """A closed wavy or toothed curve around the origin, without a symmetry."""
    angle = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    radius = np.ones(sides)
    for _ in range(int(rng.integers(1, 4))):
        wave = np.sin(int(rng.integers(1, 7)) * angle + rng.uniform(0, 2 * math.pi))
        radius += rng.uniform(0.05, 0.25) * (np.sign(wave) if rng.random() < 0.25 else wave)
    return np.maximum(radius, 0.3)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def polygon_outline(rng: np.random.Generator) -> Array:
    """A plate's outline with 3 to 9 unevenly spaced corners, its edges divided."""
    corners = int(rng.integers(3, 10))
    angle = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * math.pi / corners
    points = rng.uniform(0.55, 1.0, (corners, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
    steps = np.arange(4)[:, None, None] / 4
    return (points[None] * (1 - steps) + np.roll(points, -1, 0)[None] * steps).transpose(1, 0, 2).reshape(-1, 2)


def rectangle_outline(corner: float, *, per_side: int = 4, per_corner: int = 3) -> Array:
    """The square of half side 1 with corners rounded by the given radius."""
    straight = np.linspace(-(1 - corner), 1 - corner, per_side)
    bend = np.linspace(0, math.pi / 2, per_corner + 2)[1:-1]
    side = np.stack([np.ones(per_side), straight], 1)
    arc = np.stack([1 - corner + corner * np.cos(bend), 1 - corner + corner * np.sin(bend)], 1)
    quarter = np.concatenate([side, arc])
    quarters = []
    for k in range(4):
        c, s = round(math.cos(k * math.pi / 2)), round(math.sin(k * math.pi / 2))
        quarters.append(quarter @ np.array([[c, s], [-s, c]]))
    return np.concatenate(quarters)


def slab_profile(half_height: float, bevel: float, *, steps: int = 3, rows: int = 4) -> Array:
    """The profile of a body with flat ends whose rims are rounded (or cut, with one step)."""
    turn = np.linspace(0, math.pi / 2, steps + 1)
    rim = np.stack([1 - bevel + bevel * np.sin(turn), -half_height + bevel * (1 - np.cos(turn))], 1)
    wall = np.stack([np.ones(rows), np.linspace(-half_height + bevel, half_height - bevel, rows + 2)[1:-1]], 1)
    top = rim[::-1] * np.array([1.0, -1.0])
    cap = np.array([[0.0, half_height]])
    return np.concatenate([cap * [1, -1], [[0.5 * (1 - bevel), -half_height]], rim, wall, top,
                           [[0.5 * (1 - bevel), half_height]], cap])  # fmt: skip


Warp = Callable[[Array], Array]


def random_warp(rng: np.random.Generator, *, strength: float = 1.0) -> Warp:
    """A smooth map of space: taper, twist, bend or ripples, about the unit cube."""
    kind = rng.choice(["taper", "twist", "bend", "ripple", "ripple"])
    amount = strength * rng.uniform(0.15, 0.6) * rng.choice([-1, 1])
    if kind == "taper":
        return lambda p: p * np.stack([1 + amount * p[:, 2], 1 + amount * p[:, 2], np.ones(len(p))], 1)
    if kind == "twist":
        return lambda p: _turn_about_z(p, 2 * amount * p[:, 2])
    if kind == "bend":
        return lambda p: p + np.stack([amount * p[:, 2] ** 2, np.zeros(len(p)), np.zeros(len(p))], 1)
    waves = rng.normal(0, rng.uniform(2, 7), (3, 3, 3))
    phases = rng.uniform(0, 2 * math.pi, (3, 3))
    heights = strength * rng.uniform(0.005, 0.05, (3, 3))
    return lambda p: p + (heights * np.sin(np.einsum("vk,ijk->vij", p, waves) + phases)).sum(2)


def _turn_about_z(points: Array, angle: Array) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = points.T
    return np.stack([c * x - s * y, s * x + c * y, z], 1)


def warped(shape: Shape, warp: Warp) -> Shape:
    """The solid bent by a map of space; its symmetry is forgotten."""
    return replace(shape, vertices=warp(shape.vertices), turns=1, flips=False)
