"""The refiner's own services."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Graph
from .test_lifecycle import DEACTIVATE, change_state

pytest.importorskip("rclpy", reason="no ROS 2 on this machine")

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333


def trigger(graph: Graph, name: str) -> tuple[bool, dict[str, Any]]:
    """Success, and the message's JSON."""
    from std_srvs.srv import Trigger

    answer = graph.call(Trigger, f"/rnnpose/{name}", timeout_s=30.0)
    return bool(answer.success), json.loads(answer.message)


def set_enabled(graph: Graph, value: bool) -> dict[str, Any]:
    from std_srvs.srv import SetBool

    answer = graph.call(SetBool, "/rnnpose/set_enabled", data=value)
    assert answer.success
    return json.loads(answer.message)


def test_reset_forgets_what_is_tracked(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    assert len(graph.round_trip(T0).detections) == 1
    assert trigger(graph, "reset") == (True, {})
    assert graph.round_trip(T0 + STEP).detections == []


def test_disabled_the_node_refines_nothing_but_what_is_asked_for_once(graph: Graph, cube_mesh: Path) -> None:
    from rnnpose_ros.ros.reasons import Reason

    refiner = graph.start_refiner(cube_mesh)
    assert set_enabled(graph, False) == {"enabled": False}
    graph.send(T0)
    graph.wait_for(lambda: refiner.counts.get(Reason.DISABLED) == 1, "the picture to be counted as left out")
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(trigger(graph, "refine_once")))
    asking.start()
    graph.wait_for(lambda: refiner._session.next_answer.is_awaited, "the request to wait for a picture")
    graph.send_pose(T0 + STEP)
    graph.send(T0 + STEP)
    asking.join(20.0)
    ((is_done, answer),) = answers
    assert is_done
    assert answer["stamp_ns"] == T0 + STEP
    assert [(found["class_id"], found["id"]) for found in answer["objects"]] == [("cube", "cube_0")]
    assert np.allclose(np.array(answer["objects"][0]["T_camera_object"])[:3, 3], (0.01, -0.02, 0.5))
    graph.send(T0 + 2 * STEP)
    graph.wait_for(lambda: refiner.counts.get(Reason.DISABLED) == 2, "the next picture to be left out again")
    assert set_enabled(graph, True) == {"enabled": True}
    graph.round_trip(T0 + 3 * STEP)


def test_refine_once_says_why_the_next_picture_was_refused(graph: Graph, cube_mesh: Path) -> None:
    refiner = graph.start_refiner(cube_mesh)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(trigger(graph, "refine_once")))
    asking.start()
    graph.wait_for(lambda: refiner._session.next_answer.is_awaited, "the request to wait for a picture")
    graph.send(T0, encoding="nv99")
    asking.join(20.0)
    assert not answers[0][0]
    assert "nv99" in answers[0][1]["error"]


def test_refine_once_does_not_wait_for_ever(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh, services__picture_timeout=0.2)
    is_done, answer = trigger(graph, "refine_once")
    assert not is_done
    assert "no pair of image and camera_info was answered within 0.2 s" in answer["error"]


def test_reload_takes_up_a_changed_file_and_keeps_the_old_objects_when_it_is_wrong(
    graph: Graph, cube_mesh: Path, tmp_path: Path
) -> None:
    from rclpy.parameter import Parameter

    refiner = graph.start_refiner(cube_mesh)
    wrong = tmp_path / "none.obj"
    assert refiner.set_parameters([Parameter("objects_file", value=str(wrong))])[0].successful
    is_done, answer = trigger(graph, "reload_objects")
    assert not is_done
    assert "none.obj" in answer["error"]
    graph.send_pose(T0)
    assert len(graph.round_trip(T0).detections) == 1

    brick = tmp_path / "brick.obj"
    brick.write_text(cube_mesh.read_text().replace("-0.05", "-0.1"))
    assert refiner.set_parameters([Parameter("objects_file", value=str(brick))])[0].successful
    assert trigger(graph, "reload_objects") == (True, {"objects": ["brick"]})
    graph.wait_for(graph._is_connected, "the refiner to be connected again")
    graph.send_pose(T0 + STEP, label="brick")
    (detection,) = graph.round_trip(T0 + STEP).detections
    assert detection.results[0].hypothesis.class_id == "brick"
    assert detection.bbox.size.x == pytest.approx(0.15, abs=1e-6)


def test_a_snapshot_holds_picture_camera_and_poses(graph: Graph, cube_mesh: Path, tmp_path: Path) -> None:
    graph.start_refiner(cube_mesh, services__snapshot_folder=str(tmp_path / "snapshots"))
    is_done, answer = trigger(graph, "save_snapshot")
    assert not is_done
    assert answer["error"] == "no picture was refined yet"
    graph.send_pose(T0)
    graph.round_trip(T0)
    is_done, answer = trigger(graph, "save_snapshot")
    assert is_done
    saved = np.load(answer["file"])
    assert saved["rgb"].shape == (48, 64, 3)
    assert saved["K"][0, 0] == 60.0
    assert list(saved["labels"]) == list(saved["start_labels"]) == ["cube"]
    assert np.allclose(saved["T"][0], saved["start_T"][0])
    facts = json.loads(str(saved["facts"]))
    assert facts["stamp_ns"] == T0
    assert facts["parameters"]["engine"] == "fake"


def test_services_of_a_node_that_is_not_active_say_what_to_do(graph: Graph, cube_mesh: Path) -> None:
    graph.add_refiner(cube_mesh, autostart=False)
    for name in ("reset", "refine_once", "reload_objects", "save_snapshot"):
        is_done, answer = trigger(graph, name)
        assert not is_done
        assert answer["error"] == "the node is unconfigured: ros2 lifecycle set rnnpose configure"


def test_whoever_waits_for_a_picture_is_told_when_the_node_is_stopped(graph: Graph, cube_mesh: Path) -> None:
    refiner = graph.start_refiner(cube_mesh)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(trigger(graph, "refine_once")))
    asking.start()
    graph.wait_for(lambda: refiner._session.next_answer.is_awaited, "the request to wait for a picture")
    assert change_state(graph, DEACTIVATE)
    asking.join(20.0)
    assert answers == [(False, {"error": "the node was stopped meanwhile"})]
