"""Which solids there are: families of household things drawn at random from the surfaces of ``shapes``."""

from __future__ import annotations

import math

import numpy as np

from rnnpose_ros.data.synthetic import shapes
from rnnpose_ros.data.synthetic.shapes import Array, Shape


def random_solid(rng: np.random.Generator) -> Shape:
    """One solid in arbitrary units: a family, sometimes a union, sometimes bent."""
    draw = rng.random()
    if draw < 0.62:
        solid = _single(rng)
    elif draw < 0.72:
        solid = mug(rng)
    elif draw < 0.82:
        solid = tool(rng)
    else:
        solid = assembly(rng)
    if rng.random() < 0.12:
        squeeze = np.ones(3)
        squeeze[rng.integers(3)] = rng.uniform(0.12, 0.5)
        solid = shapes.scaled(solid, squeeze)
    if rng.random() < 0.3:
        solid = shapes.warped(_unit(solid), shapes.random_warp(rng))
    return solid


def _single(rng: np.random.Generator) -> Shape:
    families = (box, plate, can, lathe, lathe, superquadric, extrusion, bar)
    weights = np.array([0.24, 0.12, 0.12, 0.1, 0.08, 0.13, 0.12, 0.09])
    return families[int(rng.choice(len(families), p=weights))](rng)


def _unit(solid: Shape) -> Shape:
    """The solid inside the cube of half side 1; keeps its symmetry."""
    return shapes.scaled(solid, np.full(3, 1.0 / np.abs(solid.vertices).max()))


def box(rng: np.random.Generator) -> Shape:
    """A cuboid, sharp, rounded or chamfered, from cubes to cereal boxes."""
    bevel = 0.001 if rng.random() < 0.5 else rng.uniform(0.02, 0.25)
    steps = 1 if rng.random() < 0.3 else 3
    profile = shapes.slab_profile(1.0, bevel, steps=steps)
    body = shapes.sweep(profile, shapes.rectangle_outline(bevel), turns=4, flips=True)
    sides = np.ones(3) if rng.random() < 0.2 else rng.uniform(0.25, 1.0, 3)
    return shapes.scaled(body, sides)


def plate(rng: np.random.Generator) -> Shape:
    """Something flat: a book, a card, a telephone, a coaster, a cut-out."""
    kind = rng.integers(3)
    bevel = rng.uniform(0.001, 0.06)
    if kind == 0:
        body = shapes.sweep(
            shapes.slab_profile(1.0, bevel), shapes.rectangle_outline(rng.uniform(0.001, 0.2)), turns=4, flips=True
        )
    elif kind == 1:
        body = shapes.sweep(shapes.slab_profile(1.0, bevel), shapes.regular_outline(36), turns=0, flips=True)
    else:
        body = shapes.sweep(shapes.slab_profile(1.0, bevel), shapes.polygon_outline(rng), turns=1)
    return shapes.scaled(body, np.array([1.0, rng.uniform(0.4, 1.0), rng.uniform(0.015, 0.18)]))


def can(rng: np.random.Generator) -> Shape:
    """A cylinder with rounded or sharp rims."""
    sides = int(rng.choice([36, 72]))
    profile = shapes.slab_profile(1.0, rng.uniform(0.002, 0.25))
    body = shapes.sweep(profile, shapes.regular_outline(sides), turns=0, flips=True)
    width = rng.uniform(0.2, 1.2)
    return shapes.scaled(body, np.array([width, width, 1.0]))


def lathe(rng: np.random.Generator) -> Shape:
    """A turned body: bottle, vase, bowl, cup, cone."""
    outline = shapes.regular_outline(36 if rng.random() < 0.7 else int(rng.choice([6, 8, 12])))
    turns = 0 if len(outline) == 36 else len(outline)
    profile = _vessel_profile(rng) if rng.random() < 0.4 else _bottle_profile(rng)
    return shapes.sweep(profile, outline, turns=turns)


