"""Random objects: a solid, what is painted on it, where its origin lies, what symmetry is left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.lighting import Surface, random_surface
from rnnpose_ros.data.synthetic.mesh_building import corner_normals, diameter, weld
from rnnpose_ros.data.synthetic.randomization import ObjectRanges
from rnnpose_ros.data.synthetic.shapes import Shape
from rnnpose_ros.data.synthetic.solids import random_rotation, random_solid
from rnnpose_ros.data.synthetic.textures import Palette, Picture, noise_field, texture_tile, uniform_color
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import Mesh, ObjectModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PooledObject:
    """An object in use: its model, its uploaded mesh, its surface."""

    model: ObjectModel
    uploaded: Any
    surface: Surface
    hull_points: torch.Tensor
    """128 3: the vertices that span it from wherever it is seen, object frame."""


def random_object(rng: np.random.Generator, ranges: ObjectRanges, *, label: str) -> ObjectModel:
    """One object model of random shape, size, texture and origin."""
    solid = random_solid(rng)
    vertices, faces, wrap_uvs, part_ids = weld(solid.vertices, solid.faces, solid.wrap_uvs, solid.part_ids)
    low, high = ranges.diameter_m
    size = math.exp(rng.uniform(math.log(low), math.log(high)))
    vertices = vertices - 0.5 * (vertices.min(0) + vertices.max(0))
    vertices *= size / diameter(vertices)
    normals = corner_normals(vertices, faces, crease_deg=float(rng.choice([0.0, 30.0, 45.0, 60.0, 180.0])))
    plain = rng.random() < ranges.plain_share
    if plain:
        texture, uvs = _plain_texture(rng, part_ids)
    else:
        texture, uvs = _painted(rng, ranges, vertices, faces, normals, wrap_uvs, part_ids)
    symmetries = _symmetries(solid) if plain else np.eye(4)[None]
    rotation = random_rotation(rng) if rng.random() < ranges.turned_share else np.eye(3)
    offset = rng.uniform(-0.5, 0.5, 3) * np.ptp(vertices, axis=0) if rng.random() < ranges.offset_share else np.zeros(3)
    return _model(label, vertices, faces, normals, uvs, texture, symmetries, rotation, offset)


def _model(label: str, vertices: Array, faces: NDArray, normals: Array, uvs: Array, texture: Picture,
           symmetries: Array, rotation: Array, offset: Array) -> ObjectModel:  # fmt: skip
    """Everything moved into the object's own frame, which is turned and shifted against the solid's."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation, offset
    vertices = vertices @ rotation.T + offset
    mesh = Mesh(
        vertices=torch.from_numpy(vertices).float(),
        faces=torch.from_numpy(faces),
        corner_normals=torch.from_numpy(normals @ rotation.T).float(),
        corner_uvs=torch.from_numpy(uvs).float(),
        texture=torch.from_numpy(texture),
    )
    centre = 0.5 * (vertices.min(0) + vertices.max(0))
    return ObjectModel(
        label=label,
        mesh=mesh,
        diameter=diameter(vertices),
        symmetries=torch.from_numpy(T @ symmetries @ np.linalg.inv(T)),
        centre=torch.from_numpy(centre).float(),
    )


def _symmetries(solid: Shape) -> Array:
    """Rotations that map the bare solid onto itself, a continuous one as 36 steps."""
    steps = 36 if solid.turns == 0 else solid.turns
    turns = np.tile(np.eye(4), (steps, 1, 1))
    angle = 2 * math.pi * np.arange(steps) / steps
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(angle)
    turns[:, 1, 0], turns[:, 0, 1] = np.sin(angle), -np.sin(angle)
    if not solid.flips:
        return turns
    return np.concatenate([turns, turns @ np.diag([1.0, -1.0, -1.0, 1.0])])


def _plain_texture(rng: np.random.Generator, part_ids: NDArray) -> tuple[Picture, Array]:
    """One colour a part: a row of texels, every corner at the middle of its part's."""
    parts = int(part_ids.max()) + 1
    one_color = rng.random() < 0.4
    colors = [uniform_color(rng)] * parts if one_color else [uniform_color(rng) for _ in range(parts)]
    texture = np.repeat(np.repeat(np.array([colors], np.uint8), 4, axis=0), 4, axis=1)
    u = (part_ids + 0.5) / parts
    uvs = np.stack([u, np.full_like(u, 0.5)], -1)
    return np.ascontiguousarray(texture), np.repeat(uvs[:, None], 3, axis=1)


