"""Object folders that are written are what is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rnnpose_ros.errors import AssetError, OutputError
from rnnpose_ros.objects.description import read_description
from rnnpose_ros.objects.library import ObjectLibrary, load_object
from rnnpose_ros.objects.object_writer import write_description, write_mesh
from rnnpose_ros.types import Mesh

TURN = [[-1.0, 0.0, 0.0, 0.02], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


@pytest.fixture
def mesh() -> Mesh:
    return Mesh(
        vertices=torch.tensor([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1234567]]),
        faces=torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
        corner_normals=torch.zeros(4, 3, 3),
        corner_uvs=torch.rand(4, 3, 2),
        texture=torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8),
    )


def test_a_textured_mesh_comes_back_as_it_was(mesh: Mesh, tmp_path: Path) -> None:
    write_mesh(tmp_path, "thing", mesh)
    write_description(tmp_path, label="thing", mesh_file="thing.obj", discrete=[TURN])
    model = load_object(tmp_path)
    assert torch.equal(model.mesh.vertices, mesh.vertices)
    assert torch.equal(model.mesh.faces, mesh.faces)
    assert torch.allclose(model.mesh.corner_uvs, mesh.corner_uvs, atol=1e-7)
    assert torch.equal(model.mesh.texture, mesh.texture)
    assert torch.allclose(model.symmetries[1], torch.tensor(TURN, dtype=torch.float64))


def test_vertex_colours_come_back_as_they_were(mesh: Mesh, tmp_path: Path) -> None:
    colours = torch.tensor([[0, 1, 2], [254, 255, 128], [77, 78, 79], [3, 200, 9]], dtype=torch.uint8)
    plain = Mesh(mesh.vertices, mesh.faces, mesh.corner_normals, vertex_colors=colours)
    write_mesh(tmp_path, "thing", plain)
    write_description(tmp_path, label="thing", mesh_file="thing.obj", continuous=[{"axis": [0, 0, 1]}])
    model = load_object(tmp_path)
    assert torch.equal(model.mesh.vertex_colors, colours)
    assert len(model.symmetries) == 36


def test_a_folder_that_cannot_be_is_said(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        write_mesh(tmp_path / "file", "thing", mesh)


def test_weights_are_used_where_all_objects_name_the_same(
    mesh: Mesh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, weights in (("mug", "weights.safetensors"), ("box", None)):
        write_mesh(tmp_path / name, name, mesh)
        write_description(tmp_path / name, label=name, mesh_file=f"{name}.obj", weights_file=weights)
    both = ObjectLibrary.from_directory(tmp_path)
    assert both.subset(["mug"]).weights() == tmp_path / "mug" / "weights.safetensors"
    assert both.subset(["box"]).weights() is None
    assert caplog.text == ""
    assert both.weights() is None
    assert "mug: made with weights of their own" in caplog.text


def test_weights_that_are_no_file_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "object.yaml").write_text("label: mug\nmesh: mug.obj\nmesh_scale: 1\nweights: [1]\n")
    with pytest.raises(AssetError, match=r"weights: expected a \.safetensors file"):
        read_description(tmp_path / "object.yaml")
