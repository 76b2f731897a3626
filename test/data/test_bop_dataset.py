"""BOP datasets read: what is there comes in metres, what is missing or damaged is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rnnpose_ros.data.bop.dataset import BopDataset, read_bop
from rnnpose_ros.data.bop.model_writer import encode_png, write_models
from rnnpose_ros.data.bop.scenes import read_depth
from rnnpose_ros.errors import InputError
from rnnpose_ros.objects.description import ObjectDescription
from rnnpose_ros.objects.library import load_described

QUARTER_TURN_ROWS = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset written by hand: one scene, two images, objects 1 (a cube of 10 cm) and 4 (symmetric)."""
    folder = tmp_path_factory.mktemp("bop") / "ours"
    cube = folder / "cube.obj"
    folder.mkdir()
    corners = [f"v {x} {y} {z}" for x in (-0.05, 0.05) for y in (-0.05, 0.05) for z in (-0.05, 0.05)]
    faces = ["1 3 2", "2 3 4", "5 6 7", "6 8 7", "1 2 5", "2 6 5", "3 7 4", "4 7 8", "1 5 3", "3 5 7", "2 4 6", "4 8 6"]
    cube.write_text("\n".join([*corners, *(f"f {face}" for face in faces)]))
    plain = ObjectDescription("cube", cube)
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    half_turn[0, 3] = 0.002
    offset_axis = {"axis": [0, 0, 1], "offset": [0.001, 0, 0]}
    symmetric = ObjectDescription("spinner", cube, discrete=(half_turn.tolist(),), continuous=(offset_axis,))
    described = {1: plain, 4: symmetric}
    write_models(folder, {i: load_described(d) for i, d in described.items()}, described)
    scene = folder / "test" / "000003"
    (scene / "rgb").mkdir(parents=True)
    (scene / "depth").mkdir()
    for image in (0, 7):
        Image.fromarray(np.full((48, 64, 3), image, np.uint8)).save(scene / "rgb" / f"{image:06d}.png")
        (scene / "depth" / f"{image:06d}.png").write_bytes(encode_png(np.full((48, 64), 5000 + image, np.uint16)))
    camera = {"cam_K": [60.0, 0, 31.5, 0, 61.0, 23.5, 0, 0, 1], "depth_scale": 0.1}
    pose = {"cam_R_m2c": QUARTER_TURN_ROWS, "cam_t_m2c": [10.0, -20.0, 800.0]}
    write(scene / "scene_camera.json", {"0": camera, "7": camera})
    truths = {"0": [{**pose, "obj_id": 1}, {**pose, "obj_id": 4}], "7": [{**pose, "obj_id": 1}]}
    write(scene / "scene_gt.json", truths)
    write(scene / "scene_gt_info.json", {"0": [{"visib_fract": 0.9}, {"visib_fract": 0.05}], "7": [{"visib_fract": 1}]})
    return folder


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(written, tmp_path / "ours"))


def test_poses_and_diameters_are_metres_and_rotations_are_read_row_by_row(written: Path) -> None:
    dataset = read_bop(written)
    annotation = dataset.images[3, 0].annotations[0]
    assert annotation.T_camera_object[:3, 3].tolist() == pytest.approx([0.01, -0.02, 0.8])
    assert annotation.T_camera_object[:3, :3].reshape(-1).tolist() == QUARTER_TURN_ROWS
    model = dataset.models[1]
    assert model.label == "obj_000001"
    assert model.diameter == pytest.approx(0.1 * 3**0.5)
    assert float(model.mesh.vertices.abs().max()) == pytest.approx(0.05)


def test_a_frame_has_its_camera_and_its_depth_in_metres(written: Path) -> None:
    dataset = read_bop(written)
    frame = dataset.frame(dataset.images[3, 7])
    assert frame.rgb.shape == (48, 64, 3)
    assert int(frame.rgb[0, 0, 0]) == 7
    assert frame.camera.K[0].reshape(-1).tolist() == [60.0, 0, 31.5, 0, 61.0, 23.5, 0, 0, 1]
    assert float(frame.depth[5, 5]) == pytest.approx(0.5007)


def test_symmetries_come_from_models_info_in_metres_and_as_finely_as_bop_wants(written: Path) -> None:
    dataset = read_bop(written)
    assert [dataset.models.objects[i].is_symmetric for i in (1, 4)] == [False, True]
    assert len(dataset.models[1].symmetries) == 1
    assert len(dataset.evaluation_models[4].symmetries) == 315 * 2
    shifts = dataset.models[4].symmetries[:, :3, 3].abs().amax()
    assert float(shifts) == pytest.approx(0.002, abs=1e-9)


def test_without_a_target_file_the_visible_instances_are_wanted(written: Path) -> None:
    targets = read_bop(written).targets
    assert [(t.scene_id, t.image_id, t.object_id, t.count) for t in targets] == [(3, 0, 1, 1), (3, 7, 1, 1)]


def test_the_target_file_of_a_test_split_is_used(folder: Path) -> None:
    write(folder / "test_targets_bop19.json", [{"scene_id": 3, "im_id": 0, "obj_id": 4, "inst_count": 1}])
    dataset = read_bop(folder)
    assert [(t.image_id, t.object_id) for t in dataset.targets] == [(0, 4)]
    assert list(dataset.targets_by_image()) == [(3, 0)]


def test_jpeg_and_grey_pictures_are_read_as_rgb(folder: Path) -> None:
    scene = folder / "test" / "000003"
    shutil.rmtree(scene / "rgb")
    (scene / "gray").mkdir()
    Image.fromarray(np.full((48, 64), 90, np.uint8)).save(scene / "gray" / "000000.jpg")
    Image.fromarray(np.full((48, 64), 90, np.uint8)).save(scene / "gray" / "000007.tif")
    dataset = read_bop(folder)
    for image in dataset.images.values():
        assert dataset.frame(image).rgb.shape == (48, 64, 3)
        assert abs(int(dataset.frame(image).rgb[9, 9, 1]) - 90) <= 1


