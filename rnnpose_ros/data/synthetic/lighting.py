"""How a photograph's light falls: lamps, sky, gloss, metal, soft shadows. On lists of visible points.

Lists run along the last axis (3 N), which keeps every operation on whole rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_FAINT = 0.01
"""Highlights below this share of their peak are left out."""


@dataclass(frozen=True, slots=True)
class Surface:
    """How an object's surface throws light back."""

    specular: float
    shininess: float
    metallic: float
    """0 paint, 1 a mirror-like metal in the colour of its texture."""
    bare_where_grey: bool = False
    """Metal shows only where the texture has no hue: blades and lids beside paint."""
    coat: float = 0.0
    """A clear coat that mirrors the room, most of it at grazing angles; 0 none, 1 glass."""


@dataclass(frozen=True, slots=True, eq=False)
class Illumination:
    """The lamps of one photograph, in its camera frame."""

    sky: Array
    """3 1, RGB from above."""
    ground: Array
    """3 1, RGB from below."""
    up: Array
    """3, unit."""
    directions: Array
    """L 3, unit, towards the lamps as seen from the object."""
    colors: Array
    """L 3."""
    mirror_waves: Array
    """4 3: spatial frequencies of what metal mirrors."""
    mirror_phases: Array
    """4 1."""
    mirror_lamps: Array
    """M 3, unit: towards bright panes and lamps in what metal mirrors."""
    mirror_width: float
    """Cosine at which such a lamp ends."""


def random_surface(rng: np.random.Generator, *, metallic_share: float) -> Surface:
    """Paint, plastic or metal."""
    metallic = rng.uniform(0.5, 1.0) if rng.random() < metallic_share else 0.0
    specular = rng.uniform(0.1, 0.8) if rng.random() < 0.4 else rng.uniform(0.0, 0.08)
    shininess = math.exp(rng.uniform(math.log(4), math.log(90)))
    return Surface(
        specular=float(specular),
        shininess=shininess,
        metallic=float(metallic),
        bare_where_grey=bool(rng.random() < 0.5),
        coat=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.3 else 0.0,
    )


def random_illumination(rng: np.random.Generator) -> Illumination:
    """One to three lamps over an ambient light, together about as bright as white paper in a photograph."""
    ambient = rng.uniform(0.25, 0.9)
    count = int(rng.integers(1, 4))
    tint = 1 + rng.normal(0, 0.05, 3)
    directions = rng.normal(0, 1, (count, 3)) + np.array([0.0, -0.8, -0.8])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = max(1.1 - ambient, 0.15) * rng.uniform(0.5, 1.7) * rng.dirichlet(np.ones(count))
    colors = strength[:, None] * (1 + rng.normal(0, 0.08, (count, 3))).clip(0.5, 1.5)
    up = np.array([0.0, -1.0, -0.4]) + rng.normal(0, 0.5, 3)
    contrast = rng.uniform(0.0, 0.4)
    panes = rng.normal(0, 1, (int(rng.integers(0, 5)), 3)) + np.array([0.0, -0.5, -0.5])
    panes /= np.linalg.norm(panes, axis=1, keepdims=True)
    return Illumination(
        sky=(ambient * (1 + contrast) * tint).astype(np.float32)[:, None],
        ground=(ambient * (1 - contrast) * tint[::-1]).astype(np.float32)[:, None],
        up=(up / np.linalg.norm(up)).astype(np.float32),
        directions=directions.astype(np.float32),
        colors=colors.astype(np.float32),
        mirror_waves=rng.normal(0, rng.uniform(1.0, 6.0), (4, 3)).astype(np.float32),
        mirror_phases=rng.uniform(0, 2 * math.pi, (4, 1)).astype(np.float32),
        mirror_lamps=panes.astype(np.float32),
        mirror_width=float(rng.uniform(0.6, 0.97)),
    )


def lit_colors(
    albedo: Array, normals: Array, rays: Array, *, light: Illumination, surface: Surface, shadow: Array | None = None
) -> Array:
    """Colours (3 N) of visible points under the lamps.

    Args:
        albedo: 3 N, 0..1.
        normals: 3 N, unit, towards the viewer.
        rays: 3 N, unit, from the camera to the points.
        light: The lamps.
        surface: The gloss.
        shadow: N, what of the lamps' light arrives (not of the sky's); all of it when None.
    """
    height = 0.5 * (light.up @ normals) + 0.5
    diffuse = light.ground + (light.sky - light.ground) * height
    facing = np.maximum(light.directions @ normals, 0.0)
    if shadow is not None:
        facing *= shadow
    diffuse += light.colors.T @ facing
    room = _mirrored(normals, rays, light) if surface.metallic > 0 or surface.coat > 0 else None
    if room is not None and surface.metallic > 0:
        diffuse *= 1 + _metal(albedo, surface) * (room - 1)
    diffuse *= albedo
    if room is not None and surface.coat > 0:
        grazing = (1 - np.abs(_dot(normals, rays))).clip(0, 1) ** 5
        diffuse += np.float32(surface.coat) * (np.float32(0.04) + np.float32(0.6) * grazing) * room * light.sky
    if surface.specular > 0.03:
        _add_gloss(diffuse, normals, rays, facing, light=light, surface=surface)
    return diffuse


def pixel_rays(rows: NDArray, columns: NDArray, K: NDArray[np.float64]) -> Array:
    """3 N, unit, through the pixels."""
    x = ((columns - K[0, 2]) / K[0, 0]).astype(np.float32)
    y = ((rows - K[1, 2]) / K[1, 1]).astype(np.float32)
    z = 1.0 / np.sqrt(x * x + y * y + 1)
    return np.stack([x * z, y * z, z])


def _add_gloss(
    color: Array, normals: Array, rays: Array, facing: Array, *, light: Illumination, surface: Surface
) -> None:
    """Adds the Blinn highlights of every lamp, where they are more than faint."""
    along_ray = _dot(normals, rays)
    least = _FAINT ** (1.0 / surface.shininess)
    for i, direction in enumerate(light.directions):
        numerator = direction @ normals - along_ray
        squared = 2.0 - 2.0 * (direction @ rays) + 1e-6
        cosine = numerator / np.sqrt(squared)
        bright = np.flatnonzero((cosine > least) & (facing[i] > 0))
        peak = cosine[bright] ** np.float32(surface.shininess)
        color[:, bright] += (2.0 * surface.specular * light.colors[i])[:, None] * peak


def _mirrored(normals: Array, rays: Array, light: Illumination) -> Array:
    """What metal mirrors: a made-up room of soft bright and dark patches, and bright panes in it."""
    mirrored = rays - 2 * _dot(normals, rays) * normals
    waves = np.sin(light.mirror_waves @ mirrored + light.mirror_phases).mean(0)
    room = 0.9 + 1.6 * np.tanh(2 * waves).clip(-0.5, 1.0)
    if len(light.mirror_lamps):
        nearness = (light.mirror_lamps @ mirrored).max(0)
        room += 2.0 * np.clip((nearness - light.mirror_width) * np.float32(15.0), 0, 1)
    return room


def _metal(albedo: Array, surface: Surface) -> Array | float:
    """How metallic each point is (N), or all are."""
    if not surface.bare_where_grey:
        return surface.metallic
    hue = albedo.max(0) - albedo.min(0)
    return np.float32(surface.metallic) * np.clip(np.float32(1.5) - hue * np.float32(10.0), 0, 1)


def _dot(a: Array, b: Array) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
