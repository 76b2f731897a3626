"""The refiner node on a real ROS graph, with the fake engine in place of the network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnpose_ros.ros.debug_pictures import ENCODINGS
from rnnpose_ros.ros.reasons import Reason

from .conftest import Graph, poses_message

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333


def _send_pose_and_track(graph: Graph, stamp_ns: int) -> Any:
    graph.send_pose(stamp_ns)
    message = graph.round_trip(stamp_ns)
    assert len(message.detections) == 1
    return message


def test_stamps_are_the_images_bit_for_bit_and_the_parent_is_its_frame(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    stamps = [T0 + i * STEP for i in range(8)]
    for stamp in stamps:
        graph.round_trip(stamp)
    graph.wait_for(lambda: len(graph.transforms) >= len(stamps), "all transforms")
    sent = [t for m in graph.transforms for t in m.transforms]
    assert [t.header.stamp.sec * 10**9 + t.header.stamp.nanosec for t in sent] == stamps
    assert {(t.header.frame_id, t.child_frame_id) for t in sent} == {("camera", "rnnpose/cube_0")}


def test_transform_and_detection_agree_to_a_millionth(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    detection = _send_pose_and_track(graph, T0).detections[0]
    graph.wait_for(lambda: graph.transforms_at(T0), "the transform")
    transform = graph.transforms_at(T0)[0].transform
    pose = detection.results[0].pose.pose
    for axis in "xyz":
        assert abs(getattr(transform.translation, axis) - getattr(pose.position, axis)) < 1e-6
    for axis in "xyzw":
        assert abs(getattr(transform.rotation, axis) - getattr(pose.orientation, axis)) < 1e-6
    assert math.isclose(sum(getattr(transform.rotation, a) ** 2 for a in "xyzw"), 1.0, abs_tol=1e-9)


def test_a_detection_says_class_name_score_covariance_and_box(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    detection = _send_pose_and_track(graph, T0).detections[0]
    best = detection.results[0]
    assert (best.hypothesis.class_id, detection.id) == ("cube", "cube_0")
    assert best.hypothesis.score == pytest.approx(0.9)
    assert best.pose.covariance[0] == pytest.approx(1e-6)
    size = detection.bbox.size
    assert (size.x, size.y, size.z) == pytest.approx((0.1, 0.1, 0.1), abs=1e-6)
    assert detection.bbox.center.position.z == pytest.approx(0.5)


def test_without_a_pose_every_image_gets_an_empty_array_and_no_transform(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    for i in range(3):
        assert graph.round_trip(T0 + i * STEP).detections == []
    assert graph.transforms == []


def test_nothing_is_published_for_a_lost_object_until_a_new_pose_comes(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.parameter import Parameter

    refiner = graph.start_refiner(cube_mesh, tracking__max_lost_time=0.1)
    _send_pose_and_track(graph, T0)
    refiner.set_parameters([Parameter("fake.mode", value="nan")])
    for i in range(1, 6):
        assert graph.round_trip(T0 + i * STEP).detections == []
    refiner.set_parameters([Parameter("fake.mode", value="exact")])
    assert graph.round_trip(T0 + 6 * STEP).detections == [], "the track is gone, nothing may bring it back by itself"
    again = T0 + 7 * STEP
    _send_pose_and_track(graph, again)
    graph.wait_for(lambda: graph.transforms_at(again), "the transform of the recovered object")
    stamps = [t.header.stamp for m in graph.transforms for t in m.transforms]
    assert [s.sec * 10**9 + s.nanosec for s in stamps] == [T0, again]


BAD_IMAGES = {
    "BAD_ENCODING": {"encoding": "nv99"},
    "BAD_INFO": {"focal": 0.0},
    "BAD_HEADER": {"frame_id": ""},
}


@pytest.mark.parametrize("reason", BAD_IMAGES)
def test_a_bad_image_is_counted_and_the_next_good_one_comes_out(graph: Graph, cube_mesh: Path, reason: str) -> None:
    from rnnpose_ros.ros.reasons import Reason

    refiner = graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    graph.send(T0, **BAD_IMAGES[reason])
    graph.wait_for(lambda: refiner.counts.get(Reason(reason)) == 1, f"{reason} to be counted")
    assert len(graph.round_trip(T0 + STEP).detections) == 1
    assert not graph.detections_at(T0)


def test_an_image_of_another_size_than_its_info_is_refused(graph: Graph, cube_mesh: Path) -> None:
    from rnnpose_ros.ros.reasons import Reason

    refiner = graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    graph.send(T0, size=(32, 24))
    graph.wait_for(lambda: refiner.counts.get(Reason.BAD_INFO) == 1, "the mismatch to be counted")
    assert len(graph.round_trip(T0 + STEP).detections) == 1


def test_an_image_with_stamp_0_is_refused(graph: Graph, cube_mesh: Path) -> None:
    from rnnpose_ros.ros.reasons import Reason

    refiner = graph.start_refiner(cube_mesh)
    graph.send(0)
    graph.wait_for(lambda: refiner.counts.get(Reason.BAD_HEADER) == 1, "stamp 0 to be counted")
    assert graph.round_trip(T0).detections == []


BAD_POSES = [
    ("POSE_INVALID", {"position": (math.nan, 0.0, 0.5)}),
    ("POSE_INVALID", {"quaternion": (0.0, 0.0, 0.0, 0.0)}),
    ("POSE_INVALID", {"position": (0.0, 0.0, -0.5)}),
    ("POSE_INVALID", {"label": ""}),
    ("NO_MESH", {"label": "teapot"}),
    ("TF_UNAVAILABLE", {"frame_id": "base_link"}),
]


@pytest.mark.parametrize(("reason", "changes"), BAD_POSES)
def test_a_bad_pose_is_counted_and_the_next_good_one_is_used(
    graph: Graph, cube_mesh: Path, reason: str, changes: dict[str, Any]
) -> None:
    from rnnpose_ros.ros.reasons import Reason

    refiner = graph.start_refiner(cube_mesh)
    graph.send_pose(T0, **changes)
    assert graph.round_trip(T0).detections == []
    assert refiner.counts.get(Reason(reason)) == 1
    _send_pose_and_track(graph, T0 + STEP)


def test_a_bad_pose_does_not_take_the_good_one_beside_it_along(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    both = poses_message(T0)
    both.detections += poses_message(T0, position=(math.nan, 0.0, 0.5)).detections
    graph.deliver(both)
    assert len(graph.round_trip(T0).detections) == 1


def test_a_pose_from_long_ago_is_stale(graph: Graph, cube_mesh: Path) -> None:
    from rnnpose_ros.ros.reasons import Reason

    refiner = graph.start_refiner(cube_mesh)
    graph.send_pose(T0 - 3 * 10**9)
    assert graph.round_trip(T0).detections == []
    assert refiner.counts[Reason.POSE_STALE] == 1


def test_pictures_that_are_too_old_are_dropped_and_counted(graph: Graph, cube_mesh: Path) -> None:
    refiner = graph.start_refiner(cube_mesh, max_latency=10.0)
    now_ns = graph.node.get_clock().now().nanoseconds
    for i in range(3):
        graph.send(now_ns - 3600 * 10**9 + i * STEP)
        graph.wait_for(lambda i=i: refiner.counts.get(Reason.LATE, 0) == i + 1, "the old picture to be counted")
    graph.send_pose(now_ns)
    assert len(graph.round_trip(graph.node.get_clock().now().nanoseconds).detections) == 1
    assert refiner.counts[Reason.LATE] == 3
    assert len(graph.detections) == 1


def test_every_pair_is_taken_or_counted_as_dropped(graph: Graph, cube_mesh: Path) -> None:
    refiner = graph.start_refiner(cube_mesh, fake__mode="slow", fake__delay=0.4)
    graph.send_pose(T0)
    number = 20
    for i in range(number):
        graph.send(T0 + i * STEP)
        graph.wait_for(lambda i=i: refiner.mailbox_counts.offered == i + 1, f"image {i} to reach the mailbox")
    last = T0 + (number - 1) * STEP
    graph.wait_for(lambda: graph.detections_at(last), "the newest image's detections")
    counts = refiner.mailbox_counts
    assert counts.offered == number
    assert counts.taken + counts.dropped == number
    assert counts.dropped > 0
    assert len(graph.detections) == counts.taken


def test_a_recording_that_starts_again_is_followed_again(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    stamps = [T0 + i * STEP for i in range(40)]
    for loop in range(2):
        graph.send_pose(stamps[0])
        for stamp in stamps:
            graph.send(stamp)
            graph.wait_for(
                lambda stamp=stamp, loop=loop: len(graph.detections_at(stamp)) == loop + 1, f"loop {loop}, {stamp}"
            )
    assert all(len(m.detections) == 1 for m in graph.detections)


def test_a_best_effort_camera_is_heard(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image

    lossy = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    graph.images = graph.node.create_publisher(Image, "image", lossy)
    graph.infos = graph.node.create_publisher(CameraInfo, "camera_info", lossy)
    graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    assert len(graph.round_trip(T0).detections) == 1


def test_a14_score_images_and_the_others_have_the_images_header_and_size(graph: Graph, cube_mesh: Path) -> None:
    from sensor_msgs.msg import Image

    from rnnpose_ros.ros.images import rgb_from_message

    kinds = dict(ENCODINGS)
    heard = {kind: graph.listen(Image, f"/rnnpose/debug/{kind}") for kind in kinds}
    graph.start_refiner(cube_mesh)
    graph.wait_for(lambda: all(graph.node.count_publishers(f"/rnnpose/debug/{kind}") for kind in kinds), "the topics")
    _send_pose_and_track(graph, T0)
    graph.wait_for(lambda: all(heard.values()), "all debug images", timeout_s=60.0)
    for kind, encoding in kinds.items():
        message = heard[kind][0]
        assert (message.header.stamp.nanosec, message.header.frame_id) == (T0 % 10**9, "camera")
        assert (message.height, message.width, message.encoding) == (48, 64, encoding)
    assert [kinds[kind] for kind in ("overlay", "similarity", "similarity_color")] == ["rgb8", "32FC1", "rgb8"]
    outlines, drawn = (rgb_from_message(heard[kind][0]) for kind in ("overlay", "render"))
    assert np.unique(outlines.reshape(-1, 3), axis=0).shape[0] > 1, "an outline is drawn on the grey picture"
    assert 0.02 < (drawn > 0).any(-1).mean() < 0.5, "the cube is drawn, and nothing around it"


def test_a_change_outside_its_range_is_refused_with_name_and_range(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.parameter import Parameter

    refiner = graph.start_refiner(cube_mesh)
    answer = refiner.set_parameters([Parameter("tracking.recover_score", value=0.1)])[0]
    assert not answer.successful
    assert "tracking.lost_score" in answer.reason
    answer = refiner.set_parameters([Parameter("engine", value="eager")])[0]
    assert not answer.successful
    assert refiner.get_parameter("tracking.recover_score").value == pytest.approx(0.55)


def test_a_change_takes_effect_with_the_next_image(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.parameter import Parameter

    refiner = graph.start_refiner(cube_mesh)
    _send_pose_and_track(graph, T0)
    assert refiner.set_parameters([Parameter("publish.tf", value=False)])[0].successful
    graph.round_trip(T0 + STEP)
    assert not graph.transforms_at(T0 + STEP)


def test_unknown_parameters_are_refused_all_at_once(graph: Graph, cube_mesh: Path) -> None:
    from rnnpose_ros.errors import ConfigError

    with pytest.raises(ConfigError, match=r"did you mean 'refine\.cycles'.*debug\.max_rate: expected 0\.01 to 100"):
        graph.start_refiner(cube_mesh, refine__cylces=3, debug__max_rate=1e4)