def _bottle_profile(rng: np.random.Generator) -> Array:
    knots = int(rng.integers(3, 8))
    z = np.linspace(-1, 1, knots)
    radius = rng.uniform(0.15, 0.8, knots)
    if rng.random() < 0.5:
        radius[: knots // 2 + 1] = radius[0]
    fine = np.linspace(-1, 1, int(rng.integers(10, 24)))
    smooth = np.interp(fine, z, radius)
    if rng.random() < 0.6:
        smooth = np.convolve(np.pad(smooth, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    wall = np.stack([smooth, fine], 1)
    return np.concatenate([[[0.0, -1.0]], wall, [[0.0, 1.0 + rng.choice([0.0, rng.uniform(0, 0.4)])]]])


def _vessel_profile(rng: np.random.Generator) -> Array:
    """Up the outside, over the rim, down the inside."""
    height, foot, mouth = rng.uniform(0.3, 1.6), rng.uniform(0.3, 1.0), rng.uniform(0.7, 1.0)
    curve, wall = rng.uniform(0.3, 2.0), rng.uniform(0.03, 0.12)
    t = np.linspace(0, 1, 10)
    outside = np.stack([foot + (mouth - foot) * t**curve, height * t], 1)
    inside = np.maximum(outside[::-1] - np.array([wall, 0.0]), [0.05, wall])
    return np.concatenate([[[0.0, 0.0]], outside, inside, [[0.0, wall]]]) - np.array([0.0, height / 2])


def superquadric(rng: np.random.Generator) -> Shape:
    """Between box, cylinder, ball and octahedron."""
    sides = int(rng.choice([24, 36, 48]))
    latitude = np.linspace(-math.pi / 2, math.pi / 2, int(rng.integers(10, 25)))
    power = rng.uniform(0.2, 1.5)
    profile = np.stack(
        [np.cos(latitude).clip(0) ** power, np.sign(np.sin(latitude)) * np.abs(np.sin(latitude)) ** power], 1
    )
    if rng.random() < 0.35:
        body = shapes.sweep(profile, shapes.regular_outline(sides), turns=0 if sides == 36 else sides, flips=True)
        width = rng.uniform(0.4, 1.4)
        return shapes.scaled(body, np.array([width, width, 1.0]))
    body = shapes.sweep(profile, shapes.superellipse_outline(rng, sides), turns=4, flips=True)
    return shapes.scaled(body, rng.uniform(0.3, 1.0, 3))


def extrusion(rng: np.random.Generator) -> Shape:
    """A wavy, toothed or angular section pulled straight."""
    outline = shapes.polygon_outline(rng) if rng.random() < 0.5 else shapes.star_outline(rng, int(rng.integers(24, 64)))
    body = shapes.sweep(shapes.slab_profile(1.0, rng.uniform(0.001, 0.15)), outline, turns=1)
    return shapes.scaled(body, np.array([1.0, rng.uniform(0.5, 1.0), rng.uniform(0.1, 1.5)]))


def bar(rng: np.random.Generator) -> Shape:
    """A banana, a pen, a hook, a ring: a tube along an arc."""
    t = np.linspace(0, 1, int(rng.integers(12, 28)))
    turn = rng.uniform(0.0, 1.6 * math.pi) if rng.random() < 0.7 else 0.01
    angle = turn * (t - 0.5)
    curve = np.stack([np.cos(angle) / max(turn, 0.3), np.sin(angle) / max(turn, 0.01), 0 * t], 1)
    curve[:, 2] = rng.choice([0.0, 0.2]) * np.sin(2 * math.pi * t)
    thickness = rng.uniform(0.04, 0.2)
    radii = thickness * (1 + rng.uniform(-0.5, 0.5) * np.sin(math.pi * t * rng.integers(1, 4)))
    radii[[0, -1]] = 0.0
    curve[0] += 0.9 * (curve[1] - curve[0])
    curve[-1] += 0.9 * (curve[-2] - curve[-1])
    return shapes.tube(curve, radii, sides=int(rng.integers(8, 20)))


def mug(rng: np.random.Generator) -> Shape:
    """A vessel or can with a handle."""
    body = _unit(lathe(rng) if rng.random() < 0.6 else can(rng))
    t = np.linspace(-1, 1, 14)
    tall, far = rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.5)
    inner = np.interp(t, [-1, 1], [_radius_at(body, -tall), _radius_at(body, tall)])
    curve = np.stack([inner + far * np.sqrt(1 - t * t), 0 * t, tall * np.sin(0.5 * math.pi * t)], 1)
    handle = shapes.tube(curve, np.full(len(t), rng.uniform(0.04, 0.1)), sides=10)
    return shapes.union([body, handle])


def _radius_at(body: Shape, z: float) -> float:
    """How far a turned body reaches near a height, along x."""
    profile = body.vertices[np.abs(body.vertices[:, 1]) < 1e-6]
    near = np.abs(profile[:, 2] - z) <= np.abs(profile[:, 2] - z).min() + 0.1
    return float(profile[near, 0].max())


def tool(rng: np.random.Generator) -> Shape:
    """A handle with a head: hammer, screwdriver, brush, clamp, drill."""
    handle = shapes.scaled(_unit(can(rng) if rng.random() < 0.5 else box(rng)), np.array([0.18, 0.12, 1.0]))
    head = _unit(_single(rng))
    head = shapes.scaled(head, rng.uniform(0.08, 0.5, 3))
    rotation = random_rotation(rng) if rng.random() < 0.4 else np.eye(3)
    parts = [handle, shapes.moved(head, rotation, np.array([rng.uniform(-0.2, 0.2), 0.0, 0.9]))]
    if rng.random() < 0.3:
        parts.append(shapes.moved(shapes.scaled(_unit(_single(rng)), rng.uniform(0.05, 0.3, 3)), np.eye(3),
                                  np.array([rng.uniform(-0.2, 0.2), 0.0, rng.uniform(-1, 0.5)])))  # fmt: skip
    return shapes.union(parts)


def assembly(rng: np.random.Generator) -> Shape:
    """Two to four solids stuck into each other."""
    parts = [_unit(_single(rng))]
    for _ in range(int(rng.integers(1, 4))):
        part = shapes.scaled(_unit(_single(rng)), rng.uniform(0.25, 0.8) * np.ones(3))
        rotation = random_rotation(rng) if rng.random() < 0.5 else np.eye(3)
        anchor = parts[0].vertices[rng.integers(len(parts[0].vertices))]
        parts.append(shapes.moved(part, rotation, anchor * rng.uniform(0.4, 1.0)))
    return shapes.union(parts)


def random_rotation(rng: np.random.Generator) -> Array:
    """A rotation matrix, uniform over all."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
