"""What comes out of mesh files, good and bad."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from rnnpose_ros.errors import AssetError
from rnnpose_ros.objects.mesh_io import load_mesh

TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
FACES = "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def corner_colors(mesh) -> torch.Tensor:
    """The texel (nearest) of every face corner."""
    height, width = mesh.texture.shape[:2]
    u, v = mesh.corner_uvs.unbind(-1)
    column = (u * width - 0.5).round().long() % width
    row = ((1 - v) * height - 0.5).round().long().clamp(0, height - 1)
    return mesh.texture[row, column]


@pytest.fixture
def textured_box() -> trimesh.Trimesh:
    box = trimesh.creation.box(extents=(0.1, 0.2, 0.3))
    picture = Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))
    uv = (box.vertices - box.bounds[0]) / box.extents
    box.visual = trimesh.visual.TextureVisuals(uv=uv[:, :2], image=picture)
    return box


def test_obj_vertices_and_faces_keep_the_order_of_the_file(tmp_path):
    text = (
        TETRAHEDRON + "vt 0 0\nvt 1 0\nvt 0 1\nvt 0.5 0.5\nf 1/1 3/2 2/3\nf 1/4 2/1 4/2\nf 1/2 4/3 3/1\nf 2/1 3/2 4/4\n"
    )
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert mesh.faces.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


def test_obj_corners_of_one_vertex_keep_their_own_texture_coordinates(tmp_path):
    Image.new("RGB", (2, 2), (10, 20, 30)).save(tmp_path / "t.png")
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd t.png\n")
    text = "mtllib m.mtl\nusemtl a\n" + TETRAHEDRON + "vt 0 0\nvt 1 0\nvt 0 1\nf 1/1 3/2 2/3\nf 1/2 2/1 4/3\n"
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    assert mesh.corner_uvs[0].tolist() == [[0, 0], [1, 0], [0, 1]]
    assert mesh.corner_uvs[1].tolist() == [[1, 0], [0, 0], [0, 1]]
    assert mesh.texture.unique(dim=0).flatten(0, 1)[0].tolist() == [10, 20, 30]


def test_obj_polygons_become_fans_and_negative_indices_count_back(tmp_path):
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 -2 -1\n"
    assert load_mesh(write(tmp_path / "m.obj", text)).faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_scale_takes_millimetres_to_metres(tmp_path):
    mesh = load_mesh(write(tmp_path / "m.obj", TETRAHEDRON.replace("1", "100") + FACES), scale=0.001)
    assert mesh.vertices.max().item() == pytest.approx(0.1)


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_a_textured_box_survives_every_format_that_holds_textures(tmp_path, textured_box, suffix):
    if suffix == ".ply":
        _write_textured_ply(tmp_path, textured_box)
    else:
        textured_box.export(tmp_path / "m.glb")
    mesh = load_mesh(tmp_path / f"m{suffix}")
    np.testing.assert_allclose(mesh.vertices.numpy(), textured_box.vertices, atol=1e-6)
    np.testing.assert_allclose(mesh.corner_uvs.numpy(), textured_box.visual.uv[textured_box.faces], atol=1e-6)
    assert mesh.texture.tolist() == np.asarray(textured_box.visual.material.image).tolist()


def _write_textured_ply(folder: Path, box: trimesh.Trimesh) -> None:
    box.visual.material.image.save(folder / "t.png")
    rows = [" ".join(map(str, [*v, *uv])) for v, uv in zip(box.vertices, box.visual.uv, strict=True)]
    faces = [f"3 {a} {b} {c}" for a, b, c in box.faces]
    properties = "".join(f"property float {name}\n" for name in ("x", "y", "z", "texture_u", "texture_v"))
    header = (
        f"ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex {len(rows)}\n{properties}"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    write(folder / "m.ply", header + "\n".join(rows + faces) + "\n")


def test_ply_with_texture_coordinates_per_corner_keeps_its_own_vertices(tmp_path):
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "t.png")
    header = (
        "ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex 4\nproperty float x\nproperty float y\n"
        "property float z\nelement face 2\nproperty list uchar int vertex_indices\n"
        "property list uchar float texcoord\nend_header\n"
    )
    rows = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1 6 0 0 1 0 0 1\n3 0 1 3 6 1 1 0.5 0 0 0.5\n"
    mesh = load_mesh(write(tmp_path / "m.ply", header + rows))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert mesh.faces.tolist() == [[0, 2, 1], [0, 1, 3]]
    assert mesh.corner_uvs.tolist() == [[[0, 0], [1, 0], [0, 1]], [[1, 1], [0.5, 0], [0, 0.5]]]


def test_ply_vertex_colours_are_read(tmp_path):
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.arange(32, dtype=np.uint8).reshape(8, 4) | 0x80
    box.export(tmp_path / "m.ply")
    assert load_mesh(tmp_path / "m.ply").vertex_colors.tolist() == box.visual.vertex_colors[:, :3].tolist()


def test_stl_shares_its_vertices_again(tmp_path):
    trimesh.creation.box().export(tmp_path / "m.stl")
    mesh = load_mesh(tmp_path / "m.stl")
    assert mesh.vertices.shape == (8, 3)
    assert mesh.faces.shape == (12, 3)


def test_a_scene_is_placed_and_a_uniform_material_becomes_vertex_colours(tmp_path):
    red = trimesh.visual.TextureVisuals(material=trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 255]))
    scene = trimesh.Scene()
    for x in (0.0, 5.0):
        box = trimesh.creation.box()
        box.visual = red
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([x, 0, 0]))
    scene.export(tmp_path / "m.glb")
    mesh = load_mesh(tmp_path / "m.glb")
    assert mesh.vertices[:, 0].max().item() == pytest.approx(5.5)
    assert mesh.vertex_colors.unique(dim=0).tolist() == [[255, 0, 0]]


def test_several_materials_become_one_atlas_that_shows_each_of_them(tmp_path):
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "red.png")
    Image.new("RGB", (16, 4), (0, 0, 200)).save(tmp_path / "blue.png")
    write(tmp_path / "m.mtl", "newmtl r\nmap_Kd red.png\nnewmtl b\nmap_Kd blue.png\nnewmtl g\nKd 0 0.5 0\n")
    text = "mtllib m.mtl\n" + TETRAHEDRON + "vt 0 0\nvt 1 0\nvt 0 1\n"
    text += "usemtl r\nf 1/1 3/2 2/3\nusemtl b\nf 1/1 2/2 4/3\nusemtl g\nf 2 3 4\n"
    colors = corner_colors(load_mesh(write(tmp_path / "m.obj", text)))
    assert colors[0].unique(dim=0).tolist() == [[200, 0, 0]]
    assert colors[1].unique(dim=0).tolist() == [[0, 0, 200]]
    assert colors[2].unique(dim=0).tolist() == [[0, 128, 0]]


def test_a_missing_texture_warns_and_leaves_a_drawable_mesh(tmp_path, caplog):
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd nowhere.png\n")
    text = "mtllib m.mtl\nusemtl a\n" + TETRAHEDRON + FACES
    with caplog.at_level(logging.WARNING):
        mesh = load_mesh(write(tmp_path / "m.obj", text))
    assert mesh.texture is None
    assert "nowhere.png is missing" in caplog.text


def test_a_texture_that_is_no_picture_warns(tmp_path, caplog):
    write(tmp_path / "t.png", "not a picture")
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd t.png\n")
    text = "mtllib m.mtl\nusemtl a\n" + TETRAHEDRON + FACES
    with caplog.at_level(logging.WARNING):
        assert load_mesh(write(tmp_path / "m.obj", text)).texture is None
    assert "cannot be read" in caplog.text


def test_faces_without_area_are_dropped_with_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        mesh = load_mesh(write(tmp_path / "m.obj", TETRAHEDRON + FACES + "f 1 1 2\n"))
    assert mesh.faces.shape == (4, 3)
    assert "dropped 1 of 5" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.obj", "", "empty"),
        ("m.obj", "# nothing\n", "no vertices"),
        ("m.obj", TETRAHEDRON, "no faces"),
        ("m.obj", TETRAHEDRON + "f 1 2 9\n", "names vertex 8"),
        ("m.obj", TETRAHEDRON + "f 1 2 -9\n", "names vertex -5"),
        ("m.obj", TETRAHEDRON.replace("v 1", "v nan") + FACES, "not finite"),
        ("m.obj", TETRAHEDRON + "f 1 2\n", "three corners"),
        ("m.obj", "v 0 0 zero\n", "m.obj:1: cannot read"),
        ("m.obj", TETRAHEDRON + "f 1 1 1\n", "zero area"),
        ("m.ply", "ply\n", "not a readable PLY"),
        ("m.stl", "garbage", "m.stl"),
        ("m.glb", "garbage", "not a readable GLB"),
        ("m.txt", "x", "expected a mesh file"),
    ],
)
def test_a_file_that_is_no_mesh_gets_one_clear_line(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(AssetError, match=message) as caught:
        load_mesh(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AssetError, match=r"nowhere\.obj: no such mesh file"):
        load_mesh(tmp_path / "nowhere.obj")


def test_a_point_cloud_is_refused(tmp_path):
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "m.ply")
    with pytest.raises(AssetError, match="point cloud"):
        load_mesh(tmp_path / "m.ply")


def test_ply_faces_beyond_the_vertices_are_refused(tmp_path):
    header = (
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    with pytest.raises(AssetError, match=r"m\.ply"):
        load_mesh(write(tmp_path / "m.ply", header + "0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n"))


def test_truncated_stl_is_refused(tmp_path):
    (tmp_path / "m.stl").write_bytes(b"\0" * 80 + struct.pack("<I", 100) + b"\0" * 50)
    with pytest.raises(AssetError, match=r"m\.stl"):
        load_mesh(tmp_path / "m.stl")
