"""Corner normals and the welding of vertices."""

from __future__ import annotations

import math

import numpy as np
import trimesh

from rnnpose_ros.objects.normals import corner_angles, corner_normals, weld


def test_a_box_keeps_its_edges():
    box = trimesh.creation.box()
    normals = corner_normals(np.asarray(box.vertices), np.asarray(box.faces))
    np.testing.assert_allclose(normals, np.repeat(box.face_normals[:, None], 3, axis=1), atol=1e-12)


def test_a_fine_sphere_is_smooth():
    sphere = trimesh.creation.icosphere(subdivisions=4)
    normals = corner_normals(np.asarray(sphere.vertices), np.asarray(sphere.faces))
    assert np.abs(normals - sphere.vertices[sphere.faces]).max() < 4e-3


def test_normals_smooth_across_vertices_that_share_a_position():
    sphere = trimesh.creation.icosphere(subdivisions=3)
    whole = corner_normals(np.asarray(sphere.vertices), np.asarray(sphere.faces))
    soup = corner_normals(sphere.vertices[sphere.faces].reshape(-1, 3), np.arange(3 * len(sphere.faces)).reshape(-1, 3))
    np.testing.assert_allclose(soup, whole, atol=1e-12)


def test_the_crease_angle_decides_between_soft_and_sharp():
    vertices = np.array([[0, 0, 0], [0, 1, 0], [-1, 0, 0], [math.cos(0.6), 0, math.sin(0.6)]])
    faces = np.array([[0, 1, 2], [0, 3, 1]])
    soft = corner_normals(vertices, faces, crease_angle=0.61)
    sharp = corner_normals(vertices, faces, crease_angle=0.59)
    np.testing.assert_allclose(soft[0, 0], soft[1, 0], atol=1e-12)
    assert abs(math.acos(sharp[0, 0] @ sharp[1, 0]) - 0.6) < 1e-9


def test_corner_angles_of_a_triangle_sum_to_a_half_turn():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(30, 3))
    angles = corner_angles(vertices, np.arange(30).reshape(-1, 3))
    np.testing.assert_allclose(angles.sum(1), math.pi, atol=1e-9)


def test_a_fan_with_many_faces_at_its_tip_stays_smooth_and_quick():
    cone = trimesh.creation.cone(radius=1.0, height=0.05, sections=2000)
    normals = corner_normals(np.asarray(cone.vertices), np.asarray(cone.faces))
    assert np.isfinite(normals).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=1e-9)


def test_welding_keeps_the_first_occurrence_in_order():
    points = np.array([[2.0, 0, 0], [1, 0, 0], [2, 0, 0], [-0.0, 0, 0], [0.0, 0, 0]])
    first, inverse = weld(points)
    assert first.tolist() == [0, 1, 3]
    assert inverse.tolist() == [0, 1, 0, 2, 2]
