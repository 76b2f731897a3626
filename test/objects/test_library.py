"""Object descriptions, their sizes, and the library of them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import yaml

from rnnpose_ros.errors import AssetError
from rnnpose_ros.objects.diameter import diameter
from rnnpose_ros.objects.library import ObjectLibrary, UnknownObjectError, load_object, object_from_mesh
from rnnpose_ros.objects.mesh_io import load_mesh
from rnnpose_ros.paths import resolve_path


def describe(folder: Path, *, size=(0.1, 0.2, 0.3), **content) -> Path:
    """An ``object.yaml`` beside a box mesh."""
    folder.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(extents=size).export(folder / "box.ply")
    path = folder / "object.yaml"
    path.write_text(yaml.safe_dump({"label": folder.name, "mesh": "box.ply", "mesh_scale": 1.0, **content}))
    return path


def test_an_object_knows_its_size_centre_and_origin(tmp_path):
    box = trimesh.creation.box(extents=(0.1, 0.2, 0.3))
    box.apply_translation([0.05, 0.0, 1.0])
    describe(tmp_path / "box")
    box.export(tmp_path / "box" / "box.ply")
    model = load_object(tmp_path / "box" / "object.yaml")
    assert model.label == "box"
    assert model.diameter == pytest.approx(np.linalg.norm([0.1, 0.2, 0.3]), abs=1e-6)
    assert model.centre.tolist() == pytest.approx([0.05, 0.0, 1.0], abs=1e-6)
    assert model.symmetries.tolist() == [np.eye(4).tolist()]
    assert model.mesh_path == str(tmp_path / "box" / "box.ply")


def test_a_bare_mesh_is_an_object_too(tmp_path):
    describe(tmp_path / "box", size=(100, 200, 300))
    model = load_object(tmp_path / "box" / "box.ply", label="crate", mesh_scale=0.001)
    assert (model.label, model.mesh_scale) == ("crate", 0.001)
    assert model.mesh.vertices.max().item() == pytest.approx(0.15)


def test_a_folder_stands_for_its_description(tmp_path):
    describe(tmp_path / "box")
    assert load_object(tmp_path / "box").label == "box"


def test_millimetres_declared_metres_are_questioned_with_the_likely_scale(tmp_path, caplog):
    describe(tmp_path / "box", size=(30, 20, 20))
    with caplog.at_level(logging.WARNING):
        model = load_object(tmp_path / "box")
    assert model.diameter == pytest.approx(41.23, abs=0.01)
    assert len(caplog.records) == 1
    assert "diameter of 41.23 m" in caplog.text
    assert "looks like millimetres: set mesh_scale: 0.001" in caplog.text


def test_a_size_no_camera_can_see_is_refused_with_the_likely_scale(tmp_path):
    describe(tmp_path / "box", size=(100, 200, 300))
    with pytest.raises(AssetError, match=r"looks like millimetres: set mesh_scale: 0\.001"):
        load_object(tmp_path / "box")


def test_an_object_scaled_twice_is_questioned(tmp_path, caplog):
    describe(tmp_path / "box", mesh_scale=0.001)
    with caplog.at_level(logging.WARNING):
        load_object(tmp_path / "box")
    assert "set mesh_scale: 1" in caplog.text


def test_a_usual_size_is_not_questioned(tmp_path, caplog):
    describe(tmp_path / "box")
    with caplog.at_level(logging.WARNING):
        load_object(tmp_path / "box")
    assert not caplog.records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"mesh_scal": 1.0}, "did you mean 'mesh_scale'"),
        ({"mesh_scale": 0}, "positive number"),
        ({"mesh_scale": "mm"}, "positive number"),
        ({"label": ""}, "expected a name"),
        ({"aliases": "one"}, "list of names"),
        ({"detector_to_mesh": [0, 0, 0.1]}, "qx, qy, qz, qw"),
        ({"detector_to_mesh": [0, 0, 0.1, 0, 0, 0, 0]}, "with a rotation"),
        ({"mesh": "nowhere.ply"}, "no such mesh file"),
        ({"symmetries": {"discret": []}}, "did you mean 'discrete'"),
        ({"symmetries": {"discrete": [[1, 2, 3]]}}, "16"),
        ({"symmetries": {"discrete": [np.diag([1.0, 1, -1, 1]).tolist()]}}, "expected a rotation"),
        ({"symmetries": {"continuous": [{"axis": [0, 0, 0]}]}}, "direction"),
        ({"symmetries": {"continuous": [{"axes": [0, 0, 1]}]}}, "expected {axis"),
        ({"symmetries": {"models_info": "models_info.json"}}, "object_id"),
    ],
)
def test_a_wrong_description_gets_one_clear_line(tmp_path, content, message):
    path = describe(tmp_path / "box", **content)
    with pytest.raises(AssetError, match=message) as caught:
        load_object(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mesh_scale_must_be_said(tmp_path):
    path = tmp_path / "object.yaml"
    path.write_text("label: a\nmesh: a.ply\n")
    with pytest.raises(AssetError, match="missing mesh_scale"):
        load_object(path)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n"])
def test_a_file_that_is_no_description_is_refused(tmp_path, text):
    path = tmp_path / "object.yaml"
    path.write_text(text)
    with pytest.raises(AssetError, match=r"object\.yaml"):
        load_object(path)


def test_symmetries_come_from_bop_models_info_in_millimetres(tmp_path):
    half_turn = [-1, 0, 0, 10, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    (tmp_path / "models_info.json").write_text(json.dumps({"5": {"symmetries_discrete": [half_turn]}}))
    path = describe(tmp_path / "box", symmetries={"models_info": "../models_info.json", "object_id": 5})
    symmetries = load_object(path).symmetries
    assert symmetries.shape == (2, 4, 4)
    assert symmetries[1, :3, 3].tolist() == pytest.approx([0.01, 0.0, 0.0])


def test_a_library_loads_only_what_is_asked_for(tmp_path):
    describe(tmp_path / "set" / "a")
    describe(tmp_path / "set" / "broken", mesh="nowhere.ply")
    library = ObjectLibrary.from_directory(tmp_path / "set")
    assert sorted(library) == ["a", "broken"]
    assert library["a"].label == "a"
    assert library["a"] is library["a"]
    with pytest.raises(AssetError, match="nowhere"):
        library["broken"]
    assert library["a"].label == "a"


def test_the_mesh_may_lie_elsewhere_in_the_frame_that_a_detector_means(tmp_path):
    """A point of the mesh at x = 1, after a quarter turn about z and 5 cm up, is at y = 1."""
    half = 0.5**0.5
    model = load_object(describe(tmp_path / "mug", detector_to_mesh=[0.0, 0.0, 0.05, 0.0, 0.0, half, half]))
    point = model.T_detector_mesh @ torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    assert point.tolist() == pytest.approx([0.0, 1.0, 0.05, 1.0], abs=1e-12)
    assert load_object(describe(tmp_path / "box")).T_detector_mesh is None


def test_a_library_answers_to_aliases(tmp_path):
    describe(tmp_path / "mug", aliases=["obj_000014"])
    library = ObjectLibrary.from_directory(tmp_path)
    assert library["obj_000014"] is library["mug"]
    assert library.label_of("obj_000014") == "mug"
    assert library.label_of("cup") is None
    assert len(library) == 1


def test_an_unknown_object_is_a_key_error_with_a_suggestion(tmp_path):
    describe(tmp_path / "mustard")
    library = ObjectLibrary.from_directory(tmp_path)
    with pytest.raises(UnknownObjectError, match=r"^unknown object 'mustrad', did you mean 'mustard'"):
        library["mustrad"]
    assert library.get("mustrad") is None


def test_two_objects_of_one_name_are_refused(tmp_path):
    describe(tmp_path / "a", label="same")
    describe(tmp_path / "b", label="same")
    with pytest.raises(AssetError, match="already belongs to 'same'"):
        ObjectLibrary.from_directory(tmp_path)


def test_an_empty_folder_is_no_library(tmp_path):
    with pytest.raises(AssetError, match=r"no object\.yaml"):
        ObjectLibrary.from_directory(tmp_path)


def test_models_in_memory_join_a_library(tmp_path):
    describe(tmp_path / "a")
    model = object_from_mesh(load_mesh(tmp_path / "a" / "box.ply"), label="made")
    assert ObjectLibrary(models=[model])["made"] is model


def test_package_addresses_lead_into_this_package():
    assert resolve_path("package://rnnpose_ros/models").parent == Path(__file__).resolve().parents[2]


def test_an_address_of_a_missing_package_is_refused():
    with pytest.raises(AssetError, match="package 'no_such_package' is not installed"):
        resolve_path("package://no_such_package/mesh.obj")


@pytest.mark.parametrize("count", [2, 3, 50, 3000])
def test_the_diameter_equals_the_largest_of_all_distances(count):
    points = np.random.default_rng(count).normal(size=(count, 3))
    expected = max(np.linalg.norm(points - p, axis=1).max() for p in points)
    assert diameter(points) == pytest.approx(expected, rel=1e-12)


def test_the_diameter_of_flat_and_straight_sets_is_exact():
    rng = np.random.default_rng(1)
    flat = np.pad(rng.uniform(size=(500, 2)), ((0, 0), (0, 1)))
    expected = max(np.linalg.norm(flat - p, axis=1).max() for p in flat)
    assert diameter(flat) == pytest.approx(expected, rel=1e-12)
    assert diameter(np.linspace(0, 1, 7)[:, None] * np.ones(3)) == pytest.approx(np.sqrt(3))
    assert diameter(np.ones((5, 3))) == 0.0


def test_object_tensors_are_ready_for_float64_poses(tmp_path):
    describe(tmp_path / "a")
    model = load_object(tmp_path / "a")
    assert model.symmetries.dtype == model.centre.dtype == torch.float64
