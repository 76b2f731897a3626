"""The twelve objects of the benchmark: textured, texture-less, thin and symmetric, 5 to 28 cm, made by code.

None of them comes from the generator that the networks are trained on. Everything is the same each time, prints too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnpose_ros.data.path_traced.scene import Thing
from rnnpose_ros.data.syn import shapes
from rnnpose_ros.data.syn.shapes import Part
from rnnpose_ros.objects.appearance import GREY, Material, RawMesh
from rnnpose_ros.objects.description import ObjectDescription
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.objects.mesh_io import mesh_from_raw
from rnnpose_ros.objects.symmetry import expand_symmetries
from rnnpose_ros.types import ObjectModel


@dataclass(frozen=True, slots=True)
class Design:
    """How an object is built and what is said about it."""

    label: str
    kind: str
    """textured, texture-less, thin or symmetric."""
    build: Callable[[np.random.Generator], Sequence[Part]]
    has_colours: bool = True
    """False where the model is bare CAD and only the real thing has a colour."""
    discrete: tuple[tuple[float, ...], ...] = ()
    """BOP's terms, metres."""
    axis: tuple[float, float, float] | None = None
    """Of a continuous symmetry through the origin."""


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkObject:
    """A model for the refiner, and the thing for the path tracer."""

    design: Design
    model: ObjectModel
    thing: Thing

    @property
    def description(self) -> ObjectDescription:
        """What a person would say about it."""
        return _description(self.design)


def build_object(design: Design) -> BenchmarkObject:
    """Builds one of the designs; always the same."""
    parts = design.build(np.random.default_rng([ord(c) for c in design.label]))
    raw, part_of_face = _assembled(parts)
    mesh = mesh_from_raw(raw, name=design.label)
    if len(mesh.faces) != len(part_of_face):
        raise AssertionError(f"{design.label}: a face has no area")
    bare = mesh_from_raw(_bare(raw), name=design.label)
    said = _description(design)
    symmetries = expand_symmetries(said.discrete, said.continuous, name=design.label)
    model = object_from_mesh(mesh if design.has_colours else bare, label=design.label, symmetries=symmetries)
    return BenchmarkObject(design, model, Thing(mesh, tuple(part.coat for part in parts), part_of_face))


def _assembled(parts: Sequence[Part]) -> tuple[RawMesh, np.ndarray]:
    """All parts in one mesh about the middle of their box, and the part of every face."""
    offsets = np.cumsum([0] + [len(part.solid.vertices) for part in parts])
    vertices = np.concatenate([part.solid.vertices for part in parts])
    vertices = vertices - 0.5 * (vertices.min(0) + vertices.max(0))
    faces = np.concatenate([part.solid.faces + o for part, o in zip(parts, offsets[:-1], strict=True)])
    part_of_face = np.repeat(np.arange(len(parts)), [len(part.solid.faces) for part in parts])
    materials = [Material(color=p.paint) if isinstance(p.paint, tuple) else Material(texture=p.paint) for p in parts]
    uvs = np.concatenate([part.solid.corner_uvs for part in parts])
    return RawMesh(vertices, faces, materials, part_of_face, corner_uvs=uvs), part_of_face


def _bare(raw: RawMesh) -> RawMesh:
    return RawMesh(raw.vertices, raw.faces, [Material(color=GREY)], np.zeros(len(raw.faces), np.int64))


def _description(design: Design) -> ObjectDescription:
    continuous = () if design.axis is None else ({"axis": list(design.axis)},)
    discrete = tuple(list(T) for T in design.discrete)
    return ObjectDescription(label=design.label, mesh_path=Path(), discrete=discrete, continuous=continuous)


def _matrices(rotations: Sequence[np.ndarray]) -> tuple[tuple[float, ...], ...]:
    """4 x 4, row by row, without the identity."""
    matrices = []
    for R in rotations:
        T = np.eye(4)
        T[:3, :3] = R
        if not np.allclose(T, np.eye(4)):
            matrices.append(tuple(float(x) for x in T.ravel()))
    return tuple(matrices)


def _prism_rotations(sides: int) -> list[np.ndarray]:
    """Of a regular prism about z with a corner on x."""
    turns = []
    for i in range(sides):
        c, s = math.cos(2 * math.pi * i / sides), math.sin(2 * math.pi * i / sides)
        turns.append(np.array([[c, -s, 0], [s, c, 0], [0.0, 0.0, 1.0]]))
    return [R @ F for F in (np.eye(3), np.diag([1.0, -1.0, -1.0])) for R in turns]


def _cube_rotations() -> list[np.ndarray]:
    """All 24: signed permutations of determinant one."""
    signed = [np.eye(3)[list(p)] * s for p in _PERMUTATIONS for s in _SIGNS]
    return [R for R in signed if np.linalg.det(R) > 0]


_PERMUTATIONS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_SIGNS = [np.array([[a], [b], [c]]) for a in (1.0, -1.0) for b in (1.0, -1.0) for c in (1.0, -1.0)]

DESIGNS = (
    Design("carton", "textured", shapes.carton),
    Design("tin", "textured", shapes.tin),
    Design("truck", "textured", shapes.truck),
    Design("bracket", "texture-less", shapes.bracket, has_colours=False),
    Design("mug", "texture-less", shapes.mug),
    Design("drill", "texture-less", shapes.drill),
    Design("scissors", "thin", shapes.scissors, discrete=_matrices([np.diag([1.0, -1.0, -1.0])])),
    Design("marker", "thin", shapes.marker),
    Design("spatula", "thin", shapes.spatula),
    Design("bowl", "symmetric", shapes.bowl, axis=(0.0, 0.0, 1.0)),
    Design("nut", "symmetric", shapes.nut, has_colours=False, discrete=_matrices(_prism_rotations(6))),
    Design("cube", "symmetric", shapes.cube, discrete=_matrices(_cube_rotations())),
)
"""In the order of their numbers in the dataset, from 1."""