def _painted(rng: np.random.Generator, ranges: ObjectRanges, vertices: Array, faces: NDArray, normals: Array,
             wrap_uvs: Array, part_ids: NDArray) -> tuple[Picture, Array]:  # fmt: skip
    """Tiles of pictures in one atlas and the corner coordinates that show them."""
    size = int(ranges.large_tile_px if rng.random() < ranges.large_tile_share else ranges.tile_px)
    tile_ids, local = _layout(rng, vertices, faces, wrap_uvs, part_ids)
    count = int(tile_ids.max()) + 1
    palette = Palette(rng)
    if rng.random() < ranges.one_tile_share:
        tile_ids, count = np.zeros_like(tile_ids), 1
    tiles = [texture_tile(rng, size, palette=palette) for _ in range(count)]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    atlas = np.zeros((rows * size, columns * size, 3), np.uint8)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        atlas[row * size : (row + 1) * size, column * size : (column + 1) * size] = tile
    if rng.random() < ranges.baked_light_share:
        atlas = _bake_light(rng, atlas)
    inset = 2.0 / size
    local = inset + (1 - 2 * inset) * local.clip(0, 1)
    row, column = np.divmod(tile_ids, columns)
    u = (column[:, None] + local[..., 0]) / columns
    v = 1.0 - (row[:, None] + 1.0 - local[..., 1]) / rows
    return atlas, np.stack([u, v], -1)


def _layout(rng: np.random.Generator, vertices: Array, faces: NDArray, wrap_uvs: Array,
            part_ids: NDArray) -> tuple[NDArray, Array]:  # fmt: skip
    """Which tile each face shows and where (F; F 3 2 in 0..1, v upwards)."""
    kind = rng.choice(["box", "wrap", "parts"], p=[0.65, 0.2, 0.15])
    p = vertices[faces]
    outward = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    axis = np.abs(outward).argmax(1)
    if kind == "wrap":
        return part_ids, wrap_uvs
    low, extent = vertices.min(0), np.ptp(vertices, axis=0) + 1e-9
    first, second = np.array([1, 2, 0])[axis], np.array([2, 0, 1])[axis]
    across = np.take_along_axis(p - low, np.repeat(first[:, None, None], 3, 1), 2)[..., 0]
    along = np.take_along_axis(p - low, np.repeat(second[:, None, None], 3, 1), 2)[..., 0]
    if rng.random() < 0.7:
        span_u = span_v = np.maximum(extent[first], extent[second])
    else:
        span_u, span_v = extent[first], extent[second]
    local = np.stack([across / span_u[:, None], along / span_v[:, None]], -1)
    if kind == "parts":
        return part_ids, local
    sign = np.take_along_axis(outward, axis[:, None], 1)[:, 0] > 0
    return axis * 2 + sign, local


def _bake_light(rng: np.random.Generator, atlas: Picture) -> Picture:
    """Light and stains that a scanner left in the texture."""
    field = noise_field(rng, 64, octaves=2)[..., 0]
    height, width = atlas.shape[:2]
    gain = cv2.resize(1 + np.float32(rng.uniform(0.05, 0.25)) * field, (width, height))
    return np.clip(atlas * gain[..., None], 0, 255).astype(np.uint8)


class ObjectPool:
    """A slowly changing set of objects, filled as they are asked for."""

    def __init__(self, renderer: Renderer, *, ranges: ObjectRanges, rng: np.random.Generator) -> None:
        self._renderer = renderer
        self._ranges = ranges
        self._rng = rng
        self._objects: list[PooledObject] = []
        self._drawn = 0
        self._made = 0

    def draw(self) -> PooledObject:
        """An object of the pool; every ``samples_per_object`` draws one is replaced by a new one.

        While the pool fills, a new one is made at every second draw only, so that starting is quick.
        """
        self._drawn += 1
        full = len(self._objects) >= self._ranges.pool_size
        if not full and (len(self._objects) < 8 or self._drawn % 2 == 0):
            self._objects.append(self._make())
            return self._objects[-1]
        if full and self._drawn % self._ranges.samples_per_object == 0:
            self._objects[int(self._rng.integers(len(self._objects)))] = self._make()
        return self._objects[int(self._rng.integers(len(self._objects)))]

    def _make(self) -> PooledObject:
        self._made += 1
        model = random_object(self._rng, self._ranges, label=f"object_{self._made:06d}")
        surface = random_surface(self._rng, metallic_share=self._ranges.metallic_share)
        return PooledObject(model, self._renderer.upload(model.mesh), surface, _hull_points(model.mesh.vertices))


def _hull_points(vertices: torch.Tensor) -> torch.Tensor:
    """The vertices that lie furthest along 128 directions: they span every view of the object."""
    steps = torch.arange(128) + 0.5
    z = 1 - steps / 64
    angle = math.pi * (1 + 5**0.5) * steps
    radius = (1 - z * z).sqrt()
    directions = torch.stack([radius * angle.cos(), radius * angle.sin(), z])
    return vertices[(vertices @ directions).argmax(0)]
