"""Random solids, meshes and textures are sound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rnnpose_ros.data.synthetic.mesh_building import corner_normals, diameter, weld
from rnnpose_ros.data.synthetic.objects import random_object
from rnnpose_ros.data.synthetic.randomization import ObjectRanges
from rnnpose_ros.data.synthetic.shapes import Shape
from rnnpose_ros.data.synthetic.solids import bar, box, can, extrusion, lathe, plate, random_solid, superquadric
from rnnpose_ros.data.synthetic.textures import Palette, texture_tile


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


@pytest.mark.parametrize("family", [bar, box, can, extrusion, lathe, plate, superquadric])
def test_every_family_is_closed_and_faces_outwards(family: Callable[[np.random.Generator], Shape]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        solid = family(rng)
        vertices, faces = weld(solid.vertices, solid.faces)
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        _, counts = np.unique(edges, axis=0, return_counts=True)
        assert (counts == 2).mean() > 0.99
        assert signed_volume(vertices, faces) > 0


def test_solids_have_a_reasonable_number_of_faces_and_no_holes_in_their_numbers() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        solid = random_solid(rng)
        assert np.isfinite(solid.vertices).all()
        assert 60 <= len(solid.faces) <= 8000
        assert solid.faces.max() < len(solid.vertices)


def test_the_diameter_is_the_largest_distance_to_a_thousandth() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        points = random_solid(rng).vertices[::3]
        exact = np.linalg.norm(points[:, None] - points[None], axis=-1).max()
        assert diameter(points) == pytest.approx(exact, rel=2e-3)


def test_normals_are_split_at_creases_and_shared_across_soft_edges() -> None:
    fold = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.2], [0, 0, 1.0]], np.float64)
    soft = np.array([[0, 1, 2], [0, 2, 3]])
    sharp = np.array([[0, 1, 2], [0, 4, 1]])
    shared = corner_normals(fold, soft, crease_deg=45.0)
    assert np.allclose(shared[0, 0], shared[1, 0])
    split = corner_normals(fold, sharp, crease_deg=45.0)
    assert np.allclose(split[0], [0, 0, 1])
    assert np.allclose(split[1], [0, 1, 0])
    assert np.allclose(np.linalg.norm(shared, axis=-1), 1)


def test_models_have_the_asked_size_unit_normals_and_coordinates_inside_the_texture() -> None:
    rng = np.random.default_rng(3)
    ranges = ObjectRanges(tile_px=64, large_tile_share=0.0)
    for i in range(12):
        model, thing = random_object(rng, ranges, label=str(i))
        assert 0.05 * 0.99 <= model.diameter <= 0.4 * 1.01
        assert np.allclose(model.mesh.corner_normals.norm(dim=-1), 1, atol=1e-4)
        assert np.array_equal(model.mesh.vertices, thing.vertices)
        assert np.allclose(model.symmetries[0], np.eye(4), atol=1e-9)
        if thing.corner_uvs is not None:
            assert float(thing.corner_uvs.min()) >= 0
            assert float(thing.corner_uvs.max()) <= 1


def test_textures_repeat_with_their_seed_and_differ_without() -> None:
    def tile(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return texture_tile(rng, 64, palette=Palette(rng))

    assert np.array_equal(tile(4), tile(4))
    assert len({tile(seed).tobytes() for seed in range(8)}) == 8
