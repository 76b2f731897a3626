"""The twelve objects of the benchmark: textured, texture-less, thin and symmetric, 5 to 28 cm, made by code.

None of them comes from the generator that the networks are trained on. ``seed`` moves the details of the prints
only; shapes and sizes are fixed, so that models of all editions are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from rnnpose_ros.data.demo_sequence.solids import Solid, atlas_panels, handle, lathe, plain_panels, rounded_box
from rnnpose_ros.data.path_traced.scene import Coat, Finish, Thing
from rnnpose_ros.data.syn import prints
from rnnpose_ros.data.syn.solids import circle, moved, oval, plate, rounded
from rnnpose_ros.objects.appearance import GREY, Material, RawMesh
from rnnpose_ros.objects.description import ObjectDescription
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.objects.mesh_io import mesh_from_raw
from rnnpose_ros.objects.symmetry import expand_symmetries
from rnnpose_ros.types import ObjectModel


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One piece of an object."""

    solid: Solid
    paint: tuple[int, int, int] | UInt8[np.ndarray, "H W 3"]
    """sRGB, or a picture where the solid's texture coordinates say."""
    coat: Coat


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


def _carton(rng: np.random.Generator) -> Sequence[Part]:
    size, coat = (0.150, 0.055, 0.205), Coat(Finish.PAPER, 0.45)
    front, side, back, end = (
        draw(rng) for draw in (prints.carton_front, prints.carton_side, prints.carton_back, prints.carton_end)
    )
    sheet = np.full((704 + 192, 512 + 192 + 512 + 192, 3), 200, np.uint8)
    rectangles = []
    for picture, (x, y) in zip(
        (front, side, back, side, end, end),
        ((0, 0), (512, 0), (704, 0), (1216, 0), (0, 704), (512, 704)),
        strict=True,
    ):
        height, width = picture.shape[:2]
        sheet[y : y + height, x : x + width] = picture
        h, w = sheet.shape[:2]
        rectangles.append((x / w, 1 - (y + height) / h, (x + width) / w, 1 - y / h))
    return [Part(rounded_box(size, 0.0015, atlas_panels(rectangles)), sheet, coat)]


def _tin(rng: np.random.Generator) -> Sequence[Part]:
    r, h, rim = 0.0335, 0.106, 0.0012
    steel = Coat(Finish.STEEL, 0.18)
    bottom = lathe(
        [(0.0, 0.002), (r - 0.002, 0.002), (r - 0.001, 0.0), (r + rim, 0.0005), (r + rim, 0.003), (r, 0.0035)]
    )
    label = lathe([(r, 0.0035), (r, h - 0.0035)])
    top = lathe(
        [(r, h - 0.0035), (r + rim, h - 0.003), (r + rim, h - 0.0005), (r - 0.001, h), (r - 0.002, h - 0.004),
         (0.7 * r, h - 0.004), (0.66 * r, h - 0.003), (0.0, h - 0.003)]
    )  # fmt: skip
    metal = (200, 200, 196)
    return [
        Part(bottom, metal, steel),
        Part(label, prints.soup_label(rng), Coat(Finish.PAPER, 0.3)),
        Part(top, metal, steel),
    ]


def _truck(rng: np.random.Generator) -> Sequence[Part]:
    lacquer, rubber = Coat(Finish.LACQUER, 0.25), Coat(Finish.PLASTIC, 0.4)
    side, door, front = prints.truck_side(rng), prints.truck_door(rng), prints.truck_front()
    load = moved(rounded_box((0.085, 0.058, 0.05), 0.003, plain_panels()), by=(-0.025, 0.0, 0.052))
    cabin = moved(rounded_box((0.034, 0.054, 0.058), 0.005, plain_panels()), by=(0.046, 0.0, 0.05))
    face = moved(rounded_box((0.006, 0.048, 0.048), 0.002, plain_panels()), by=(0.0625, 0.0, 0.047))
    chassis = moved(rounded_box((0.13, 0.04, 0.012), 0.002, plain_panels()), by=(-0.002, 0.0, 0.02))
    wheel = lathe(
        [(0.0, -0.006), (0.013, -0.006), (0.016, -0.003), (0.016, 0.003), (0.013, 0.006), (0.0, 0.006)], sides=32
    )
    hub = lathe([(0.0, -0.0075), (0.006, -0.0075), (0.006, 0.0075), (0.0, 0.0075)], sides=20)
    parts = [
        Part(load, side, lacquer),
        Part(cabin, door, lacquer),
        Part(face, front, lacquer),
        Part(chassis, (60, 62, 66), rubber),
    ]
    for x in (-0.045, 0.042):
        for y in (-0.026, 0.026):
            parts.append(Part(moved(wheel, turn_deg=(90.0, 0.0, 0.0), by=(x, y, 0.016)), (34, 34, 36), rubber))
            parts.append(Part(moved(hub, turn_deg=(90.0, 0.0, 0.0), by=(x, y, 0.016)), (240, 200, 60), lacquer))
    return parts


