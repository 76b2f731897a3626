"""Bad meshes: mended aloud, or refused with what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from rnnpose_ros.errors import AssetError
from rnnpose_ros.objects.appearance import Material, RawMesh
from rnnpose_ros.objects.decimation import decimate
from rnnpose_ros.objects.mesh_check import CheckedMesh, check_mesh
from rnnpose_ros.objects.mesh_io import mesh_from_raw, read_mesh_file
from rnnpose_ros.objects.normals import face_normals

ROOT = Path(__file__).resolve().parents[2]


def raw_of(solid: trimesh.Trimesh) -> RawMesh:
    faces = np.array(solid.faces, np.int64)
    return RawMesh(np.array(solid.vertices, float), faces, [Material()], np.zeros(len(faces), np.int64))


@pytest.fixture
def ball() -> RawMesh:
    """10 cm across, 1280 faces."""
    return raw_of(trimesh.creation.icosphere(3, 0.05))


def said(checked: CheckedMesh, *, warnings: bool = True) -> str:
    return "\n".join(f.text for f in checked.findings if f.is_warning == warnings)


def volume(raw: RawMesh) -> float:
    a, b, c = (raw.vertices[raw.faces[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_a_good_mesh_passes_unchanged_with_its_size_said() -> None:
    raw = read_mesh_file(ROOT / "models" / "objects" / "demo" / "tea_box" / "tea_box.obj")
    checked = check_mesh(raw, name="tea_box.obj")
    assert said(checked) == ""
    assert "watertight" in said(checked, warnings=False)
    assert "diameter 150.8 mm" in said(checked, warnings=False)
    assert "texture of 1088 x 704" in said(checked, warnings=False)
    assert np.array_equal(checked.raw.faces, raw.faces)
    assert np.array_equal(checked.raw.vertices, raw.vertices)


@pytest.mark.parametrize(
    ("factor", "scale", "remedy"),
    [
        (1000.0, None, r"read as metres\); it looks like millimetres: give --scale 0\.001 \(a diameter of 100 mm\)"),
        (100.0, None, r"it looks like millimetres: give --scale 0\.001 \(a diameter of 10 mm\)|centimetres"),
        (1.0, 0.001, r"--scale 0\.001 was given\); it looks like metres: give --scale 1 "),
        (1e-9, None, "give --scale, in metres per unit of the file"),
    ],
)
def test_an_unlikely_size_is_refused_with_the_scale_to_give(
    ball: RawMesh, factor: float, scale: float | None, remedy: str
) -> None:
    with pytest.raises(AssetError, match=remedy):
        check_mesh(replace(ball, vertices=factor * ball.vertices), name="ball.obj", scale=scale)


def test_a_scale_is_applied(ball: RawMesh) -> None:
    checked = check_mesh(replace(ball, vertices=1000 * ball.vertices), name="ball.obj", scale=0.001)
    assert checked.diameter == pytest.approx(0.1, rel=1e-6)
    assert np.allclose(checked.raw.vertices, ball.vertices)


def test_a_few_bad_vertices_are_dropped_aloud_with_their_faces(ball: RawMesh) -> None:
    vertices = ball.vertices.copy()
    vertices[7] = np.nan
    vertices[100, 1] = np.inf
    touched = int(np.isin(ball.faces, [7, 100]).any(1).sum())
    checked = check_mesh(replace(ball, vertices=vertices), name="ball.obj")
    assert f"2 of {len(vertices)} vertices are not finite: dropped, with the {touched} faces on them" in said(checked)
    assert "not watertight: 2 holes" in said(checked)
    assert np.isfinite(checked.raw.vertices).all()
    assert len(checked.raw.faces) == len(ball.faces) - touched
    kept = ball.vertices[ball.faces[~np.isin(ball.faces, [7, 100]).any(1)]]
    assert np.array_equal(checked.raw.vertices[checked.raw.faces], kept)


def test_many_bad_vertices_are_refused_with_their_count(ball: RawMesh) -> None:
    vertices = ball.vertices.copy()
    vertices[:100] = np.nan
    with pytest.raises(AssetError, match=r"100 of 642 vertices are not finite.*export it again"):
        check_mesh(replace(ball, vertices=vertices), name="ball.obj")


def test_flat_faces_are_dropped_aloud_and_only_flat_ones_refused(ball: RawMesh) -> None:
    flat = np.array([[0, 0, 1], [2, 3, 2]])
    more = replace(
        ball, faces=np.concatenate([ball.faces, flat]), material_of_face=np.zeros(len(ball.faces) + 2, np.int64)
    )
    checked = check_mesh(more, name="ball.obj")
    assert "2 of 1282 faces have zero area: dropped" in said(checked)
    assert np.array_equal(checked.raw.faces, ball.faces)
    with pytest.raises(AssetError, match="all 2 faces have zero area"):
        check_mesh(replace(ball, faces=flat, material_of_face=np.zeros(2, np.int64)), name="ball.obj")


def test_holes_are_said_with_what_to_do(ball: RawMesh) -> None:
    keep = ball.vertices[ball.faces].mean(1)[:, 2] < 0.045
    opened = replace(ball, faces=ball.faces[keep], material_of_face=ball.material_of_face[keep])
    text = said(check_mesh(opened, name="ball.obj"))
    assert "not watertight: 1 holes" in text
    assert "Close them in the CAD program" in text


@pytest.mark.parametrize("which", ["some", "all"])
def test_faces_the_wrong_way_round_are_turned(ball: RawMesh, which: str) -> None:
    turned = np.arange(len(ball.faces)) % (17 if which == "some" else 1) == 0
    corner_uvs = np.random.default_rng(0).random((len(ball.faces), 3, 2))
    faces = np.where(turned[:, None], ball.faces[:, ::-1], ball.faces)
    uvs = np.where(turned[:, None, None], corner_uvs[:, ::-1], corner_uvs)
    checked = check_mesh(replace(ball, faces=faces, corner_uvs=uvs), name="ball.obj")
    assert f"{int(turned.sum())} of 1280 faces were the wrong way round: turned" in said(checked)
    assert volume(checked.raw) == pytest.approx(volume(ball))
    # Each corner keeps its own place in the texture.
    ours = np.concatenate([checked.raw.faces[..., None], checked.raw.corner_uvs], -1)
    given = np.concatenate([ball.faces[..., None], corner_uvs], -1)
    assert set(map(tuple, ours.reshape(-1, 3))) == set(map(tuple, given.reshape(-1, 3)))


def test_a_mesh_without_texture_is_said(ball: RawMesh) -> None:
    assert "no texture: one plain colour" in said(check_mesh(ball, name="ball.obj"))
    colours = np.random.default_rng(0).integers(0, 255, (len(ball.vertices), 3)).astype(np.uint8)
    checked = check_mesh(replace(ball, vertex_colors=colours), name="ball.obj")
    assert "no texture: its colours" in said(checked, warnings=False)


def test_a_huge_texture_is_reduced_aloud_and_stays_in_its_place(ball: RawMesh) -> None:
    picture = np.zeros((64, 4096, 3), np.uint8)
    picture[:, 3072:] = 255
    uvs = np.full((len(ball.faces), 3, 2), 0.5)
    checked = check_mesh(replace(ball, corner_uvs=uvs, materials=[Material(texture=picture)]), name="ball.obj")
    assert "a texture of 4096 x 64 texels is finer than any crop: reduced to 2048 x 32" in said(checked)
    small = checked.raw.materials[0].texture
    assert small is not None
    assert np.array_equal(small[0, :, 0], np.repeat([0, 255], [1536, 512]))


def textured_ball(divisions: int) -> RawMesh:
    """Its texture shows the direction of each point: red is x, green is z. One seam, at the back."""
    raw = raw_of(trimesh.creation.icosphere(divisions, 0.05))
    unit = raw.vertices[raw.faces] / 0.05
    u = np.arctan2(unit[..., 1], unit[..., 0]) / (2 * np.pi) + 0.5
    u = np.where((np.ptp(u, axis=1) > 0.5)[:, None] & (u < 0.5), u + 1, u)
    v = np.arcsin(unit[..., 2].clip(-1, 1)) / np.pi + 0.5
    columns, rows = (np.arange(512) + 0.5) / 512, 1 - (np.arange(256) + 0.5) / 256
    longitude, latitude = np.meshgrid((columns - 0.5) * 2 * np.pi, (rows - 0.5) * np.pi)
    x, z = np.cos(latitude) * np.cos(longitude), np.sin(latitude)
    texture = np.stack([127.5 + 127.5 * x, 127.5 + 127.5 * z, 0 * x], -1).round().astype(np.uint8)
    return replace(raw, corner_uvs=np.stack([u, v], -1), materials=[Material(texture=texture)])


def test_a_fine_mesh_is_decimated_aloud_and_keeps_shape_and_texture() -> None:
    checked = check_mesh(textured_ball(5), name="ball.obj", most_faces=2000)
    assert "20480 faces are more than any picture shows: decimated to" in said(checked)
    raw = checked.raw
    assert 1500 < len(raw.faces) <= 2000
    assert np.abs(np.linalg.norm(raw.vertices, axis=1) / 0.05 - 1).max() < 0.01
    mesh = mesh_from_raw(raw, name="ball")
    assert mesh.texture is not None
    assert mesh.corner_uvs is not None
    # At the middle of each face the texture still shows where that is; the poles, where u says nothing, left out.
    middles, uv = raw.vertices[raw.faces].mean(1) / 0.05, mesh.corner_uvs.numpy().mean(1)
    texels = mesh.texture.numpy()[((1 - uv[:, 1]) * 256).astype(int) % 256, (uv[:, 0] * 512).astype(int) % 512]
    shown = texels[:, :2] / 127.5 - 1
    error = np.abs(shown - middles[:, [0, 2]]).max(1)[np.abs(middles[:, 2]) < 0.95]
    assert np.quantile(error, 0.99) < 0.06


def test_decimation_carries_vertex_colours() -> None:
    raw = raw_of(trimesh.creation.icosphere(5, 0.05))
    colours = (127.5 + 127.5 * raw.vertices / 0.05).astype(np.uint8)
    fewer = decimate(replace(raw, vertex_colors=colours), 2000)
    assert fewer.vertex_colors is not None
    assert np.abs(fewer.vertex_colors / 127.5 - 1 - fewer.vertices / 0.05).max() < 0.06
    normals, _ = face_normals(fewer.vertices, fewer.faces)
    assert (np.einsum("ij,ij->i", normals, fewer.vertices[fewer.faces].mean(1)) > 0).all()


@pytest.mark.slow
def test_five_million_faces_are_decimated(tmp_path: Path) -> None:
    steps = np.linspace(0, 2 * np.pi, 1583)
    u, v = np.meshgrid(steps, steps)
    points = np.stack(
        [(0.1 + 0.04 * np.cos(v)) * np.cos(u), (0.1 + 0.04 * np.cos(v)) * np.sin(u), 0.04 * np.sin(v)], -1
    )
    index = np.arange(u.size).reshape(u.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    trimesh.Trimesh(points.reshape(-1, 3), faces, process=False).export(tmp_path / "ring.ply")
    raw = read_mesh_file(tmp_path / "ring.ply")
    assert len(raw.faces) > 5_000_000
    checked = check_mesh(raw, name="ring.ply")
    assert "decimated to" in said(checked)
    assert len(checked.raw.faces) <= 100_000
    radius = np.hypot(np.hypot(*checked.raw.vertices[:, :2].T) - 0.1, checked.raw.vertices[:, 2])
    assert np.abs(radius - 0.04).max() < 0.0005
