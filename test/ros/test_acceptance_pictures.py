"""Acceptance A4, A5, A6: any camera's pictures, pairing with infos, recordings that start again."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_se3
from rnnpose_ros.ros.loading import Engines
from rnnpose_ros.ros.reasons import Reason

from .conftest import Graph, image_message, info_message, poses_message, transform_message
from .dot_camera import DotEngine, Sensor

T0 = 1_700_000_000_123_456_789
S = 1_000_000_000
STEP = 33_333_333

TRUTH = exp_se3(torch.tensor([0.02, -0.02, 0.5, 0.35, -0.5, 0.15], dtype=torch.float64))
START = TRUTH @ exp_se3(torch.tensor([0.0005, -0.0005, 0.001, 0.01, 0.01, -0.01], dtype=torch.float64))
PLUMB_BOB = {"model": "plumb_bob", "d": (0.15, -0.2, 0.003, -0.002, 0.05)}
RATIONAL = {"model": "rational_polynomial", "d": (0.4, -0.05, 0.001, 0.001, 0.02, 0.2, -0.03, 0.004)}
EQUIDISTANT = {"model": "equidistant", "d": (0.05, -0.02, 0.004, -0.001)}
ROI = {"roi": (120, 60, 400, 340)}
CAMERAS = {
    "clean": {},
    "plumb_bob": PLUMB_BOB,
    "rational_polynomial": RATIONAL,
    "equidistant": EQUIDISTANT,
    "rectified, P holds although D is raw": {**PLUMB_BOB, "rectified": True},
    "region of interest": ROI,
    "region of interest, bent": {**ROI, **RATIONAL},
    "region of interest, rectified": {**ROI, **PLUMB_BOB, "rectified": True},
    "binning 2": {"binning": 2},
    "binning 2, bent": {"binning": 2, **EQUIDISTANT},
    "binning 2 in a region of interest, bent": {"binning": 2, **ROI, **PLUMB_BOB},
    "padded rows": {"padding": 36},
    "padded rows, bent": {"padding": 1, **PLUMB_BOB},
}


def _errors(detection: Any) -> tuple[float, float]:
    """Millimetres and degrees from the truth."""
    from rnnpose_ros.ros.messages import matrix_from_pose

    T = matrix_from_pose(detection.results[0].pose.pose)
    angle = rotation_angle(T[:3, :3].T @ TRUTH[:3, :3])
    return 1000.0 * float((T - TRUTH)[:3, 3].norm()), math.degrees(float(angle))


@pytest.mark.parametrize("case", CAMERAS)
def test_a4_rectification(graph: Graph, cube_mesh: Path, case: str) -> None:
    """Within 1 mm and 0.2 degrees of the truth through any lens; the dots' centres are good to 0.05 px."""
    from rnnpose_ros.ros.messages import pose_message

    sensor = Sensor(**CAMERAS[case])
    refiner = graph.start_refiner(cube_mesh, input_is_rectified="true" if sensor.rectified else "false")
    refiner.pipeline.engines = Engines.of_one(DotEngine())
    start = poses_message(T0)
    start.detections[0].results[0].pose.pose = pose_message(START)
    graph.deliver(start)
    image, info = sensor.messages(TRUTH, start.header)
    graph.images.publish(image)
    graph.infos.publish(info)
    graph.wait_for(lambda: graph.detections, "the answer")
    (detection,) = graph.detections[0].detections
    millimetres, degrees = _errors(detection)
    assert millimetres < 1.0
    assert degrees < 0.2


@pytest.mark.parametrize("codec", ["jpeg", "png"])
def test_a4_rectification_of_compressed_pictures(graph: Graph, cube_mesh: Path, codec: str) -> None:
    import cv2
    from sensor_msgs.msg import CompressedImage

    from rnnpose_ros.ros.messages import pose_message

    graph.images = graph.publisher(CompressedImage, "image/compressed")
    refiner = graph.start_refiner(cube_mesh, image_transport="compressed")
    refiner.pipeline.engines = Engines.of_one(DotEngine())
    start = poses_message(T0)
    start.detections[0].results[0].pose.pose = pose_message(START)
    graph.deliver(start)
    sensor = Sensor(**PLUMB_BOB)
    _, info = sensor.messages(TRUTH, start.header)
    data = cv2.imencode(f".{codec}", sensor.picture(TRUTH))[1].tobytes()
    graph.images.publish(CompressedImage(header=start.header, format=codec, data=data))
    graph.infos.publish(info)
    graph.wait_for(lambda: graph.detections, "the answer")
    millimetres, degrees = _errors(graph.detections[0].detections[0])
    assert millimetres < 1.0
    assert degrees < 0.2


def test_a5_sync_with_infos_that_come_late(graph: Graph, cube_mesh: Path) -> None:
    refiner = graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    for i in range(10):
        stamp = T0 + i * STEP
        graph.images.publish(image_message(stamp))
        graph.wait_for(lambda i=i: refiner.pipeline.pairing.counts.images == i + 1, "the image to wait")
        assert not graph.detections_at(stamp)
        graph.infos.publish(info_message(stamp))
        graph.wait_for(lambda stamp=stamp: graph.detections_at(stamp), "the answer")
    assert len(graph.detections) == 10


