"""``rnnpose bag`` from recording to recording, table, summary and page, without ROS."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from rnnpose_ros.cli.main import main
from rnnpose_ros.config import build
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.perturbation import perturb
from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix
from rnnpose_ros.geometry.se3 import exp_so3
from rnnpose_ros.ros.bags.bag_file import BagWriter
from rnnpose_ros.ros.images import float_from_message, rgb_from_message
from rnnpose_ros.ros.messages import (
    camera_info_message,
    matrix_from_pose,
    matrix_from_transform,
    pose_message,
    stamp_ns,
)
from rnnpose_ros.sources.sequence import read_sequence

from .recordings import STEP, T0, Recorder, pose_at, read_all, spoil, write_cube_recording


def bag(recording: Path, out: Path, mesh: Path | str, *more: str, engine: str = "fake") -> int:
    """The verb in this process; returns its exit code."""
    arguments = ["bag", str(recording), "--out", str(out), "--objects", str(mesh), "--set", f"engine={engine}"]
    return main([*arguments, "--device", "cpu", *more])


def reasons(out: Path) -> dict[str, int]:
    return json.loads((out / "summary.json").read_text())["reasons"]


@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_every_picture_gets_its_pose_under_its_own_stamp(tmp_path: Path, cube_mesh: Path, storage: str) -> None:
    recording = write_cube_recording(tmp_path / "in", storage=storage)
    assert bag(recording, tmp_path / "out", cube_mesh, "--storage", storage) == 0
    assert list((tmp_path / "out" / "poses").glob(f"*.{storage}"))
    found = read_all(tmp_path / "out" / "poses")
    stamps = [T0 + i * STEP for i in range(5)]
    assert [stamp_ns(t.header.stamp) for m in found["/tf"] for t in m.transforms] == stamps
    assert [stamp_ns(m.header.stamp) for m in found["/rnnpose/detections"]] == stamps
    for message, array in zip(found["/tf"], found["/rnnpose/detections"], strict=True):
        (transform,), (detection,) = message.transforms, array.detections
        assert (transform.header.frame_id, transform.child_frame_id) == ("camera", "rnnpose/cube_0")
        assert torch.equal(matrix_from_transform(transform), pose_at(0.01))
        assert torch.equal(matrix_from_pose(detection.results[0].pose.pose), pose_at(0.01))
        assert detection.results[0].pose.covariance[0] == pytest.approx(1e-6)


def test_table_summary_and_page_say_what_came_out(tmp_path: Path, cube_mesh: Path, capsys: Any) -> None:
    bag(write_cube_recording(tmp_path / "in"), tmp_path / "out", cube_mesh)
    with (tmp_path / "out" / "poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["stamp_ns"]) for row in rows] == [T0 + i * STEP for i in range(5)]
    assert {(row["frame_id"], row["label"], float(row["x"]), float(row["z"])) for row in rows} == {
        ("camera", "cube", 0.01, 0.5)
    }
    assert float(rows[0]["std_mm"]) == pytest.approx(1000 * (3e-6) ** 0.5, abs=1e-4)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["pictures"], summary["pictures_with_poses"], summary["poses"]) == (5, 5, 5)
    assert summary["recording_s"] == pytest.approx(4 * STEP * 1e-9, abs=1e-6)
    assert summary["objects"]["cube_0"]["poses"] == 5
    page = (tmp_path / "out" / "report.html").read_text()
    assert "5 poses in 5 of 5 pictures" in page
    assert "data:image/jpeg" in page
    said = capsys.readouterr()
    assert "pictures: /camera/image_raw (5 x sensor_msgs/Image)" in said.err
    assert "5 poses in 5 of 5 pictures" in said.out


def test_debug_pictures_are_written_when_asked_for(tmp_path: Path, cube_mesh: Path) -> None:
    bag(write_cube_recording(tmp_path / "in"), tmp_path / "out", cube_mesh, "--debug-images")
    found = read_all(tmp_path / "out" / "poses")
    (overlay,), (similarity,) = found["/rnnpose/debug/overlay"], found["/rnnpose/debug/similarity"]
    assert stamp_ns(overlay.header.stamp) == stamp_ns(similarity.header.stamp) == T0
    assert rgb_from_message(overlay).shape == (48, 64, 3)
    assert np.unique(rgb_from_message(overlay).reshape(-1, 3), axis=0).shape[0] > 1, "an outline on the grey picture"
    assert float_from_message(similarity).shape == (48, 64)


def test_what_cannot_be_used_is_counted_by_the_nodes_reasons(tmp_path: Path, cube_mesh: Path) -> None:
    with BagWriter(tmp_path / "in") as writer:
        recorder = Recorder(writer)
        recorder.pose(T0, pose_at(), label="teapot")
        recorder.info(T0)
        recorder.image(T0)
        recorder.pose(T0 + STEP, pose_at(z=-0.5))
        recorder.info(T0 + STEP)
        recorder.image(T0 + STEP, np.zeros((24, 32, 3), np.uint8))
        recorder.pose(T0 + 2 * STEP, pose_at())
        recorder.info(T0 + 2 * STEP)
        recorder.image(T0 + 2 * STEP)
        recorder.image(T0 + 2 * STEP)
        recorder.info(T0 + 2 * STEP)
    assert bag(tmp_path / "in", tmp_path / "out", cube_mesh) == 0
    counted = ("NO_MESH", "NO_INITIAL_POSE", "BAD_INFO", "POSE_INVALID", "OLD")
    assert reasons(tmp_path / "out") == dict.fromkeys(counted, 1)


def test_a_message_that_cannot_be_decoded_is_counted_and_the_next_one_is_used(tmp_path: Path, cube_mesh: Path) -> None:
    recording = write_cube_recording(tmp_path / "in", storage="db3", pictures=3)
    with sqlite3.connect(next(recording.glob("*.db3"))) as database:
        query = "UPDATE messages SET data = x'0001000000' WHERE id = (SELECT MIN(m.id) FROM messages m JOIN topics t"
        database.execute(f"{query} ON m.topic_id = t.id WHERE t.type = 'sensor_msgs/msg/Image')")
    assert bag(recording, tmp_path / "out", cube_mesh) == 0
    assert reasons(tmp_path / "out")["BAD_ENCODING"] == 1
    assert len(read_all(tmp_path / "out" / "poses")["/rnnpose/detections"]) == 2


def test_what_came_before_the_damage_is_written_and_the_damage_is_said(
    tmp_path: Path, cube_mesh: Path, capsys: Any
) -> None:
    with BagWriter(tmp_path / "in") as writer:
        recorder = Recorder(writer, camera=intrinsics(600.0, 600.0, 320.0, 240.0, width=640, height=480))
        recorder.pose(T0, pose_at())
        for i in range(6):
            recorder.info(T0 + i * STEP)
            recorder.image(T0 + i * STEP, np.zeros((480, 640, 3), np.uint8))
    spoil(tmp_path / "in" / "in.mcap", at=0.6)
    assert bag(tmp_path / "in", tmp_path / "out", cube_mesh) == 2
    assert "damaged" in capsys.readouterr().err
    written = len(read_all(tmp_path / "out" / "poses")["/tf"])
    assert 0 < written < 6
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["poses"] == written


def test_no_pose_at_all_is_exit_code_1_with_the_reason(tmp_path: Path, cube_mesh: Path, capsys: Any) -> None:
    recording = write_cube_recording(tmp_path / "in")
    assert bag(recording, tmp_path / "out", cube_mesh, "--set", "fake.mode=nan") == 1
    assert "SOLVER_FAILED" in capsys.readouterr().out
    assert "/tf" not in read_all(tmp_path / "out" / "poses")


def test_infos_under_other_stamps_are_said_with_what_to_do(tmp_path: Path, cube_mesh: Path, caplog: Any) -> None:
    with BagWriter(tmp_path / "in") as writer:
        recorder = Recorder(writer)
        recorder.pose(T0, pose_at())
        for i in range(20):
            recorder.info(T0 + i * STEP + 1000)
            recorder.image(T0 + i * STEP)
    assert bag(tmp_path / "in", tmp_path / "out", cube_mesh) == 1
    assert "set sync.slop" in caplog.text
    assert bag(tmp_path / "in", tmp_path / "out2", cube_mesh, "--set", "sync.slop=0.001") == 0


def test_a_camera_and_a_pose_from_files_stand_in_for_what_the_recording_lacks(tmp_path: Path, cube_mesh: Path) -> None:
    recording = write_cube_recording(tmp_path / "in", info_topics=(), with_poses=False)
    camera = {"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0, "width": 64, "height": 48}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    (tmp_path / "pose.json").write_text(json.dumps({"label": "cube", "R": np.eye(3).tolist(), "t_m": [0.02, 0, 0.4]}))
    files = ("--camera", str(tmp_path / "camera.json"), "--pose", str(tmp_path / "pose.json"))
    assert bag(recording, tmp_path / "out", cube_mesh, *files) == 0
    transforms = [t for m in read_all(tmp_path / "out" / "poses")["/tf"] for t in m.transforms]
    assert len(transforms) == 5
    assert transforms[0].transform.translation.x == 0.02


def turned_about_z(angle: float, *, x: float = 0.0) -> torch.Tensor:
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = exp_so3(torch.tensor([0.0, 0.0, angle], dtype=torch.float64))
    T[0, 3] = x
    return T


def test_a_pose_in_another_frame_goes_over_moving_frames_that_were_recorded_after_the_picture(
    tmp_path: Path, cube_mesh: Path
) -> None:
    T_base_mount, T_mount_camera = turned_about_z(0.0, x=0.3), turned_about_z(0.4, x=0.1)
    T_base_object = T_base_mount @ T_mount_camera @ pose_at(0.02)
    with BagWriter(tmp_path / "in") as writer:
        recorder = Recorder(writer)
        recorder.transform(T0 + 10 * STEP, "mount", "camera", T_mount_camera, static=True)
        recorder.transform(T0 - STEP, "base", "mount", torch.eye(4, dtype=torch.float64))
        recorder.frame_id = "base"
        recorder.pose(T0, T_base_object)
        recorder.frame_id = "camera"
        recorder.info(T0)
        recorder.image(T0)
        recorder.transform(T0, "base", "mount", T_base_mount, delay_ns=50_000_000)
    assert bag(tmp_path / "in", tmp_path / "out", cube_mesh) == 0
    ((transform,),) = [m.transforms for m in read_all(tmp_path / "out" / "poses")["/tf"]]
    assert torch.allclose(matrix_from_transform(transform), pose_at(0.02), atol=1e-9)
    assert bag(tmp_path / "in", tmp_path / "out2", cube_mesh, "--set", "tf.timeout=0.0") == 1
    assert reasons(tmp_path / "out2")["TF_UNAVAILABLE"] == 1


def test_poses_of_other_types_are_read_when_named_and_frames_of_tf_when_set(tmp_path: Path, cube_mesh: Path) -> None:
    with BagWriter(tmp_path / "in") as writer:
        recorder = Recorder(writer)
        pose = writer.make("geometry_msgs/PoseStamped", header=recorder.header(T0))
        pose.pose = pose_message(pose_at(0.03), make=writer.make)
        recorder.put("/goal_pose", "geometry_msgs/PoseStamped", pose, T0)
        recorder.transform(T0, "camera", "tag_7", pose_at(0.04))
        recorder.info(T0)
        recorder.image(T0)
    assert bag(tmp_path / "in", tmp_path / "no", cube_mesh) == 2
    for name, more, x in (
        ("named", ("--poses", "/goal_pose"), 0.03),
        ("tf", ("--set", "initial_pose.tf_frames=cube=tag_7"), 0.04),
    ):
        assert bag(tmp_path / "in", tmp_path / name, cube_mesh, *more) == 0
        ((transform,),) = [m.transforms for m in read_all(tmp_path / name / "poses")["/tf"]]
        assert transform.transform.translation.x == x


def test_compressed_pictures_are_read(tmp_path: Path, cube_mesh: Path) -> None:
    with BagWriter(tmp_path / "in") as writer:
        recorder = Recorder(writer)
        recorder.pose(T0, pose_at())
        recorder.info(T0)
        image = writer.make("sensor_msgs/CompressedImage", header=recorder.header(T0), format="jpeg")
        image.data = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].ravel()
        recorder.put("/camera/image_raw/compressed", "sensor_msgs/CompressedImage", image, T0)
    assert bag(tmp_path / "in", tmp_path / "out", cube_mesh) == 0


def test_a_part_and_every_other_picture_of_a_recording_is_taken(tmp_path: Path, cube_mesh: Path) -> None:
    recording = write_cube_recording(tmp_path / "in", pictures=10, with_poses=False)
    (tmp_path / "pose.json").write_text(json.dumps({"label": "cube", "R": np.eye(3).tolist(), "t_m": [0, 0, 0.4]}))
    part = ("--start", str(1.5 * STEP * 1e-9), "--duration", str(5.0 * STEP * 1e-9), "--every", "2")
    assert bag(recording, tmp_path / "out", cube_mesh, "--pose", str(tmp_path / "pose.json"), *part) == 0
    stamps = [stamp_ns(m.header.stamp) for m in read_all(tmp_path / "out" / "poses")["/rnnpose/detections"]]
    assert stamps == [T0 + i * STEP for i in (2, 4, 6)]


def test_an_earlier_result_is_not_written_over_without_a_word(tmp_path: Path, cube_mesh: Path, capsys: Any) -> None:
    recording = write_cube_recording(tmp_path / "in", pictures=1)
    assert bag(recording, tmp_path / "out", cube_mesh) == 0
    assert bag(recording, tmp_path / "out", cube_mesh) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert bag(recording, tmp_path / "out", cube_mesh, "--overwrite") == 0


def test_a_parameter_file_of_the_node_is_obeyed_and_settings_stand_above_it(tmp_path: Path, cube_mesh: Path) -> None:
    recording = write_cube_recording(tmp_path / "in", pictures=2)
    file = tmp_path / "p.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    use_sim_time: true\n    engine: rnnpose\n    tf:\n      frame_prefix: 'seen/'\n"
    )
    assert bag(recording, tmp_path / "out", cube_mesh, "--params-file", str(file)) == 0
    (first, _) = read_all(tmp_path / "out" / "poses")["/tf"]
    assert first.transforms[0].child_frame_id == "seen/cube_0"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--image", "/nothing"), "there is no topic /nothing; there are: /camera/image_raw"),
        (("--set", "refine.cylces=3"), "did you mean 'refine.cycles'?"),
        (("--every", "0"), "--every must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, cube_mesh: Path, capsys: Any, more: tuple[str, ...], said: str
) -> None:
    recording = write_cube_recording(tmp_path / "in", pictures=1)
    assert bag(recording, tmp_path / "out", cube_mesh, *more) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors


def test_the_topics_are_listed(tmp_path: Path, capsys: Any) -> None:
    assert main(["bag", str(write_cube_recording(tmp_path / "in")), "--list"]) == 0
    assert "/camera/image_raw  sensor_msgs/Image" in capsys.readouterr().out


def test_poses_equal_the_librarys_own_to_the_bit(tmp_path: Path) -> None:
    from rnnpose_ros.ros.camera_info import CameraReader
    from rnnpose_ros.ros.loading import load_engines
    from rnnpose_ros.ros.parameters import NodeConfig
    from rnnpose_ros.types import ImageFrame, PoseHypothesis

    settings = {"refine.cycles": "1", "refine.iterations": "1", "refine.crop_size": "128", "device": "cpu"}
    settings |= {"refine.min_score": "0.0", "tracking.recover_score": "0.0", "tracking.lost_score": "0.0"}
    settings |= dict.fromkeys(("tracking.max_translation", "tracking.max_rotation", "tracking.max_uncertainty"), "0.0")
    sequence = read_sequence("package://rnnpose_ros/models/sequences/tea_box")
    generator = torch.Generator().manual_seed(3)
    indices = sorted(sequence.poses)[:2]
    starts = {i: perturb(sequence.poses[i][None], scale=0.3, generator=generator)[0] for i in indices}
    pictures = dict(sequence.frames(indices))
    stamps = {i: T0 + i * STEP for i in indices}
    with BagWriter(tmp_path / "in") as writer:
        recorder = Recorder(writer, camera=sequence.camera)
        for i in indices:
            recorder.pose(stamps[i], starts[i], label="tea_box")
            recorder.info(stamps[i])
            recorder.image(stamps[i], pictures[i].numpy())
        info = camera_info_message(sequence.camera, header=recorder.header(T0), make=writer.make)
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    objects = "package://rnnpose_ros/models/objects"
    # Each picture starts from the recorded pose, as with tracking it would from the last result.
    options += ["--set", "tracking.enabled=false"]
    assert bag(tmp_path / "in", tmp_path / "out", objects, *options, engine="auto") == 0
    transforms = [t for m in read_all(tmp_path / "out" / "poses")["/tf"] for t in m.transforms]
    assert [stamp_ns(t.header.stamp) for t in transforms] == list(stamps.values())

    engine = load_engines(build(NodeConfig, settings)).full
    camera = CameraReader().read(info, image_width=640, image_height=480).intrinsics
    for i, transform in zip(indices, transforms, strict=True):
        # The rough pose went through a quaternion on its way, as every message does.
        detection = read_all(tmp_path / "in")["/detector/detections"][indices.index(i)].detections[0]
        T_start = matrix_from_pose(detection.results[0].pose.pose)
        frame = ImageFrame(rgb=pictures[i], camera=camera)
        (result,) = engine.refine(frame, [PoseHypothesis("tea_box", T_start)], {"tea_box": sequence.object})
        assert not torch.equal(result.T_camera_object, T_start), "the network moves the pose"
        translation = transform.transform.translation
        assert [translation.x, translation.y, translation.z] == result.T_camera_object[:3, 3].tolist()
        rotation = transform.transform.rotation
        expected = quaternion_xyzw_from_matrix(result.T_camera_object[:3, :3])
        assert [rotation.x, rotation.y, rotation.z, rotation.w] == expected.tolist()