def _bracket(rng: np.random.Generator) -> Sequence[Part]:
    coat, grey = Coat(Finish.ALUMINIUM, 0.28), (150, 152, 154)
    base = plate(
        rounded([(0.0, -0.03), (0.09, -0.03), (0.09, 0.03), (0.0, 0.03)], 0.01),
        thickness=0.005,
        holes=[circle(0.005, (0.07, -0.016)), circle(0.005, (0.07, 0.016)), oval(0.014, 0.006, (0.035, 0.0))],
    )
    upright = plate(
        rounded([(0.0, -0.03), (0.06, -0.03), (0.075, 0.0), (0.06, 0.03), (0.0, 0.03)], 0.01),
        thickness=0.005,
        holes=[circle(0.012, (0.048, 0.0))],
    )
    rib = plate(rounded([(0.0, 0.0), (0.042, 0.0), (0.008, 0.04), (0.0, 0.04)], 0.003), thickness=0.004)
    return [
        Part(base, grey, coat),
        Part(moved(upright, turn_deg=(0.0, -90.0, 0.0), by=(0.0025, 0.0, -0.0025)), grey, coat),
        Part(moved(rib, turn_deg=(90.0, 0.0, 0.0), by=(0.004, 0.024, 0.002)), grey, coat),
        Part(moved(rib, turn_deg=(90.0, 0.0, 0.0), by=(0.004, -0.024, 0.002)), grey, coat),
    ]


def _mug(rng: np.random.Generator) -> Sequence[Part]:
    coat, glaze = Coat(Finish.PLASTIC, 0.08), (52, 104, 120)
    cup = lathe(
        [(0.0, 0.0), (0.030, 0.0), (0.034, 0.004), (0.041, 0.04), (0.042, 0.092), (0.0405, 0.094), (0.039, 0.092),
         (0.0375, 0.04), (0.031, 0.008), (0.0, 0.006)]
    )  # fmt: skip
    grip = moved(handle(reach=0.027, height=0.056, thickness=0.0055, radius=0.039), by=(0.0, 0.0, 0.052))
    return [Part(cup, glaze, coat), Part(grip, glaze, coat)]


def _drill(rng: np.random.Generator) -> Sequence[Part]:
    shell, black, metal = Coat(Finish.PLASTIC, 0.3), (30, 31, 33), Coat(Finish.STEEL, 0.2)
    teal = (20, 132, 138)
    profile = rounded(
        [(-0.075, 0.012), (-0.03, 0.008), (-0.05, -0.085), (-0.018, -0.092), (0.008, 0.002), (0.05, 0.008),
         (0.058, 0.03), (0.05, 0.055), (-0.06, 0.06), (-0.078, 0.045)], 0.016
    )  # fmt: skip
    body = moved(plate(profile, thickness=0.044), turn_deg=(90.0, 0.0, 0.0))
    cheeks = moved(plate(0.82 * profile + (-0.004, 0.004), thickness=0.056), turn_deg=(90.0, 0.0, 0.0))
    chuck = lathe(
        [(0.0, 0.0), (0.021, 0.0), (0.021, 0.016), (0.017, 0.022), (0.015, 0.044), (0.006, 0.05), (0.0, 0.05)], sides=40
    )
    bit = lathe([(0.0, 0.0), (0.003, 0.0), (0.003, 0.035), (0.0, 0.04)], sides=16)
    battery = moved(rounded_box((0.082, 0.06, 0.034), 0.006, plain_panels()), by=(-0.022, 0.0, -0.105))
    trigger = moved(rounded_box((0.014, 0.016, 0.03), 0.004, plain_panels()), by=(0.006, 0.0, -0.012))
    return [
        Part(body, teal, shell),
        Part(cheeks, teal, shell),
        Part(moved(chuck, turn_deg=(0.0, 90.0, 0.0), by=(0.054, 0.0, 0.033)), black, shell),
        Part(moved(bit, turn_deg=(0.0, 90.0, 0.0), by=(0.102, 0.0, 0.033)), (120, 120, 122), metal),
        Part(battery, black, shell),
        Part(trigger, black, shell),
    ]