def test_a_split_without_public_truth_has_images_and_no_annotations(folder: Path) -> None:
    (folder / "test" / "000003" / "scene_gt.json").unlink()
    dataset = read_bop(folder)
    assert dataset.images[3, 0].annotations is None
    assert dataset.targets == ()


def damage(folder: Path, file: str, text: str | None) -> None:
    path = folder / file
    path.unlink() if text is None else path.write_text(text)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("models/models_info.json", None, "models_info.json: no such file; expected diameter and symmetries"),
        ("models/models_info.json", '{"1": {"diameter": 0}}', "1: diameter: expected millimetres above 0, got 0"),
        ("models/models_info.json", '{"2": {"diameter": 5}}', "obj_000002.ply: no such mesh"),
        ("models/models_info.json", '{"cube": {}}', "the key 'cube'"),
        ("test/000003/scene_camera.json", None, "expected the cameras of scene 3"),
        ("test/000003/scene_camera.json", '{"0": {"cam_K": [1, 2', "damaged, not JSON"),
        ("test/000003/scene_camera.json", '{"0": {"cam_K": [1, 2]}}', "cam_K: expected 9 finite numbers, got [1, 2]"),
        ("test/000003/scene_camera.json", '{"0": {"cam_model": {}}}', "only pinhole cameras"),
        ("test/000003/scene_gt.json", '{"0": []}', "scene_gt_info.json: 0: expected 0 entries"),
        ("test/000003/scene_gt.json", "[]", "scene_gt.json: expected the poses of scene 3"),
        ("test/000003/scene_gt_info.json", '{"0": [{}, {}], "7": [{}]}', "visib_fract: expected 1 finite number"),
        ("test_targets_bop19.json", '[{"scene_id": 3}]', "im_id: expected a whole number, got None"),
        (
            "test_targets_bop19.json",
            '[{"scene_id": 3, "im_id": 5, "obj_id": 1, "inst_count": 1}]',
            "asks for image 5 of scene 3, which has no entry in scene_camera.json",
        ),
    ],
)
def test_what_is_missing_or_damaged_is_named(folder: Path, file: str, text: str | None, words: str) -> None:
    damage(folder, file, text)
    with pytest.raises(InputError) as caught:
        read_bop(folder)
    assert words in str(caught.value)
    assert Path(file).name in str(caught.value) or "obj_000002" in str(caught.value)


def test_a_rotation_that_is_none_is_refused(folder: Path) -> None:
    path = folder / "test" / "000003" / "scene_gt.json"
    path.write_text(path.read_text().replace("-1.0", "-1.2", 1))
    with pytest.raises(InputError, match=r"0\[0\]: cam_R_m2c: not a rotation"):
        read_bop(folder)


def test_a_wrong_split_names_those_that_are_there(written: Path) -> None:
    with pytest.raises(InputError, match=r"no split 'val'; folders here: models, models_eval, test"):
        read_bop(written, split="val")
    with pytest.raises(InputError, match=r"no such folder; expected a BOP dataset"):
        read_bop(written / "nowhere")


def test_a_missing_picture_and_damaged_depth_are_said(folder: Path) -> None:
    scene = folder / "test" / "000003"
    (scene / "rgb" / "000007.png").unlink()
    (scene / "depth" / "000000.png").write_bytes(b"no picture")
    dataset = read_bop(folder)
    with pytest.raises(InputError, match="no picture 000007 in rgb/ or gray/"):
        dataset.frame(dataset.images[3, 7])
    with pytest.raises(InputError, match="not a readable depth picture"):
        dataset.frame(dataset.images[3, 0])
    with pytest.raises(InputError, match="cannot be read"):
        read_depth(scene / "depth" / "000099.png", unit_m=0.001)


def test_the_fingerprint_follows_annotations_and_meshes(folder: Path) -> None:
    def fingerprint() -> str:
        dataset: BopDataset = read_bop(folder)
        return dataset.fingerprint()

    before = fingerprint()
    assert fingerprint() == before
    mesh = folder / "models" / "obj_000001.ply"
    mesh.write_text(mesh.read_text().replace("50.0 50.0 50.0", "50.0 50.0 51.0"))
    changed = fingerprint()
    assert changed != before
    path = folder / "test" / "000003" / "scene_gt.json"
    path.write_text(path.read_text().replace("800.0", "801.0", 1))
    assert fingerprint() not in (before, changed)


def test_textured_models_keep_shape_and_colours(tmp_path: Path) -> None:
    description = ObjectDescription(
        "tea", Path(__file__).parents[2] / "models" / "objects" / "demo" / "tea_box" / "tea_box.obj"
    )
    model = load_described(description)
    write_models(tmp_path, {2: model}, {2: description})
    split = tmp_path / "test" / "000001"
    split.mkdir(parents=True)
    write(split / "scene_camera.json", {})
    again, bare = read_bop(tmp_path).models[2], read_bop(tmp_path).evaluation_models[2]
    assert torch.allclose(bare.mesh.vertices, model.mesh.vertices, atol=1e-7)
    assert torch.equal(bare.mesh.faces, model.mesh.faces)
    corners = [m.mesh.vertices[m.mesh.faces] for m in (model, again)]
    assert torch.allclose(*corners, atol=1e-7)
    assert again.mesh.corner_uvs is not None
    assert torch.allclose(again.mesh.corner_uvs, model.mesh.corner_uvs, atol=1e-6)
    assert torch.equal(again.mesh.texture, model.mesh.texture)