def test_a5_sync_with_an_info_sent_once(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh, sync__camera_info_mode="latest")
    graph.send_pose(T0)
    graph.round_trip(T0)
    for i in range(1, 6):
        graph.images.publish(image_message(T0 + i * STEP))
        graph.wait_for(lambda i=i: graph.detections_at(T0 + i * STEP), "the answer")


def test_a5_sync_with_infos_lost_five_times(graph: Graph, cube_mesh: Path) -> None:
    """The others go on; the images without one are counted, with the measured distance to the nearest."""
    from diagnostic_msgs.msg import DiagnosticArray

    accounts = graph.listen(DiagnosticArray, "/diagnostics")
    graph.start_refiner(cube_mesh, sync__queue=1)
    graph.send_pose(T0)
    stamps = [T0 + i * STEP for i in range(20)]
    lost = set(stamps[5:10])
    for stamp in stamps:
        graph.images.publish(image_message(stamp))
        if stamp not in lost:
            graph.infos.publish(info_message(stamp + (7_000_000 if stamp == stamps[12] else 0)))
            if stamp != stamps[12]:
                graph.wait_for(lambda stamp=stamp: graph.detections_at(stamp), "the answer")
    assert {m.header.stamp.sec * S + m.header.stamp.nanosec for m in graph.detections} == set(stamps) - lost - {
        stamps[12]
    }
    values = lambda: {v.key: v.value for m in accounts for s in m.status for v in s.values}  # noqa: E731
    graph.wait_for(lambda: values().get("unpaired") == "6", "the account of it")
    assert float(values()["nearest_offset_s"]) <= 0.034


def test_a5_sync_with_shuffled_stamps(graph: Graph, cube_mesh: Path) -> None:
    """Nothing is paired wrongly: each info says in its focal length which image it belongs to."""
    refiner = graph.start_refiner(cube_mesh)
    seen: list[tuple[int, float]] = []
    refine = refiner.pipeline.engines.full.refine

    def watch(frame: Any, *args: Any, **options: Any) -> Any:
        seen.append((frame.stamp_ns, float(frame.camera.K[0, 0, 0])))
        return refine(frame, *args, **options)

    refiner.pipeline.engines.full.refine = watch
    graph.send_pose(T0)
    rng = random.Random(5)
    for block in range(8):
        numbers = range(4 * block, 4 * block + 4)
        parts = [("image", i) for i in numbers] + [("info", i) for i in numbers]
        rng.shuffle(parts)
        for kind, i in parts:
            stamp = T0 + i * STEP
            if kind == "image":
                graph.images.publish(image_message(stamp))
            else:
                graph.infos.publish(info_message(stamp, focal=60.0 + i))
        offered = 4 * (block + 1)
        graph.wait_for(lambda offered=offered: refiner.mailbox_counts.offered == offered, "every pair")
    graph.wait_for(lambda: refiner.mailbox_counts.taken + refiner.mailbox_counts.dropped == 32, "the worker")
    assert seen
    assert all(focal == 60.0 + round((stamp - T0) / STEP) for stamp, focal in seen)


def test_a6_bag_loop(graph: Graph, cube_mesh: Path) -> None:
    """Twenty seconds in simulated time, twice: poses in odom, over a history of TF that starts again as well."""
    from rosgraph_msgs.msg import Clock
    from tf2_msgs.msg import TFMessage

    clock, tf = graph.publisher(Clock, "/clock"), graph.publisher(TFMessage, "/tf")
    refiner = graph.start_refiner(cube_mesh, use_sim_time=True, tf__timeout=2.0, tf__fixed_frame="odom")
    graph.wait_for(lambda: tf.get_subscription_count() >= 2, "the refiner to listen to /tf")
    stamps = [T0 + i * S // 2 for i in range(40)]
    answered: list[int] = []
    for loop in range(2):
        graph.detections.clear()
        for i, stamp in enumerate(stamps):
            now = Clock()
            fill_header_stamp(now.clock, stamp)
            clock.publish(now)
            tf.publish(transform_message(stamp, parent="odom", child="camera", position=(0.01 * i, 0.0, 0.0)))
            if i % 10 == 0:
                graph.send_pose(stamp, frame_id="odom", position=(0.01 * i + 0.01, 0.0, 0.5))
            graph.send(stamp)
            graph.wait_for(lambda stamp=stamp: graph.detections_at(stamp), f"loop {loop}, {stamp}")
        answered.append(sum(bool(m.detections) for m in graph.detections))
    assert answered[0] >= 39
    assert answered[1] >= 0.95 * answered[0]
    assert refiner.counts.get(Reason.OLD, 0) == 0
    ids = {d.id for m in graph.detections for d in m.detections}
    assert ids == {"cube_0"}, "the tracks of the first loop were forgotten"


def fill_header_stamp(stamp: Any, ns: int) -> None:
    stamp.sec, stamp.nanosec = divmod(ns, S)


def test_a6_bag_loop_leaves_nothing_of_the_first_loop(graph: Graph, cube_mesh: Path) -> None:
    """After the jump an object is unknown until a pose comes."""
    graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    for i in range(3):
        assert len(graph.round_trip(T0 + i * S).detections) == 1
    assert graph.round_trip(T0 - S).detections == []
