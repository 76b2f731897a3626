"""Everything the refiner says about what it tracks, heard over a real graph."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from rnnpose_ros.objects.library import load_object
from rnnpose_ros.ros.frame_owner import FrameOwner
from rnnpose_ros.ros.markers import mesh_resource
from rnnpose_ros.ros.object_database import database_yaml
from rnnpose_ros.ros.outputs import published_covariance, topic_token
from rnnpose_ros.ros.parameters import CovarianceConfig
from rnnpose_ros.tracking.frame_history import FrameSample
from rnnpose_ros.tracking.transform_tree import FrameNews, TransformTree

from .conftest import Graph, transform_message

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333


def _track(graph: Graph, stamp_ns: int = T0) -> Any:
    graph.send_pose(stamp_ns)
    message = graph.round_trip(stamp_ns)
    assert len(message.detections) == 1
    return message.detections[0]


def _listen_all(graph: Graph) -> dict[str, list[Any]]:
    from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
    from visualization_msgs.msg import MarkerArray

    topics = {"poses": PoseArray, "markers": MarkerArray, "pose/cube_0": PoseWithCovarianceStamped}
    return {topic: graph.listen(kind, f"/rnnpose/{topic}") for topic, kind in topics.items()}


def test_every_output_says_the_same_pose_under_the_images_header(graph: Graph, cube_mesh: Path) -> None:
    heard = _listen_all(graph)
    refiner = graph.start_refiner(cube_mesh, publish__per_object_pose=True)
    output = refiner._session._output
    graph.wait_for(
        lambda: output._poses.get_subscription_count() and output._markers.get_subscription_count(), "the listeners"
    )
    detection = _track(graph)
    best = detection.results[0].pose
    # Its publisher is made with the first pose, which its listener may miss.
    for i in range(1, 50):
        graph.round_trip(T0 + i * STEP)
        if heard["pose/cube_0"]:
            break
    graph.wait_for(lambda: all(heard.values()), "all outputs")
    assert heard["poses"][0].poses[0] == best.pose
    assert heard["pose/cube_0"][0].pose == best
    markers = {(marker.ns, marker.id): marker for marker in heard["markers"][0].markers}
    assert set(markers) == {("cube", 0), ("cube/text", 0)}
    assert markers["cube", 0].pose == best.pose
    assert markers["cube", 0].mesh_resource == cube_mesh.as_uri()
    assert markers["cube", 0].lifetime.sec == 1
    assert markers["cube/text", 0].text == "cube_0 0.90"
    for header in (heard["poses"][0].header, *(marker.header for marker in markers.values())):
        assert (header.frame_id, header.stamp.nanosec) == ("camera", T0 % 10**9)


def test_a_lost_object_empties_the_arrays_and_deletes_its_markers(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.parameter import Parameter

    heard = _listen_all(graph)
    refiner = graph.start_refiner(cube_mesh)
    output = refiner._session._output
    graph.wait_for(lambda: output._markers.get_subscription_count(), "the listener")
    _track(graph)
    refiner.set_parameters([Parameter("fake.mode", value="nan")])
    graph.round_trip(T0 + STEP)
    graph.wait_for(lambda: len(heard["markers"]) == 2 and len(heard["poses"]) >= 2, "the farewell")
    assert {(m.ns, m.id, m.action) for m in heard["markers"][1].markers} == {("cube", 0, 2), ("cube/text", 0, 2)}
    assert heard["poses"][-1].poses == []


def test_who_comes_late_still_hears_what_is_served(graph: Graph, cube_mesh: Path) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String
    from vision_msgs.msg import VisionInfo

    graph.start_refiner(cube_mesh)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    heard: dict[str, list[Any]] = {"object_database": [], "vision_info": []}
    for topic, kind in (("object_database", String), ("vision_info", VisionInfo)):
        graph.node.create_subscription(kind, f"/rnnpose/{topic}", graph._keep(heard[topic]), latched)
    graph.wait_for(lambda: all(heard.values()), "both announcements")
    assert heard["vision_info"][0].database_location == "/rnnpose/object_database"
    entry = yaml.safe_load(heard["object_database"][0].data)["objects"]["cube"]
    assert entry["mesh"] == str(cube_mesh)
    assert entry["diameter"] == pytest.approx(0.1 * 3**0.5, abs=1e-6)


def test_with_a_parent_frame_transforms_stand_under_it_at_the_images_stamp(graph: Graph, cube_mesh: Path) -> None:
    from tf2_msgs.msg import TFMessage

    refiner = graph.start_refiner(cube_mesh, tf__parent_frame="base", tf__timeout=2.0)
    tf = graph.publisher(TFMessage, "/tf")
    graph.wait_for(lambda: tf.get_subscription_count() >= 2, "the refiner to listen to /tf")
    for stamp, x in ((T0 - STEP, 1.0), (T0 + STEP, 3.0)):
        tf.publish(transform_message(stamp, parent="base", child="camera", position=(x, 0.0, 0.0)))
    detection = _track(graph)
    own = [t for m in graph.transforms for t in m.transforms if t.child_frame_id == "rnnpose/cube_0"]
    if not own:
        graph.wait_for(lambda: any(t.child_frame_id == "rnnpose/cube_0" for t in graph.transforms_at(T0)), "our frame")
        own = [t for t in graph.transforms_at(T0) if t.child_frame_id == "rnnpose/cube_0"]
    assert own[0].header.frame_id == "base"
    seen = detection.results[0].pose.pose.position
    assert own[0].transform.translation.x == pytest.approx(2.0 + seen.x, abs=1e-6), "half way between the two samples"
    assert own[0].transform.translation.z == pytest.approx(seen.z, abs=1e-6)
    assert refiner.counts


def test_with_a_parent_frame_that_nobody_knows_there_is_a_reason_and_no_transform(
    graph: Graph, cube_mesh: Path
) -> None:
    from rnnpose_ros.ros.reasons import Reason

    refiner = graph.start_refiner(cube_mesh, tf__parent_frame="nowhere", tf__timeout=0.0)
    _track(graph)
    assert refiner.counts[Reason.TF_UNAVAILABLE] == 1
    graph.round_trip(T0 + STEP)
    assert graph.transforms == []


def test_a_frame_name_that_somebody_else_owns_is_said(
    graph: Graph, cube_mesh: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from diagnostic_msgs.msg import DiagnosticArray
    from tf2_msgs.msg import TFMessage

    accounts = graph.listen(DiagnosticArray, "/diagnostics")
    refiner = graph.start_refiner(cube_mesh)
    tf = graph.publisher(TFMessage, "/tf")
    graph.wait_for(lambda: tf.get_subscription_count() >= 2, "the refiner to listen to /tf")
    tf.publish(transform_message(T0, parent="elsewhere", child="rnnpose/cube_0"))
    frames = refiner._session._tf.frames
    graph.wait_for(lambda: frames.newest("rnnpose/cube_0"), "the refiner to know the other's frame")
    _track(graph)
    assert "'rnnpose/cube_0' is published by somebody else as well, in 'elsewhere'" in capfd.readouterr().err

    def is_told() -> bool:
        statuses = {status.name: status.message for message in accounts for status in message.status}
        return statuses.get("rnnpose: output", "").startswith("FRAME_TAKEN")

    graph.wait_for(is_told, "the account of it")


def test_what_comes_back_of_our_own_frames_is_nobody_elses() -> None:
    tree, clock = TransformTree(), iter(range(100))
    owner = FrameOwner(tree, now_s=lambda: float(next(clock)))

    def say(stamp_ns: int, parent: str = "camera") -> list[tuple[str, FrameNews]]:
        return owner.rivals([transform_message(stamp_ns, parent=parent, child="cube_0").transforms[0]])

    def comes_back(stamp_ns: int, parent: str = "camera") -> None:
        sample = FrameSample(parent, (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0))
        assert tree.add("cube_0", sample, stamp_ns=stamp_ns)

    assert say(T0) == []
    comes_back(T0)
    assert say(T0 + STEP) == []
    assert say(T0 + 2 * STEP, parent="base") == []  # tf.parent_frame was changed; the last is not back yet
    comes_back(T0 + STEP)
    comes_back(T0 + 2 * STEP, parent="base")
    assert say(T0 + 3 * STEP, parent="base") == []
    comes_back(T0 + 4 * STEP, parent="base")  # nobody here sent that
    assert say(T0 + 5 * STEP, parent="base") == [("cube_0", FrameNews("base", T0 + 4 * STEP))]


def test_without_listeners_no_debug_picture_is_drawn_and_no_marker_made(
    graph: Graph, cube_mesh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rnnpose_ros.ros.debug_pictures import DebugPainter
    from rnnpose_ros.ros.markers import MarkerBook

    def nobody_asked(*_: Any, **__: Any) -> None:
        raise AssertionError("drawn for nobody")

    monkeypatch.setattr(DebugPainter, "draw", nobody_asked)
    monkeypatch.setattr(MarkerBook, "messages", nobody_asked)
    graph.start_refiner(cube_mesh)
    for i in range(3):
        graph.send_pose(T0 + i * STEP)
        assert len(graph.round_trip(T0 + i * STEP).detections) == 1


def test_topics_of_objects_are_valid_names_whatever_the_label() -> None:
    labels = ["mug", "000014", "tea box", "größe", "a/b"]
    tokens = [topic_token(label, 1) for label in labels]
    assert tokens[:3] == ["mug_1", "object_000014_1", "tea_box_1"]
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", token) for token in tokens)


def test_covariances_are_scaled_and_bounded_from_below() -> None:
    config = CovarianceConfig(scale=4.0, min_std_position=0.01, min_std_rotation=0.001)
    covariance = torch.diag(torch.tensor([1e-6, 1e-4, 1e-4, 1e-6, 1e-6, 1e-8], dtype=torch.float64))
    covariance[0, 1] = covariance[1, 0] = 5e-6
    given = published_covariance(covariance, config)
    assert given is not None
    assert np.allclose(given.diagonal(), [1e-4, 4e-4, 4e-4, 4e-6, 4e-6, 1e-6])
    assert given[0, 1] == given[1, 0] == 2e-5
    assert torch.linalg.eigvalsh(given)[0] > 0
    assert published_covariance(covariance, dataclasses.replace(config, publish=False)) is None


def test_installed_meshes_are_named_by_their_package(tmp_path: Path) -> None:
    share = tmp_path / "share" / "shop"
    (share / "meshes").mkdir(parents=True)
    (share / "package.xml").touch()
    assert mesh_resource(str(share / "meshes" / "mug.obj")) == "package://shop/meshes/mug.obj"
    assert mesh_resource(str(tmp_path / "a mug.obj")) == (tmp_path / "a mug.obj").as_uri()


def test_the_database_gives_symmetries_as_bop_does(tmp_path: Path, cube_mesh: Path) -> None:
    turn = [-1.0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    for name, symmetries in (
        ("box", {"discrete": [turn]}),
        ("can", {"continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]}),
    ):
        body = {"label": name, "mesh": str(cube_mesh), "mesh_scale": 1.0, "symmetries": symmetries}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(body))
    models = {name: load_object(tmp_path / f"{name}.yaml") for name in ("box", "can")}
    objects = yaml.safe_load(database_yaml(models))["objects"]
    assert objects["box"]["symmetries"] == {"discrete": [turn]}
    assert objects["can"]["symmetries"] == {"continuous": [{"axis": [0.0, 0.0, 1.0], "offset": [0.0, 0.0, 0.0]}]}
