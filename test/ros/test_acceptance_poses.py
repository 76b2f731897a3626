"""Acceptance A1, A2, A9: frames and stamps of what comes out, poses in other frames, symmetric objects."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix, rotation_angle
from rnnpose_ros.geometry.se3 import exp_se3
from rnnpose_ros.ros.loading import Engines
from rnnpose_ros.types import (
    ImageFrame,
    ObjectModel,
    PoseHypothesis,
    RefinementResult,
    RefinementStatus,
)

from .conftest import Graph, fill_header, poses_message, transform_message

T0 = 1_700_000_000_123_456_789
S = 1_000_000_000
STEP = 33_333_333
KINDS = ["detection3d", "detection2d", "pose", "pose_cov", "pose_array", "tf"]


def _pose(T: Tensor) -> Any:
    from rnnpose_ros.ros.messages import pose_message

    return pose_message(T)


def _message(kind: str, T: Tensor, stamp_ns: int, frame_id: str) -> tuple[Any, str]:
    """A rough pose as a message of a kind, and the topic it belongs on."""
    import geometry_msgs.msg as geometry
    import vision_msgs.msg as vision

    if kind == "tf":
        message = transform_message(stamp_ns, parent=frame_id, child="rough", position=tuple(T[:3, 3].tolist()))
        q = message.transforms[0].transform.rotation
        q.x, q.y, q.z, q.w = quaternion_xyzw_from_matrix(T[:3, :3]).tolist()
        return message, "/tf"
    if kind == "detection3d":
        message = poses_message(stamp_ns, frame_id=frame_id)
        message.detections[0].results[0].pose.pose = _pose(T)
        return message, "initial_detections"
    if kind == "detection2d":
        message = vision.Detection2DArray()
        best = vision.ObjectHypothesisWithPose()
        best.hypothesis.class_id, best.hypothesis.score, best.pose.pose = "cube", 0.9, _pose(T)
        message.detections = [vision.Detection2D(results=[best])]
        topic = "initial_detections_2d"
    elif kind == "pose":
        message, topic = geometry.PoseStamped(pose=_pose(T)), "initial_pose"
    elif kind == "pose_cov":
        message, topic = geometry.PoseWithCovarianceStamped(), "initial_pose_with_covariance"
        message.pose.pose = _pose(T)
    else:
        message, topic = geometry.PoseArray(poses=[_pose(T)]), "initial_poses"
    fill_header(message.header, stamp_ns, frame_id)
    return message, topic


def _send_rough(graph: Graph, kind: str, T: Tensor, stamp_ns: int, *, frame_id: str = "camera") -> None:
    message, topic = _message(kind, T, stamp_ns, frame_id)
    publisher = graph.publisher(type(message), topic)
    if kind != "tf":
        graph.deliver(message, publisher)
        return
    graph.wait_for(lambda: publisher.get_subscription_count() >= 2, "the refiner to listen to /tf")
    publisher.publish(message)
    graph.wait_for(lambda: any(m.transforms[0].child_frame_id == "rough" for m in graph.transforms), "our own echo")


def _published(detection: Any) -> Tensor:
    from rnnpose_ros.ros.messages import matrix_from_pose

    return matrix_from_pose(detection.results[0].pose.pose)


IDENTITY = exp_se3(torch.tensor([0.0, 0.0, 0.5, 0.0, 0.0, 0.0], dtype=torch.float64))
NOISY = exp_se3(torch.tensor([0.02, -0.01, 0.52, 0.1, -0.12, 0.08], dtype=torch.float64))


@pytest.mark.parametrize("start", [IDENTITY, NOISY], ids=["identity", "noisy"])
@pytest.mark.parametrize("kind", KINDS)
def test_a1_frame_contract(graph: Graph, cube_mesh: Path, kind: str, start: Tensor) -> None:
    graph.start_refiner(cube_mesh, initial_pose__tf_frames=["cube=rough"] if kind == "tf" else [""])
    _send_rough(graph, kind, start, T0)
    # What is on its way to the refiner's own ear for /tf may come after the picture: then the next one has it.
    stamps = [T0 + i * STEP for i in range(20)]
    stamp = next(s for s in stamps if graph.round_trip(s).detections)
    (array,) = graph.detections_at(stamp)
    (detection,) = array.detections
    ours = lambda: [t for t in graph.transforms_at(stamp) if t.child_frame_id == "rnnpose/cube_0"]  # noqa: E731
    graph.wait_for(ours, "the transform")
    (transform,) = ours()
    torch.testing.assert_close(_published(detection), start, atol=1e-6, rtol=0.0)
    assert array.header.stamp == detection.header.stamp == transform.header.stamp
    assert array.header.frame_id == detection.header.frame_id == transform.header.frame_id == "camera"
    pose, q = detection.results[0].pose.pose, transform.transform.rotation
    for axis in "xyz":
        assert abs(getattr(transform.transform.translation, axis) - getattr(pose.position, axis)) < 1e-6
    for axis in "xyzw":
        assert abs(getattr(q, axis) - getattr(pose.orientation, axis)) < 1e-6
    assert math.isclose(q.x**2 + q.y**2 + q.z**2 + q.w**2, 1.0, abs_tol=1e-9)
    assert detection.results[0].hypothesis.class_id == "cube"
    assert detection.results[0].hypothesis.score == pytest.approx(0.9)
    assert detection.id == ("rough" if kind == "tf" else "cube_0")


def _drive(graph: Graph, *, speed: float) -> Any:
    """odom -> base_link drives along x for a second before T0 until 0.2 s after it; base_link -> camera is static."""
    from rclpy.qos import DurabilityPolicy
    from tf2_msgs.msg import TFMessage

    static = graph.publisher(TFMessage, "/tf_static", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    static.publish(transform_message(0, parent="base_link", child="camera", position=(0.1, 0.0, -0.3)))
    moving = graph.publisher(TFMessage, "/tf")
    graph.wait_for(lambda: moving.get_subscription_count() >= 2, "the refiner to listen to /tf")
    for i in range(-10, 3):
        moving.publish(
            transform_message(T0 + i * S // 10, parent="odom", child="base_link", position=(speed * 0.1 * i, 0, 0))
        )
    return moving


@pytest.mark.parametrize("kind", ["detection3d", "pose", "pose_array"])
def test_a2_other_frame(graph: Graph, cube_mesh: Path, kind: str) -> None:
    """A pose in base_link equals the same pose given in the camera's frame."""
    graph.start_refiner(cube_mesh, tf__timeout=2.0)
    _drive(graph, speed=0.2)
    T_base_camera = exp_se3(torch.tensor([0.1, 0.0, -0.3, 0.0, 0.0, 0.0], dtype=torch.float64))
    _send_rough(graph, kind, T_base_camera @ NOISY, T0, frame_id="base_link")
    (detection,) = graph.round_trip(T0).detections
    torch.testing.assert_close(_published(detection), NOISY, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("frame_id", ["base_link", "camera", "odom"])
def test_a2_other_frame_of_a_moving_camera(graph: Graph, cube_mesh: Path, frame_id: str) -> None:
    """A pose 0.3 s old, the camera at 0.2 m/s: compensated over the fixed frame to a millimetre."""
    graph.start_refiner(cube_mesh, tf__timeout=2.0, tf__fixed_frame="odom")
    _drive(graph, speed=0.2)
    T_frame_camera = torch.eye(4, dtype=torch.float64)
    if frame_id != "camera":
        T_frame_camera[:3, 3] = torch.tensor([0.1, 0.0, -0.3])
    if frame_id == "odom":
        T_frame_camera[0, 3] -= 0.2 * 0.3
    _send_rough(graph, "pose", T_frame_camera @ NOISY, T0 - 3 * S // 10, frame_id=frame_id)
    (detection,) = graph.round_trip(T0).detections
    expected = NOISY.clone()
    expected[0, 3] -= 0.2 * 0.3
    torch.testing.assert_close(_published(detection), expected, atol=1e-3, rtol=0.0)


def test_a2_other_frame_without_tf(graph: Graph, cube_mesh: Path) -> None:
    """No output, and the reason in the diagnostics within two seconds."""
    from diagnostic_msgs.msg import DiagnosticArray

    accounts = graph.listen(DiagnosticArray, "/diagnostics")
    graph.start_refiner(cube_mesh)
    _send_rough(graph, "pose", NOISY, T0, frame_id="base_link")
    asked_at = time.monotonic()
    assert graph.round_trip(T0).detections == []
    reasons = lambda: [v.key for m in accounts for s in m.status for v in s.values]  # noqa: E731
    graph.wait_for(lambda: "TF_UNAVAILABLE" in reasons(), "the reason")
    assert time.monotonic() - asked_at < 2.0
    assert graph.transforms == []


class Dizzy:
    """An engine that answers each picture at another symmetric pose, of an object that turns by 2 degrees about x."""

    def __init__(self) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._pictures = 0

    def with_config(self, config: Any) -> Dizzy:
        return self

    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        **_: Any,
    ) -> list[RefinementResult]:
        self._pictures += 1
        tilt = exp_se3(torch.tensor([0.0, 0.0, 0.0, math.radians(2.0 * self._pictures), 0.0, 0.0]).double())
        results = []
        for hypothesis in hypotheses:
            members = objects[hypothesis.label].symmetries
            member = members[int(torch.randint(len(members), (), generator=self._generator))]
            T = IDENTITY @ tilt @ member
            results.append(RefinementResult(hypothesis.label, T, RefinementStatus.CONVERGED, 0.9, 0.5))
        return results


@pytest.mark.parametrize(
    "symmetries",
    [
        "continuous: [{axis: [0, 0, 1], offset: [0, 0, 0]}]",
        "discrete: [[-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]",
    ],
    ids=["cylinder", "two-fold box"],
)
def test_a9_symmetric(graph: Graph, cube_mesh: Path, tmp_path: Path, symmetries: str) -> None:
    """Rotated initial poses and results; the frame turns with the object and never jumps."""
    described = tmp_path / "object.yaml"
    described.write_text(f"label: cube\nmesh: {cube_mesh}\nmesh_scale: 1.0\nsymmetries:\n  {symmetries}\n")
    refiner = graph.start_refiner(described)
    refiner.pipeline.engines = Engines.of_one(Dizzy())
    poses = []
    for i in range(15):
        half_turn = (0.0, 0.0, 1.0, 0.0) if i % 2 else (0.0, 0.0, 0.0, 1.0)
        graph.send_pose(T0 + i * STEP, position=(0.0, 0.0, 0.5), quaternion=half_turn)
        (detection,) = graph.round_trip(T0 + i * STEP).detections
        poses.append(_published(detection)[:3, :3])
    jumps = [math.degrees(float(rotation_angle(a.T @ b))) for a, b in itertools.pairwise(poses)]
    assert max(jumps) < 5.0
    assert max(jumps) == pytest.approx(2.0, abs=1e-3)
