"""Symmetries are found by shape and colours, whatever way the mesh lies."""

from __future__ import annotations

import math

import numpy as np
import torch
import trimesh

from rnnpose_ros.objects.appearance import Material, RawMesh
from rnnpose_ros.objects.diameter import diameter
from rnnpose_ros.objects.mesh_io import mesh_from_raw
from rnnpose_ros.objects.symmetry import expand_symmetries
from rnnpose_ros.objects.symmetry_search import SymmetrySuggestion, about_axes, given_symmetries, search_symmetries
from rnnpose_ros.types import Mesh

T_LAID = trimesh.transformations.compose_matrix(angles=(0.4, -0.9, 1.3), translate=(0.05, -0.02, 0.1))


def mesh_of(solid: trimesh.Trimesh, colours: np.ndarray | None = None) -> Mesh:
    faces = np.array(solid.faces, np.int64)
    raw = RawMesh(np.array(solid.vertices, float), faces, [Material()], np.zeros(len(faces), np.int64), None, colours)
    return mesh_from_raw(raw, name="solid")


def search(mesh: Mesh) -> SymmetrySuggestion:
    return search_symmetries(mesh, diameter=diameter(mesh.vertices.double().numpy()))


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return math.degrees(math.acos(min(1.0, abs(float(a @ b)))))


def test_a_cylinder_turns_freely_and_upside_down() -> None:
    solid = trimesh.creation.cylinder(0.03, 0.1).apply_transform(T_LAID)
    found = search(mesh_of(solid))
    free, flip = found.axes
    assert (free.order, flip.order) == (0, 2)
    assert angle_between(np.array(free.direction), T_LAID[:3, 2]) < 0.5
    assert np.allclose(found.centre, T_LAID[:3, 3], atol=1e-4)
    discrete, continuous = about_axes(found.axes, found.centre)
    assert (len(discrete), len(continuous)) == (1, 1)
    vertices = torch.from_numpy(np.array(solid.vertices))
    for T in expand_symmetries(discrete, continuous, steps=32):  # the cylinder's own number of sides
        moved = vertices @ T[:3, :3].T + T[:3, 3]
        assert float(torch.cdist(moved, vertices).amin(1).max()) < 1e-3


def test_a_box_of_three_lengths_has_its_three_half_turns() -> None:
    found = search(mesh_of(trimesh.creation.box((0.1, 0.06, 0.03)).apply_transform(T_LAID)))
    assert sorted(axis.order for axis in found.axes) == [2, 2, 2]
    discrete, continuous = about_axes(found.axes, found.centre)
    assert (len(discrete), continuous) == (3, [])
    for matrix in discrete:
        R = np.array(matrix)[:3, :3]
        assert np.allclose(R @ R, np.eye(3), atol=0.02)


def test_colours_break_a_symmetry_in_part() -> None:
    """A square tile, two opposite quarters of which are red: half a turn is left of four quarters."""
    solid = trimesh.creation.box((0.1, 0.1, 0.01))
    for _ in range(5):
        solid = solid.subdivide()
    red = solid.vertices[:, 0] * solid.vertices[:, 1] > 0
    colours = np.where(red[:, None], (220, 30, 30), (230, 230, 220)).astype(np.uint8)
    found = search(mesh_of(solid, colours))
    about_z = [axis for axis in found.axes if angle_between(np.array(axis.direction), np.array([0, 0, 1.0])) < 1]
    assert [axis.order for axis in about_z] == [2]
    assert len(found.axes) == 3  # and half turns about both diagonals
    assert any(axis.order == 4 for axis in found.broken_axes)


def test_a_bent_thing_has_none() -> None:
    parts = [trimesh.creation.box((0.1, 0.02, 0.03)), trimesh.creation.box((0.02, 0.05, 0.03))]
    parts[1].apply_translation((0.04, 0.035, 0.004))
    assert search(mesh_of(trimesh.util.concatenate(parts))).axes == ()


def test_cubes_and_balls_have_theirs() -> None:
    cube = search(mesh_of(trimesh.creation.box((0.1, 0.1, 0.1)).apply_transform(T_LAID)))
    assert len(about_axes(cube.axes, cube.centre)[0]) == 23
    ball = search(mesh_of(trimesh.creation.icosphere(4, 0.05)))
    assert [axis.order for axis in ball.axes] == [0, 0]


def test_given_axes_are_kept_and_judged() -> None:
    mesh = mesh_of(trimesh.creation.box((0.1, 0.06, 0.03)))
    found = given_symmetries(mesh, diameter=0.12, axes=[((0.0, 0.0, 1.0), 2), ((0.0, 0.0, 1.0), 4)])
    assert [axis.has_the_shape for axis in found.axes] == [True, False]
    discrete, _ = about_axes(found.axes[:1], found.centre)
    assert np.allclose(np.array(discrete[0])[:3, :3], np.diag([-1, -1, 1]), atol=1e-6)
    assert np.allclose(np.array(discrete[0])[:3, 3], 0, atol=1e-3)
