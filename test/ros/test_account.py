"""The node's account of itself: from readings alone, then as it is heard on /diagnostics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnpose_ros.ros.account import Account, Level, Reading
from rnnpose_ros.ros.frame_log import CountWindow, FrameLog, FrameSnapshot
from rnnpose_ros.ros.mailbox import MailboxCounts
from rnnpose_ros.ros.pairing import PairingCounts
from rnnpose_ros.ros.parameters import DiagnosticsConfig
from rnnpose_ros.ros.reasons import Reason
from rnnpose_ros.ros.topic_report import TopicReport
from rnnpose_ros.tracking.track import FrameOutcome, TrackedObject
from rnnpose_ros.types import RefinementResult, RefinementStatus

from .conftest import Graph, image_message, info_message

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333
CONFIG = DiagnosticsConfig()
IDLE = Reading(
    state="active",
    is_enabled=True,
    frames=FrameSnapshot(),
    mailbox=MailboxCounts(0, 0, 0),
    pairing=PairingCounts(0, 0, 0, None),
    poses=0,
    reasons={},
)
FED = replace(
    IDLE,
    frames=FrameSnapshot(frames=30, frames_tracked=30, latency_ms=(80.0,) * 30),
    mailbox=MailboxCounts(30, 30, 0),
    pairing=PairingCounts(30, 30, 0, None),
)
NOT_TRACKED = replace(FED, frames=FrameSnapshot(frames=30))

SILENCES = {
    Reason.OK: FED,
    Reason.DISABLED: replace(NOT_TRACKED, is_enabled=False),
    Reason.NO_IMAGE: IDLE,
    Reason.NO_INFO: replace(IDLE, pairing=PairingCounts(30, 0, 22, None)),
    Reason.UNSYNCED: replace(IDLE, pairing=PairingCounts(30, 30, 22, 0.007)),
    Reason.BUSY: replace(FED, frames=FrameSnapshot()),
    Reason.BAD_ENCODING: replace(FED, frames=FrameSnapshot(), reasons={Reason.BAD_ENCODING: 30}),
    Reason.LATE: replace(FED, frames=FrameSnapshot(), reasons={Reason.LATE: 30}),
    Reason.OOM: replace(FED, frames=FrameSnapshot(), reasons={Reason.OOM: 30}),
    Reason.NO_INITIAL_POSE: replace(NOT_TRACKED, reasons={Reason.NO_INITIAL_POSE: 30}),
    Reason.TF_UNAVAILABLE: replace(NOT_TRACKED, reasons={Reason.NO_INITIAL_POSE: 20, Reason.TF_UNAVAILABLE: 10}),
    Reason.LOW_SCORE: replace(NOT_TRACKED, reasons={Reason.LOW_SCORE: 10, Reason.POSE_STALE: 2}),
}


@pytest.mark.parametrize("reason", SILENCES)
def test_whenever_nothing_comes_out_there_is_a_reason_for_it(reason: Reason) -> None:
    account = Account()
    account.statuses(IDLE, CONFIG)
    statuses = {status.name: status for status in account.statuses(SILENCES[reason], CONFIG)}
    assert account.why_nothing(SILENCES[reason]) is reason
    output = statuses["output"]
    assert output.level == (Level.OK if reason is Reason.OK else Level.WARN)
    assert output.message.startswith(reason.value)
    assert statuses["engine"].level == (Level.ERROR if reason is Reason.OOM else Level.OK)


def test_a_reason_of_long_ago_is_no_reason_for_now() -> None:
    account = Account()
    account.statuses(SILENCES[Reason.LOW_SCORE], CONFIG)
    later = replace(
        SILENCES[Reason.LOW_SCORE],
        frames=FrameSnapshot(frames=60),
        pairing=PairingCounts(60, 60, 0, None),
        mailbox=MailboxCounts(60, 60, 0),
    )
    account.statuses(later, CONFIG)
    assert account.why_nothing(later) is Reason.NO_INITIAL_POSE


def test_what_is_wrong_with_a_topic_is_said_with_its_remedy() -> None:
    trouble = "a publisher of /image offers another reliability: set qos.image_reliability"
    account = Account()
    reading = replace(IDLE, topics=[TopicReport("/image", 1, "reliable", 3, trouble)])
    status = account.statuses(reading, CONFIG)[0]
    assert (status.level, status.message) == (Level.WARN, f"NO_IMAGE: {trouble}")
    assert status.values["topic /image"] == "1 publishers, asking for reliable, 3 lost"


@pytest.mark.parametrize(("latency_ms", "level"), [(200.0, Level.OK), (400.0, Level.WARN), (1500.0, Level.ERROR)])
def test_old_poses_are_warned_of(latency_ms: float, level: Level) -> None:
    account = Account()
    account.statuses(IDLE, CONFIG)
    frames = FrameSnapshot(frames=30, frames_tracked=30, latency_ms=(latency_ms,) * 30)
    output = account.statuses(replace(FED, frames=frames), CONFIG)[2]
    assert output.level == level
    assert output.values["latency_ms_p95"] == f"{latency_ms:.1f}"


def test_a_node_that_is_not_active_warns_of_nothing() -> None:
    statuses = Account().statuses(replace(IDLE, state="inactive"), CONFIG)
    assert {(status.level, status.message) for status in statuses} == {(Level.OK, "the node is inactive")}


def test_the_window_covers_its_span_and_begins_anew_with_the_counters() -> None:
    window = CountWindow(span_s=5.0)
    for second in range(11):
        window.add({"images": 30 * second}, now_s=float(second))
    assert window.rate_hz("images") == 30.0
    assert window.growth("images") == 150
    window.add({"images": 7}, now_s=11.0)
    assert window.growth("images") == 7


def test_objects_say_score_sigma_and_how_long_they_are_tracked() -> None:
    log = FrameLog()
    covariance = torch.diag(torch.tensor([1e-6, 4e-6, 9e-6, 1e-5, 1e-5, 1e-5], dtype=torch.float64))
    result = RefinementResult(
        "mug", torch.eye(4, dtype=torch.float64), RefinementStatus.CONVERGED, 0.9, 0.5, covariance=covariance
    )
    outcome = FrameOutcome((TrackedObject("mug", 0, "mug_0", result),), ())
    for second in range(3):
        log.add(outcome, stamp_ns=second * 10**9, engine_ms=50.0, latency_ms=60.0, stages_ms={"render": 20.0})
    statuses = {s.name: s for s in Account().statuses(replace(FED, frames=log.snapshot()), CONFIG)}
    text = statuses["objects"].values["mug_0"]
    assert text == "tracked for 2.0 s, score 0.90, converged, sigma_xyz_mm 1.00 2.00 3.00"
    assert statuses["engine"].values["render_ms_p50"] == "20.0"


def test_objects_of_one_name_for_the_detector_are_told_apart() -> None:
    result = RefinementResult("mug", torch.eye(4, dtype=torch.float64), RefinementStatus.CONVERGED, 0.9, 0.5)
    objects = tuple(TrackedObject(label, 0, "0", replace(result, label=label)) for label in ("mug", "can"))
    log = FrameLog()
    log.add(FrameOutcome(objects, ()), stamp_ns=T0, engine_ms=50.0, latency_ms=60.0, stages_ms={})
    statuses = {s.name: s for s in Account().statuses(replace(FED, frames=log.snapshot()), CONFIG)}
    assert set(statuses["objects"].values) == {"mug_0", "can_0"}
    assert statuses["objects"].values["can_0"].endswith("detector's id '0'")


def _status(accounts: list[Any], name: str) -> Any:
    return next(s for s in accounts[-1].status if s.name == f"rnnpose: {name}")


def _listen(graph: Graph) -> list[Any]:
    from diagnostic_msgs.msg import DiagnosticArray

    return graph.listen(DiagnosticArray, "/diagnostics")


def test_diagnostics_hold_rates_stages_and_objects(graph: Graph, cube_mesh: Path) -> None:
    accounts = _listen(graph)
    graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    graph.round_trip(T0)

    def is_told() -> bool:
        return bool(accounts) and any(v.key == "cube_0" for v in _status(accounts, "objects").values)

    graph.wait_for(is_told, "the object in the account")
    assert [s.name for s in accounts[-1].status] == [
        f"rnnpose: {name}" for name in ("input", "engine", "output", "objects")
    ]
    assert {s.hardware_id for s in accounts[-1].status} == {"/rnnpose"}
    keys = {v.key for s in accounts[-1].status for v in s.values}
    assert {"image_rate_hz", "memory_mb", "engine_ms_p95", "latency_ms_p50", "dropped_busy"} <= keys


def test_a_camera_that_offers_less_than_is_asked_for_is_said(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    graph.node.destroy_publisher(graph.images)
    lossy = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    graph.images = graph.node.create_publisher(Image, "image", lossy)
    accounts = _listen(graph)
    graph.add_refiner(cube_mesh, qos__image_reliability="reliable")
    graph.wait_for(
        lambda: accounts and "offers another reliability" in _status(accounts, "input").message, "the mismatch"
    )
    assert "set qos.image_reliability" in _status(accounts, "input").message


def test_a_topic_of_another_type_is_said(graph: Graph, cube_mesh: Path) -> None:
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node
    from sensor_msgs.msg import CompressedImage

    graph.node.destroy_publisher(graph.images)
    # From a process of its own, as it were: one participant cannot have both types.
    elsewhere = Context()
    rclpy.init(args=[], context=elsewhere, domain_id=graph.context.get_domain_id())
    try:
        camera = Node("camera", context=elsewhere)
        camera.create_publisher(CompressedImage, "image", 5)
        accounts = _listen(graph)
        graph.add_refiner(cube_mesh)
        expected = "/image is published as sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image"
        graph.wait_for(lambda: accounts and expected in _status(accounts, "input").message, "the other type")
    finally:
        elsewhere.try_shutdown()


def test_simulated_time_that_nobody_tells_is_said(graph: Graph, cube_mesh: Path) -> None:
    accounts = _listen(graph)
    graph.add_refiner(cube_mesh, use_sim_time=True)
    graph.wait_for(lambda: accounts and "/clock is silent" in _status(accounts, "input").message, "the silent clock")


def test_overrides_of_quality_stand_above_what_the_publishers_offer(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.qos import ReliabilityPolicy

    name = "qos_overrides./image.subscription.reliability"
    graph.add_refiner(cube_mesh, **{name: "best_effort"})

    def offered() -> set[Any]:
        return {info.qos_profile.reliability for info in graph.node.get_subscriptions_info_by_topic("/image")}

    graph.wait_for(lambda: offered() == {ReliabilityPolicy.BEST_EFFORT}, "a best-effort subscription")
    graph.send_pose(T0)
    graph.round_trip(T0)


def test_a_subscription_follows_a_camera_that_changes_its_mind(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image

    graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    assert len(graph.round_trip(T0).detections) == 1
    for publisher in (graph.images, graph.infos):
        graph.node.destroy_publisher(publisher)
    lossy = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    images = graph.node.create_publisher(Image, "image", lossy)
    infos = graph.node.create_publisher(CameraInfo, "camera_info", lossy)
    graph.wait_for(lambda: images.get_subscription_count() and infos.get_subscription_count(), "to be followed")
    images.publish(image_message(T0 + STEP))
    infos.publish(info_message(T0 + STEP))
    graph.wait_for(lambda: graph.detections_at(T0 + STEP), "the answer")
