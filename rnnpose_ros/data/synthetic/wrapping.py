"""How pictures come onto a surface: tiles in one atlas, box-wise, wrapped around, or one a part."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.randomization import ObjectRanges
from rnnpose_ros.data.synthetic.textures import Palette, Picture, noise_field, texture_tile, uniform_color

Array = NDArray[np.float64]


def plain_texture(rng: np.random.Generator, part_ids: NDArray) -> tuple[Picture, Array]:
    """One colour a part: a row of texels, every corner at the middle of its part's."""
    parts = int(part_ids.max()) + 1
    one_color = rng.random() < 0.4
    colors = [uniform_color(rng)] * parts if one_color else [uniform_color(rng) for _ in range(parts)]
    texture = np.repeat(np.repeat(np.array([colors], np.uint8), 4, axis=0), 4, axis=1)
    u = (part_ids + 0.5) / parts
    uvs = np.stack([u, np.full_like(u, 0.5)], -1)
    return np.ascontiguousarray(texture), np.repeat(uvs[:, None], 3, axis=1)


def painted_texture(rng: np.random.Generator, ranges: ObjectRanges, vertices: Array, faces: NDArray,
             wrap_uvs: Array, part_ids: NDArray) -> tuple[Picture, Array]:  # fmt: skip
    """Tiles of pictures in one atlas and the corner coordinates that show them."""
    size = int(ranges.large_tile_px if rng.random() < ranges.large_tile_share else ranges.tile_px)
    tile_ids, local = _layout(rng, vertices, faces, wrap_uvs, part_ids)
    count = int(tile_ids.max()) + 1
    palette = Palette(rng)
    if rng.random() < ranges.one_tile_share:
        tile_ids, count = np.zeros_like(tile_ids), 1
    most = 4 if rng.random() < ranges.faint_share else 90
    tiles = [texture_tile(rng, size, palette=palette, most_shapes=most) for _ in range(count)]
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
    tile_rows, tile_columns = np.divmod(tile_ids, columns)
    u = (tile_columns[:, None] + local[..., 0]) / columns
    v = 1.0 - (tile_rows[:, None] + 1.0 - local[..., 1]) / rows
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
    outer = np.take_along_axis(outward, axis[:, None], 1)[:, 0] > 0
    across = np.where(outer[:, None], across, extent[first][:, None] - across)
    if rng.random() < 0.7:
        span_u = span_v = np.maximum(extent[first], extent[second])
    else:
        span_u, span_v = extent[first], extent[second]
    local = np.stack([across / span_u[:, None], along / span_v[:, None]], -1)
    if kind == "parts":
        return part_ids, local
    return axis * 2 + outer, local


def _bake_light(rng: np.random.Generator, atlas: Picture) -> Picture:
    """Light and stains that a scanner left in the texture."""
    field = noise_field(rng, 64, octaves=2)[..., 0]
    height, width = atlas.shape[:2]
    gain = cv2.resize(1 + np.float32(rng.uniform(0.05, 0.25)) * field, (width, height))
    return np.clip(atlas * gain[..., None], 0, 255).astype(np.uint8)


def worn_copy(rng: np.random.Generator, texture: Picture) -> Picture:
    """A scanner's idea of a texture: softer, duller, off in colour, with light left in it."""
    copy = cv2.GaussianBlur(texture, (0, 0), rng.uniform(0.5, 2.5)) if rng.random() < 0.7 else texture
    if rng.random() < 0.5:
        copy = _bake_light(rng, copy)
    gain = rng.uniform(0.65, 1.1) * (1 + rng.normal(0, 0.06, 3))
    table = np.clip(np.arange(256)[:, None] * gain + rng.uniform(0, 30), 0, 255).astype(np.uint8)
    return cv2.LUT(copy, table[None])
