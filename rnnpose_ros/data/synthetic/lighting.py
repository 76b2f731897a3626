"""How a photograph's light falls: lamps, sky, gloss, metal, soft shadows. On lists of visible points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Surface:
    """How an object's surface throws light back."""

    specular: float
    shininess: float
    metallic: float
    """0 paint, 1 a mirror-like metal in the colour of its texture."""


@dataclass(frozen=True, slots=True)
class Illumination:
    """The lamps of one photograph, in its camera frame."""

    sky: Array
    """RGB from above."""
    ground: Array
    """RGB from below."""
    up: Array
    directions: Array
    """L 3, unit, towards the lamps as seen from the object."""
    colors: Array
    """L 3."""
    mirror_waves: Array
    """4 3: spatial frequencies of what metal mirrors."""
    mirror_phases: Array


def random_surface(rng: np.random.Generator, *, metallic_share: float) -> Surface:
    """Paint, plastic or metal."""
    metallic = rng.uniform(0.5, 1.0) if rng.random() < metallic_share else 0.0
    specular = rng.uniform(0.1, 0.8) if rng.random() < 0.4 else rng.uniform(0.0, 0.08)
    shininess = math.exp(rng.uniform(math.log(4), math.log(90)))
    return Surface(specular=float(specular), shininess=shininess, metallic=float(metallic))


def random_illumination(rng: np.random.Generator) -> Illumination:
    """One to three lamps over an ambient light, together about as bright as white paper in a photograph."""
    ambient = rng.uniform(0.25, 0.9)
    count = int(rng.integers(1, 4))
    tint = 1 + rng.normal(0, 0.05, 3)
    directions = rng.normal(0, 1, (count, 3)) + np.array([0.0, -0.8, -0.8])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = max(1.15 - ambient, 0.15) * rng.uniform(0.5, 1.7) * rng.dirichlet(np.ones(count))
    colors = strength[:, None] * (1 + rng.normal(0, 0.08, (count, 3))).clip(0.5, 1.5)
    up = np.array([0.0, -1.0, -0.4]) + rng.normal(0, 0.5, 3)
    contrast = rng.uniform(0.0, 0.4)
    return Illumination(
        sky=(ambient * (1 + contrast) * tint).astype(np.float32),
        ground=(ambient * (1 - contrast) * tint[::-1]).astype(np.float32),
        up=(up / np.linalg.norm(up)).astype(np.float32),
        directions=directions.astype(np.float32),
        colors=colors.astype(np.float32),
        mirror_waves=rng.normal(0, 2.5, (4, 3)).astype(np.float32),
        mirror_phases=rng.uniform(0, 2 * math.pi, 4).astype(np.float32),
    )


def lit_colors(
    albedo: Array, normals: Array, rays: Array, *, light: Illumination, surface: Surface, shadow: Array | None = None
) -> Array:
    """Colours of visible points under the lamps.

    Args:
        albedo: N 3, 0..1.
        normals: N 3, unit, towards the viewer.
        rays: N 3, unit, from the camera to the points.
        light: The lamps.
        surface: The gloss.
        shadow: N, what of the lamps' light arrives (not of the sky's); all of it when None.
    """
    height = normals @ light.up * 0.5 + 0.5
    diffuse = light.ground + height[:, None] * (light.sky - light.ground)
    facing = np.maximum(normals @ light.directions.T, 0.0)
    if shadow is not None:
        facing *= shadow[:, None]
    diffuse += facing @ light.colors
    if surface.metallic > 0:
        diffuse *= 1 + surface.metallic * (_mirrored(normals, rays, light)[:, None] - 1)
    color = albedo * diffuse
    if surface.specular > 0.03:
        color += surface.specular * _gloss(normals, rays, facing, light=light, shininess=surface.shininess)
    return color


def _gloss(normals: Array, rays: Array, facing: Array, *, light: Illumination, shininess: float) -> Array:
    """Blinn highlights of every lamp."""
    total = np.zeros_like(normals)
    for i, direction in enumerate(light.directions):
        half = direction - rays
        cosine = (normals * half).sum(1) / np.sqrt((half * half).sum(1) + 1e-12)
        peak = np.maximum(cosine, 0.0) ** np.float32(shininess) * (facing[:, i] > 0)
        total += peak[:, None] * (light.colors[i] * 2.0)
    return total


def _mirrored(normals: Array, rays: Array, light: Illumination) -> Array:
    """What metal mirrors: a made-up room of soft bright and dark patches."""
    mirrored = rays - 2 * (normals * rays).sum(1, keepdims=True) * normals
    waves = np.sin(mirrored @ light.mirror_waves.T + light.mirror_phases).mean(1)
    return 0.9 + 1.6 * np.tanh(2 * waves).clip(-0.5, 1.0)
