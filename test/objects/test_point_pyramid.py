"""Point pyramids against brute force, their cache, and the order of ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from rnnpose_ros.errors import AssetError
from rnnpose_ros.objects.point_pyramid import (
    RADII,
    build_pyramid,
    fingerprint,
    neighbour_limits,
    radius_neighbours,
)
from rnnpose_ros.objects.search_order import VisitTree, sort_as_published
from rnnpose_ros.objects.voxel_grid import subsample
from rnnpose_ros.types import Mesh


def make_mesh(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    v = torch.from_numpy(np.asarray(vertices, np.float32))
    f = torch.from_numpy(np.asarray(faces, np.int64))
    return Mesh(vertices=v, faces=f, corner_normals=torch.zeros(len(f), 3, 3))


def ball(subdivisions: int = 3, *, noise: float = 0.01) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions, radius=0.1)
    rng = np.random.default_rng(1)
    return make_mesh(sphere.vertices * (1 + noise * rng.standard_normal((len(sphere.vertices), 1))), sphere.faces)


def test_neighbours_are_all_points_nearer_than_the_radius_the_nearest_first():
    rng = np.random.default_rng(0)
    queries, supports = rng.random((50, 3), np.float32), rng.random((300, 3), np.float32)
    table = radius_neighbours(queries, supports, radius=0.25, limit=1000)
    distances = np.linalg.norm(queries[:, None].astype(float) - supports, axis=2)
    for row, all_distances in zip(table, distances, strict=True):
        expected = [j for j in np.argsort(all_distances) if all_distances[j] < 0.25]
        assert row[: len(expected)].tolist() == expected
        assert (row[len(expected) :] == len(supports)).all()


def test_limits_keep_four_fifths_of_the_neighbourhoods_whole():
    mesh = ball()
    pyramid = build_pyramid(mesh)
    for points, table, limit, radius in zip(
        pyramid.points, pyramid.neighbours, neighbour_limits([mesh]), RADII, strict=True
    ):
        counts = (torch.cdist(points.double(), points.double()) < radius).sum(1)
        assert (counts <= limit).float().mean() >= 0.8
        assert (counts <= limit - 1).float().mean() < 0.8
        assert table.shape[1] <= limit


def test_limits_of_several_meshes_lie_between_those_of_each():
    coarse, fine = ball(3), ball(4)
    low, both, high = (neighbour_limits(m) for m in ([coarse], [coarse, fine], [fine]))
    assert low[0] < high[0]
    assert low[0] <= both[0] <= high[0]


def test_grid_cells_hold_the_mean_of_their_points():
    points = np.random.default_rng(2).random((2000, 3)).astype(np.float32)
    means = subsample(points, size=0.21)
    cells = np.floor(points / np.float32(0.21)).astype(int)
    expected = sorted(points[(cells == c).all(1)].mean(0).tolist() for c in np.unique(cells, axis=0))
    np.testing.assert_allclose(sorted(means.tolist()), expected, atol=1e-6)


def test_coarse_levels_know_their_fine_neighbours_and_the_other_way_round():
    pyramid = build_pyramid(ball())
    for level in range(3):
        fine, coarse = pyramid.points[level], pyramid.points[level + 1]
        assert len(pyramid.pools[level]) == len(coarse)
        nearest = pyramid.upsamples[level][:, 0].long()
        distances = torch.cdist(fine.double(), coarse.double())
        torch.testing.assert_close(distances.gather(1, nearest[:, None])[:, 0], distances.amin(1))


def test_meshes_of_twenty_thousand_vertices_work():
    directions = np.random.default_rng(6).standard_normal((21000, 3))
    mesh = make_mesh(directions / np.linalg.norm(directions, axis=1, keepdims=True), np.arange(21000).reshape(-1, 3))
    pyramid = build_pyramid(mesh)
    assert [len(t) for t in pyramid.neighbours] == [len(p) for p in pyramid.points]
    assert pyramid.neighbours[0].shape == (21000, pyramid.limits[0])


def test_size_and_place_of_the_mesh_do_not_change_its_pyramid():
    mesh = ball()
    moved = make_mesh(mesh.vertices.numpy() * 8.0, mesh.faces.numpy())
    a, b = build_pyramid(mesh), build_pyramid(moved)
    assert a.limits == b.limits
    torch.testing.assert_close(a.points[0], b.points[0], rtol=1e-5, atol=1e-6)


def test_cached_pyramid_is_the_computed_one_and_a_damaged_file_is_computed_again(tmp_path, caplog):
    mesh = ball()
    computed = build_pyramid(mesh, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    again = build_pyramid(mesh, cache=tmp_path)
    file.write_bytes(b"broken")
    repaired = build_pyramid(mesh, cache=tmp_path)
    assert "computed again" in caplog.text
    for other in (again, repaired):
        assert other.limits == computed.limits
        for name in ("points", "neighbours", "pools", "upsamples"):
            for x, y in zip(getattr(computed, name), getattr(other, name), strict=True):
                assert torch.equal(x, y)


def test_pyramids_are_kept_in_the_users_cache_unless_it_cannot_be_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RNNPOSE_CACHE", str(tmp_path))
    build_pyramid(ball())
    (kept,) = (tmp_path / "pyramids").iterdir()
    kept.unlink()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RNNPOSE_CACHE", str(tmp_path / "file"))
    assert len(build_pyramid(ball()).points) == 4
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_fingerprint_tells_vertex_order_faces_and_places_apart():
    mesh = ball(2)
    vertices, faces = mesh.vertices.numpy(), mesh.faces.numpy()
    others = [
        make_mesh(vertices[::-1].copy(), len(vertices) - 1 - faces),
        make_mesh(vertices, faces[::-1].copy()),
        make_mesh(vertices * 1.001, faces),
    ]
    marks = {fingerprint(m) for m in (mesh, *others)}
    assert len(marks) == 4
    assert fingerprint(make_mesh(vertices.copy(), faces.copy())) == fingerprint(mesh)


def test_a_mesh_all_in_one_place_is_refused():
    with pytest.raises(AssetError, match="one place"):
        build_pyramid(make_mesh(np.ones((3, 3)), np.array([[0, 1, 2]])))


def test_ties_in_short_lists_stay_in_the_order_of_the_visit_and_long_lists_are_sorted_all_the_same():
    assert sort_as_published([2.0, 1.0, 2.0, 1.0]) == [1, 3, 0, 2]
    many = np.random.default_rng(3).integers(0, 9, 200).astype(float).tolist()
    order = sort_as_published(many)
    assert sorted(order) == list(range(200))
    assert [many[i] for i in order] == sorted(many)
    assert sort_as_published(many) != np.argsort(many, kind="stable").tolist()


def test_a_search_meets_the_leaf_around_the_query_first():
    points = np.random.default_rng(4).random((500, 3)).astype(np.float32)
    tree = VisitTree(points)
    everyone = np.arange(500)
    for i in (0, 17, 499):
        leaf, place = tree.visit_keys(np.repeat(points[i : i + 1], 500, 0), everyone)
        assert leaf[i] == 0
        assert 1 <= (leaf == 0).sum() <= 10
        assert sorted(place) == list(range(500))
