"""Recordings are read and written as they are, in both kinds of file, whole or broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rnnpose_ros.errors import InputError
from rnnpose_ros.ros.bags.bag_file import BagMessageError, BagReader, BagRecord, BagWriter
from rnnpose_ros.ros.bags.bag_messages import BagMessageMaker, message_store
from rnnpose_ros.ros.images import rgb_from_message
from rnnpose_ros.ros.messages import stamp_ns

from .recordings import DELAY, STEP, T0, Recorder, read_all, spoil, write_cube_recording


@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_a_picture_comes_back_to_the_bit_with_its_stamp_and_time_of_recording(tmp_path: Path, storage: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    with BagWriter(tmp_path / "bag", storage=storage) as writer:
        Recorder(writer).image(T0, rgb)
    with BagReader(tmp_path / "bag") as bag:
        (record,) = bag.records(["/camera/image_raw"])
        image = bag.decode(record)
        assert bag.span_ns == (T0 + DELAY, T0 + DELAY)
    assert (record.received_ns, stamp_ns(image.header.stamp), image.header.frame_id) == (T0 + DELAY, T0, "camera")
    assert np.array_equal(rgb_from_message(image), rgb)


@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_a_part_of_a_recording_is_read_in_the_order_of_recording(tmp_path: Path, storage: str) -> None:
    folder = write_cube_recording(tmp_path / "bag", storage=storage, pictures=6)
    with BagReader(folder) as bag:
        assert {name: (t.kind, t.count) for name, t in bag.topics.items()} == {
            "/camera/image_raw": ("sensor_msgs/Image", 6),
            "/camera/camera_info": ("sensor_msgs/CameraInfo", 6),
            "/detector/detections": ("vision_msgs/Detection3DArray", 1),
        }
        names = ["/camera/image_raw", "/camera/camera_info"]
        times = [r.received_ns for r in bag.records(names, start_ns=T0 + DELAY + STEP, stop_ns=T0 + DELAY + 3 * STEP)]
    assert times == [T0 + DELAY + i * STEP for i in (1, 1, 2, 2)]


@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_a_folder_whose_metadata_was_never_written_and_a_bare_file_are_read(tmp_path: Path, storage: str) -> None:
    folder = write_cube_recording(tmp_path / "bag", storage=storage)
    (folder / "metadata.yaml").unlink()
    (file,) = folder.iterdir()
    for path in (folder, file):
        with BagReader(path) as bag:
            assert len(list(bag.records(["/camera/image_raw"]))) == 5


@pytest.mark.parametrize(("storage", "remedy"), [("mcap", "mcap recover"), ("db3", "recover")])
@pytest.mark.parametrize("has_metadata", [True, False])
def test_a_truncated_recording_is_said_with_what_to_do(
    tmp_path: Path, storage: str, remedy: str, has_metadata: bool
) -> None:
    folder = write_cube_recording(tmp_path / "bag", storage=storage, pictures=20)
    file = next(folder.glob(f"*.{storage}"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    if not has_metadata:
        (folder / "metadata.yaml").unlink()
    with pytest.raises(InputError, match=remedy):
        BagReader(folder)


def test_damage_in_the_middle_stops_reading_there_and_is_said(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for i in range(6):
            Recorder(writer).image(T0 + i * STEP, np.zeros((480, 640, 3), np.uint8))
    spoil(tmp_path / "bag" / "bag.mcap", at=0.6)
    with BagReader(tmp_path / "bag") as bag:
        records = bag.records(["/camera/image_raw"])
        assert next(records).received_ns == T0 + DELAY
        with pytest.raises(InputError, match="damaged, nothing is read behind this point"):
            list(records)


@pytest.mark.parametrize("content", ["nothing", "text"])
def test_what_is_no_recording_is_refused_with_what_is_expected(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x"
    if content == "text":
        path.mkdir()
        (path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"rosbag2 (folder|recording)"):
        BagReader(path)


def test_a_ros_1_recording_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "old.bag"
    path.write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(InputError, match="rosbags-convert"):
        BagReader(path)


def test_bytes_that_do_not_fit_their_type_are_one_messages_fault(tmp_path: Path) -> None:
    folder = write_cube_recording(tmp_path / "bag", pictures=1)
    with BagReader(folder) as bag:
        with pytest.raises(BagMessageError, match="/camera/image_raw"):
            bag.decode(BagRecord("/camera/image_raw", "sensor_msgs/Image", T0, b"\x00\x01\x00\x00\xff\xff"))
        (good,) = bag.records(["/camera/image_raw"])
        assert bag.decode(good).width == 64


def test_results_are_kept_when_the_work_is_broken_off(tmp_path: Path) -> None:
    def break_off() -> None:
        with BagWriter(tmp_path / "bag") as writer:
            Recorder(writer).image(T0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert len(read_all(tmp_path / "bag")["/camera/image_raw"]) == 1


def test_an_existing_folder_is_not_written_over(tmp_path: Path) -> None:
    folder = write_cube_recording(tmp_path / "bag", pictures=1)
    before = shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(InputError, match="exists"):
        BagWriter(folder)
    assert {p.name for p in folder.iterdir()} == {"metadata.yaml", "bag.mcap"}
    assert (folder / "bag.mcap").read_bytes() == (before / "bag.mcap").read_bytes()


def test_types_have_the_hashes_that_every_ros_2_knows() -> None:
    store = message_store()
    assert store.hash_rihs01("vision_msgs/msg/Detection3DArray").startswith("RIHS01_793f5eab")
    assert store.hash_rihs01("tf2_msgs/msg/TFMessage").startswith("RIHS01_e369d0f0")


def test_a_new_message_is_zero_but_for_its_unit_rotation_and_shares_nothing_with_the_next() -> None:
    make = BagMessageMaker()
    first, second = make("geometry_msgs/Pose"), make("geometry_msgs/Pose")
    first.position.x = 1.0
    assert (second.position.x, second.orientation.x, second.orientation.w) == (0.0, 0.0, 1.0)
    with pytest.raises(AttributeError, match="no field 'frame'"):
        make("std_msgs/Header", frame="camera")
