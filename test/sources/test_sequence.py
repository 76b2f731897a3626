"""Reading recorded sequences, good and bad."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh

from rnnpose_ros.errors import AssetError, InputError, RnnposeError
from rnnpose_ros.sources.image_files import read_image, write_image
from rnnpose_ros.sources.sequence import read_camera, read_sequence

CAMERA = {"fx": 60.0, "fy": 61.0, "cx": 31.5, "cy": 23.5, "width": 64, "height": 48}
POSE = {"R": np.eye(3).tolist(), "t_m": [0.0, 0.0, 0.5]}


def picture(index: int) -> np.ndarray:
    """A flat picture whose colour is its index."""
    return np.full((48, 64, 3), (10 * index, 200 - 10 * index, 50), np.uint8)


def make(folder: Path, *, poses: dict | None = None, camera: dict | None = None, count: int = 4) -> Path:
    """A sequence of numbered pictures."""
    (folder / "frames").mkdir(parents=True)
    (folder / "camera.json").write_text(json.dumps(camera or CAMERA))
    content = poses or {"fps": 15, "object": "box", "frames": {"0": POSE, "2": POSE}}
    (folder / "poses.json").write_text(json.dumps(content))
    trimesh.creation.box(extents=(0.1, 0.1, 0.1)).export(folder / "mesh.ply")
    for i in range(count):
        write_image(folder / "frames" / f"{i:04d}.png", picture(i))
    return folder


def write_video(path: Path, count: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (64, 48))
    assert writer.isOpened()
    for i in range(count):
        writer.write(cv2.cvtColor(picture(i), cv2.COLOR_RGB2BGR))
    writer.release()


def test_a_folder_of_pictures_is_a_sequence(tmp_path):
    sequence = read_sequence(make(tmp_path / "s"))
    assert (sequence.fps, sequence.n_frames, sequence.object.label) == (15.0, 4, "box")
    assert list(sequence.poses) == [0, 2]
    assert sequence.poses[0].dtype == torch.float64
    assert sequence.poses[2][:3, 3].tolist() == [0.0, 0.0, 0.5]
    assert sequence.camera.K[0].tolist() == [[60.0, 0.0, 31.5], [0.0, 61.0, 23.5], [0.0, 0.0, 1.0]]


def test_frames_come_in_order_as_rgb(tmp_path):
    sequence = read_sequence(make(tmp_path / "s"))
    frames = dict(sequence.frames())
    assert list(frames) == [0, 1, 2, 3]
    assert all(np.array_equal(frames[i].numpy(), picture(i)) for i in frames)
    assert [index for index, _ in sequence.frames([3, 1])] == [1, 3]


def test_a_video_gives_the_frames_that_are_asked_for(tmp_path):
    folder = make(tmp_path / "s", count=0)
    write_video(folder / "take.mp4", 12)
    (folder / "poses.json").write_text(json.dumps({"frames": {"5": POSE}}))
    sequence = read_sequence(folder)
    assert (sequence.fps, sequence.n_frames, sequence.pictures) == (20.0, 12, ())
    for index, rgb in sequence.frames([5, 9]):
        assert np.abs(rgb.numpy().astype(int) - picture(index)).mean() < 4
    assert torch.equal(sequence.frame(9), dict(sequence.frames())[9])


def test_poses_may_be_keyed_by_picture_name(tmp_path):
    folder = tmp_path / "s"
    make(folder, count=0, poses={"shot.png": [{"object": "sauce", **POSE}]})
    (folder / "frames").rmdir()
    write_image(folder / "shot.png", picture(1))
    write_image(folder / "texture.png", np.zeros((16, 16, 3), np.uint8))
    sequence = read_sequence(folder)
    assert sequence.pictures == (folder / "shot.png",)
    assert list(sequence.poses) == [0]
    assert sequence.object.label == "sauce"


def test_a_texture_beside_the_pictures_is_no_frame(tmp_path):
    folder = make(tmp_path / "s", count=0, poses={"frames": {"0": POSE}})
    (folder / "frames").rmdir()
    write_image(folder / "a.png", picture(1))
    write_image(folder / "texture.png", np.zeros((16, 16, 3), np.uint8))
    assert read_sequence(folder).pictures == (folder / "a.png",)


def test_numbers_in_picture_names_are_the_frames_of_the_poses(tmp_path):
    folder = make(tmp_path / "s", count=0, poses={"frames": {"160": POSE}})
    for number in (0, 160, 260):
        write_image(folder / "frames" / f"{number:04d}.png", picture(1))
    assert list(read_sequence(folder).poses) == [1]


def test_the_object_may_lie_elsewhere(tmp_path):
    folder = make(tmp_path / "s", poses={"object_file": "../objects/object.yaml", "frames": {"0": POSE}})
    (tmp_path / "objects").mkdir()
    (folder / "mesh.ply").rename(tmp_path / "objects" / "tin.ply")
    (tmp_path / "objects" / "object.yaml").write_text("label: tin\nmesh: tin.ply\nmesh_scale: 1.0\n")
    assert read_sequence(folder).object.label == "tin"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("camera.json", "{", "not readable as JSON"),
        ("camera.json", "[1]", "expected a JSON object"),
        ("camera.json", '{"fx": 1}', "missing fy, cx, cy, width, height"),
        ("camera.json", json.dumps({**CAMERA, "fx": 0, "fy": 0}), "focal lengths above 0"),
        ("camera.json", json.dumps({**CAMERA, "fx": "wide"}), "expected a finite number"),
        ("camera.json", json.dumps({**CAMERA, "cx": float("nan")}), "expected a finite number"),
        ("camera.json", json.dumps({**CAMERA, "width": 64.5}), "whole width and height"),
        ("camera.json", json.dumps({**CAMERA, "distortion": [0.1, 0, 0, 0, 0]}), "rectify"),
        ("poses.json", '{"frames": {}}', "no poses"),
        ("poses.json", '{"frames": 3}', "expected an object of poses"),
        ("poses.json", json.dumps({"frames": {"9": POSE}}), "no picture numbered 9"),
        ("poses.json", json.dumps({"frames": {"first": POSE}}), "neither a frame index"),
        ("poses.json", '{"frames": {"0": {"R": 1}}}', 'expected {"R"'),
        ("poses.json", json.dumps({"frames": {"0": {**POSE, "t_m": [0, 1]}}}), '"t_m" with 3'),
        ("poses.json", json.dumps({"frames": {"0": {**POSE, "t_m": [0, 0, float("nan")]}}}), "NaN"),
        ("poses.json", json.dumps({"frames": {"0": {**POSE, "R": np.ones((3, 3)).tolist()}}}), "not a rotation"),
        ("poses.json", json.dumps({"frames": {"0": POSE}, "fps": 0}), "fps"),
        ("poses.json", json.dumps({"frames": {"0": POSE}, "video": "gone.mp4"}), "gone.mp4 is not there"),
        ("mesh.ply", "", "empty"),
    ],
)
def test_a_wrong_file_gets_one_clear_line(tmp_path, file, text, message):
    folder = make(tmp_path / "s")
    (folder / file).write_text(text)
    with pytest.raises(RnnposeError, match=message) as caught:
        read_sequence(folder)
    assert file in str(caught.value) or "gone" in message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["camera.json", "poses.json"])
def test_a_missing_file_is_named(tmp_path, file):
    folder = make(tmp_path / "s")
    (folder / file).unlink()
    with pytest.raises(InputError, match=file):
        read_sequence(folder)


def test_a_missing_or_doubtful_mesh_is_named(tmp_path):
    folder = make(tmp_path / "s")
    trimesh.creation.box().export(folder / "other.stl")
    with pytest.raises(InputError, match="one mesh"):
        read_sequence(folder)
    (folder / "other.stl").unlink()
    (folder / "mesh.ply").unlink()
    with pytest.raises(InputError, match="found none"):
        read_sequence(folder)


def test_a_mesh_in_millimetres_is_questioned_before_anything_is_played(tmp_path):
    folder = make(tmp_path / "s")
    trimesh.creation.box(extents=(100, 100, 100)).export(folder / "mesh.ply")
    with pytest.raises(AssetError, match="set mesh_scale"):
        read_sequence(folder)
    assert read_sequence(folder, mesh_scale=0.001).object.diameter == pytest.approx(0.1 * 3**0.5)


def test_a_folder_without_pictures_and_a_missing_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no video"):
        read_sequence(make(tmp_path / "s", count=0))
    with pytest.raises(InputError, match="no such folder"):
        read_sequence(tmp_path / "nowhere")


def test_a_video_that_is_none_is_refused(tmp_path):
    folder = make(tmp_path / "s")
    (folder / "take.mp4").write_text("no video")
    with pytest.raises(InputError, match="not a video"):
        read_sequence(folder)


def test_a_picture_of_another_size_is_refused_when_it_is_its_turn(tmp_path):
    folder = make(tmp_path / "s")
    write_image(folder / "frames" / "0002.png", np.zeros((24, 32, 3), np.uint8))
    read = []
    with pytest.raises(InputError, match="frame 2 is 32 x 24"):
        read.extend(index for index, _ in read_sequence(folder).frames())
    assert read == [0, 1]


@pytest.mark.parametrize(("content", "message"), [(b"", "not a readable"), (b"text", "not a readable")])
def test_an_image_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "a.png")


def test_an_image_survives_writing_and_reading(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    write_image(tmp_path / "a.png", rgb)
    assert np.array_equal(read_image(tmp_path / "a.png").numpy(), rgb)
    with pytest.raises(InputError, match="cannot be written"):
        write_image(tmp_path / "nowhere" / "a.png", rgb)


def test_a_camera_of_zeros_is_refused(tmp_path):
    (tmp_path / "camera.json").write_text(json.dumps(dict.fromkeys(CAMERA, 0)))
    with pytest.raises(InputError, match="focal lengths above 0"):
        read_camera(tmp_path / "camera.json")
