"""Random objects: a solid, what is painted on it, where its origin lies, what symmetry is left."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.mesh_building import corner_normals, diameter, weld
from rnnpose_ros.data.synthetic.randomization import ObjectRanges
from rnnpose_ros.data.synthetic.shapes import Shape
from rnnpose_ros.data.synthetic.solids import random_rotation, random_solid
from rnnpose_ros.data.synthetic.wrapping import painted_texture, plain_texture, worn_copy
from rnnpose_ros.types import Mesh, ObjectModel

Array = NDArray[np.float64]


def random_object(rng: np.random.Generator, ranges: ObjectRanges, *, label: str) -> tuple[ObjectModel, Mesh]:
    """A model of random shape, size, texture and origin, and the mesh of the thing it is a model of."""
    solid = random_solid(rng)
    vertices, faces, wrap_uvs, part_ids = weld(solid.vertices, solid.faces, solid.wrap_uvs, solid.part_ids)
    low, high = ranges.diameter_m
    size = math.exp(rng.uniform(math.log(low), math.log(high)))
    vertices = vertices - 0.5 * (vertices.min(0) + vertices.max(0))
    vertices *= size / diameter(vertices)
    normals = corner_normals(vertices, faces, crease_deg=float(rng.choice([0.0, 30.0, 45.0, 60.0, 180.0])))
    plain = rng.random() < ranges.plain_share
    if plain:
        texture, uvs = plain_texture(rng, part_ids)
    else:
        texture, uvs = painted_texture(rng, ranges, vertices, faces, wrap_uvs, part_ids)
    T = np.eye(4)
    T[:3, :3] = random_rotation(rng) if rng.random() < ranges.turned_share else np.eye(3)
    if rng.random() < ranges.offset_share:
        T[:3, 3] = rng.uniform(-0.5, 0.5, 3) * np.ptp(vertices, axis=0)
    vertices = vertices @ T[:3, :3].T + T[:3, 3]
    thing = Mesh(
        vertices=torch.from_numpy(vertices).float(),
        faces=torch.from_numpy(faces),
        corner_normals=torch.from_numpy(normals @ T[:3, :3].T).float(),
        corner_uvs=torch.from_numpy(uvs).float(),
        texture=torch.from_numpy(texture),
    )
    if not plain and rng.random() < ranges.vertex_color_share:
        thing = _colored_at_vertices(thing)
    bare = rng.random() < ranges.bare_model_share
    symmetries = _symmetries(solid) if plain or bare else np.eye(4)[None]
    model = ObjectModel(
        label=label,
        mesh=_model_mesh(rng, ranges, thing, bare=bare),
        diameter=diameter(vertices),
        symmetries=torch.from_numpy(T @ symmetries @ np.linalg.inv(T)),
        centre=torch.from_numpy(0.5 * (vertices.min(0) + vertices.max(0))).float(),
    )
    return model, thing


def _model_mesh(rng: np.random.Generator, ranges: ObjectRanges, thing: Mesh, *, bare: bool) -> Mesh:
    """What a CAD program or a scanner made of the thing: often the same, sometimes bare or duller."""
    if bare:
        return replace(thing, texture=None, corner_uvs=None, vertex_colors=None)
    if thing.texture is None or rng.random() >= ranges.worn_model_share:
        return thing
    return replace(thing, texture=torch.from_numpy(worn_copy(rng, thing.texture.numpy())))


def _colored_at_vertices(mesh: Mesh) -> Mesh:
    """The texture carried over to the vertices: the mean over the corners that meet there."""
    assert mesh.texture is not None
    assert mesh.corner_uvs is not None
    height, width = mesh.texture.shape[:2]
    u, v = mesh.corner_uvs.reshape(-1, 2).unbind(-1)
    columns = (u * width).long().clamp(0, width - 1)
    rows = ((1 - v) * height).long().clamp(0, height - 1)
    corner_colors = mesh.texture[rows, columns].double()
    index = mesh.faces.reshape(-1)
    total = torch.zeros(len(mesh.vertices), 3, dtype=torch.float64).index_add_(0, index, corner_colors)
    count = torch.bincount(index, minlength=len(mesh.vertices)).clamp_min(1)
    colors = (total / count[:, None]).round().to(torch.uint8)
    return replace(mesh, texture=None, corner_uvs=None, vertex_colors=colors)


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
