"""Things that stand about: boxes, books, vases, balls, sticks, bars of random size, colour and finish."""

from __future__ import annotations

import math

import numpy as np
import torch

from rnnpose_ros.data.demo_sequence.solids import Solid, lathe, plain_panels, rounded_box
from rnnpose_ros.data.path_traced.patterns import random_pattern
from rnnpose_ros.data.path_traced.scene import Coat, Finish, Thing
from rnnpose_ros.types import Mesh


def random_prop(rng: np.random.Generator, *, size_m: float) -> Thing:
    """A thing whose longest side is about ``size_m``."""
    solid = (_box, _vase, _ball, _stick)[int(rng.integers(4))](rng, size_m)
    return Thing(solid.mesh(random_pattern(rng)), (random_coat(rng),))


def random_coat(rng: np.random.Generator) -> Coat:
    """Any finish that lets the mesh's colour be seen; metal is rare."""
    finishes = (Finish.MATT, Finish.PLASTIC, Finish.LACQUER, Finish.PAPER, Finish.METAL)
    finish = finishes[int(rng.choice(5, p=(0.2, 0.35, 0.2, 0.2, 0.05)))]
    rough = rng.uniform(0.35, 0.8) if finish is Finish.PAPER else math.exp(rng.uniform(math.log(0.06), math.log(0.5)))
    return Coat(finish, float(rough))


def plane(
    corner: np.ndarray, across: np.ndarray, along: np.ndarray, *, rng: np.random.Generator, repeats: float
) -> Thing:
    """A parallelogram in the frame of its arguments, with a pattern on it.

    Args:
        corner: Where it begins.
        across: Its first side.
        along: Its second side.
        rng: Chooses pattern and finish.
        repeats: How often the pattern is repeated.
    """
    vertices = np.stack([corner, corner + across, corner + across + along, corner + along])
    normal = np.cross(across, along)
    uvs = repeats * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    mesh = Mesh(
        vertices=torch.from_numpy(vertices).float(),
        faces=torch.from_numpy(faces),
        corner_normals=torch.from_numpy(np.tile(normal / np.linalg.norm(normal), (2, 3, 1))).float(),
        corner_uvs=torch.from_numpy(uvs[faces]).float(),
        texture=torch.from_numpy(random_pattern(rng)),
    )
    return Thing(mesh, (random_coat(rng),))


def _box(rng: np.random.Generator, size_m: float) -> Solid:
    sides = size_m * np.sort(rng.uniform(0.15, 1.0, 3))[::-1] / 1.0
    sides[0] = size_m
    width, depth, height = (float(s) for s in rng.permutation(sides))
    return rounded_box((width, depth, height), 0.06 * float(sides.min()), plain_panels())


def _vase(rng: np.random.Generator, size_m: float) -> Solid:
    heights = np.linspace(0, size_m, 24)
    waves = sum(rng.normal(0, 0.3 / k) * np.sin(k * math.pi * heights / size_m + rng.uniform(0, 6)) for k in (1, 2, 3))
    radii = size_m * rng.uniform(0.15, 0.35) * np.exp(waves)
    outside = list(zip(radii.tolist(), heights.tolist(), strict=True))
    return lathe([(0.0, 0.0), *outside, (0.0, size_m)], sides=40)


def _ball(rng: np.random.Generator, size_m: float) -> Solid:
    angle = np.linspace(0, math.pi, 24)
    rows = np.stack([0.5 * size_m * np.sin(angle), 0.5 * size_m * (1 - np.cos(angle))], -1)
    rows[[0, -1], 0] = 0.0
    return lathe([(float(r), float(z)) for r, z in rows], sides=40)


def _stick(rng: np.random.Generator, size_m: float) -> Solid:
    radius = size_m * rng.uniform(0.03, 0.1)
    return lathe([(0.0, 0.0), (radius, 0.0), (radius, size_m), (0.0, size_m)], sides=24)