def _scissors(rng: np.random.Generator) -> Sequence[Part]:
    steel, grip, red = Coat(Finish.STEEL, 0.15), Coat(Finish.PLASTIC, 0.25), (198, 34, 40)
    blade = plate(
        np.array([(-0.02, -0.006), (0.0, -0.008), (0.085, -0.001), (0.084, 0.001), (0.0, 0.006), (-0.02, 0.004)]),
        thickness=0.002,
    )
    ring = plate(oval(0.028, 0.017), thickness=0.008, holes=[oval(0.021, 0.0105)])
    arm = plate(rounded([(-0.04, -0.005), (-0.01, -0.005), (-0.01, 0.005), (-0.04, 0.005)], 0.003), thickness=0.007)
    bolt = moved(lathe([(0.0, -0.003), (0.004, -0.003), (0.004, 0.003), (0.0, 0.003)], sides=20), by=(0.006, 0.0, 0.0))
    parts = [Part(bolt, (170, 170, 172), steel)]
    for sign in (1, -1):
        pieces = [(blade, (190, 192, 196), steel), (moved(ring, by=(-0.06, -0.008, 0.0)), red, grip), (arm, red, grip)]
        for piece, color, coat in pieces:
            opened = moved(piece, turn_deg=(0.0, 0.0, 11.0 * sign), flip_y=sign < 0)
            parts.append(Part(moved(opened, by=(0.0, 0.0, 0.0012 * sign)), color, coat))
    return parts


def _marker(rng: np.random.Generator) -> Sequence[Part]:
    coat, blue = Coat(Finish.PLASTIC, 0.15), (30, 60, 170)
    barrel = lathe([(0.0072, 0.0), (0.0072, 0.085)], sides=40)
    foot = lathe([(0.0, -0.004), (0.0055, -0.004), (0.0072, 0.0)], sides=40)
    cap = lathe([(0.0072, 0.085), (0.0083, 0.0852), (0.0083, 0.125), (0.0065, 0.132), (0.0, 0.132)], sides=40)
    clip = moved(rounded_box((0.003, 0.005, 0.038), 0.001, plain_panels()), by=(0.0102, 0.0, 0.111))
    return [
        Part(barrel, prints.marker_label(rng), coat),
        Part(foot, blue, coat),
        Part(cap, blue, coat),
        Part(clip, blue, coat),
    ]


def _spatula(rng: np.random.Generator) -> Sequence[Part]:
    nylon, steel = Coat(Finish.PLASTIC, 0.35), Coat(Finish.STEEL, 0.25)
    slots = [oval(0.028, 0.0035, (0.045, y), points=32) for y in (-0.024, -0.008, 0.008, 0.024)]
    blade = plate(
        rounded([(0.0, -0.03), (0.09, -0.042), (0.09, 0.042), (0.0, 0.03)], 0.012), thickness=0.003, holes=slots
    )
    neck = moved(
        rounded_box((0.06, 0.012, 0.005), 0.002, plain_panels()), turn_deg=(0.0, 14.0, 0.0), by=(-0.024, 0.0, 0.006)
    )
    rod = moved(
        rounded_box((0.13, 0.022, 0.012), 0.005, plain_panels()), turn_deg=(0.0, 14.0, 0.0), by=(-0.113, 0.0, 0.028)
    )
    return [Part(blade, (36, 36, 38), nylon), Part(neck, (170, 170, 170), steel), Part(rod, (216, 120, 30), nylon)]


def _bowl(rng: np.random.Generator) -> Sequence[Part]:
    outside = [(0.0, 0.0), (0.032, 0.0), (0.034, 0.006)]
    t = np.linspace(0.15, math.pi / 2, 12)
    outside += [(0.078 * math.sin(a), 0.068 - 0.064 * math.cos(a)) for a in t[3:]]
    inside = [(0.0745 * math.sin(a), 0.068 - 0.0595 * math.cos(a)) for a in t[::-1]]
    return [Part(lathe([*outside, *inside, (0, inside[-1][1] - 0.001)]), (226, 214, 190), Coat(Finish.PLASTIC, 0.1))]


def _nut(rng: np.random.Generator) -> Sequence[Part]:
    corners = [(0.0315 * math.cos(a), 0.0315 * math.sin(a)) for a in np.radians(np.arange(6) * 60.0)]
    body = plate(np.array(corners), thickness=0.024, holes=[circle(0.0165, points=48)])
    return [Part(body, (140, 140, 144), Coat(Finish.STEEL, 0.3))]


def _cube(rng: np.random.Generator) -> Sequence[Part]:
    return [Part(rounded_box((0.06,) * 3, 0.003, plain_panels()), (206, 96, 42), Coat(Finish.LACQUER, 0.3))]


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
    Design("carton", "textured", _carton),
    Design("tin", "textured", _tin),
    Design("truck", "textured", _truck),
    Design("bracket", "texture-less", _bracket, has_colours=False),
    Design("mug", "texture-less", _mug),
    Design("drill", "texture-less", _drill),
    Design("scissors", "thin", _scissors, discrete=_matrices([np.diag([1.0, -1.0, -1.0])])),
    Design("marker", "thin", _marker),
    Design("spatula", "thin", _spatula),
    Design("bowl", "symmetric", _bowl, axis=(0.0, 0.0, 1.0)),
    Design("nut", "symmetric", _nut, has_colours=False, discrete=_matrices(_prism_rotations(6))),
    Design("cube", "symmetric", _cube, discrete=_matrices(_cube_rotations())),
)
"""In the order of their numbers in the dataset, from 1."""
