"""The refiner's life: what each transition does, by itself and by lifecycle services."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from .conftest import Graph

pytest.importorskip("rclpy", reason="no ROS 2 on this machine")

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE, SHUTDOWN = 1, 2, 3, 4, 5
"""Numbers of lifecycle_msgs/Transition."""


def change_state(graph: Graph, transition: int) -> bool:
    """By the node's service, as ``ros2 lifecycle set`` does."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    return bool(graph.call(ChangeState, "/rnnpose/change_state", transition=Transition(id=transition)).success)


def state(graph: Graph) -> str:
    """By the node's service."""
    from lifecycle_msgs.srv import GetState

    return str(graph.call(GetState, "/rnnpose/get_state").current_state.label)


def own_topics(graph: Graph) -> set[str]:
    """What the refiner subscribes and publishes beside what every node does."""
    names: set[str] = set()
    for ask in (graph.node.get_subscriber_names_and_types_by_node, graph.node.get_publisher_names_and_types_by_node):
        try:
            names |= {name for name, _ in ask("rnnpose", "/")}
        except Exception:
            return set()
    everybodys = ("/parameter_events", "/rosout", "/rnnpose/transition_event", "/diagnostics", "/clock")
    return {name for name in names if name not in everybodys}


def test_without_autostart_the_node_waits_to_be_led(graph: Graph, cube_mesh: Path) -> None:
    graph.add_refiner(cube_mesh, autostart=False)
    assert state(graph) == "unconfigured"
    assert change_state(graph, CONFIGURE)
    assert state(graph) == "inactive"
    graph.wait_for(lambda: graph.node.count_publishers("/rnnpose/detections"), "the publishers")
    assert not graph.images.get_subscription_count(), "nothing is listened to before activation"
    assert change_state(graph, ACTIVATE)
    graph.wait_for(graph._is_connected, "the subscriptions")
    graph.send_pose(T0)
    assert len(graph.round_trip(T0).detections) == 1


@pytest.mark.parametrize("rounds", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a12_lifecycle_leaves_nothing_behind(graph: Graph, cube_mesh: Path, rounds: int) -> None:
    refiner = graph.add_refiner(cube_mesh, autostart=False)
    assert state(graph) == "unconfigured"
    entities = _entities(refiner)
    for i in range(rounds):
        assert change_state(graph, CONFIGURE)
        for k in range(2):
            assert change_state(graph, ACTIVATE)
            graph.wait_for(graph._is_connected, "the subscriptions")
            stamp = T0 + (2 * i + k) * STEP
            graph.send_pose(stamp)
            assert len(graph.round_trip(stamp).detections) == 1
            assert change_state(graph, DEACTIVATE)
        assert change_state(graph, CLEANUP)
        assert _entities(refiner) == entities
    workers = [thread.name for thread in threading.enumerate() if "worker" in thread.name]
    assert workers == []
    graph.wait_for(lambda: not own_topics(graph), "every topic to be gone")


def _entities(node: Any) -> tuple[int, ...]:
    kinds = (node.publishers, node.subscriptions, node.timers, node.services, node.clients, node.guards)
    return tuple(len(list(kind)) for kind in kinds)


@pytest.mark.gpu
def test_a12_lifecycle_gives_the_gpu_memory_back(graph: Graph, cube_mesh: Path) -> None:
    import torch

    graph.add_refiner(cube_mesh, autostart=False, engine="auto", device="cuda:0")
    used = []
    for _ in range(4):
        assert change_state(graph, CONFIGURE)
        assert change_state(graph, CLEANUP)
        used.append(torch.cuda.memory_reserved())
    assert max(used[1:]) - used[0] <= 5 * 2**20


def test_deactivated_in_the_midst_of_a_picture_the_node_publishes_it_no_more(graph: Graph, cube_mesh: Path) -> None:
    refiner = graph.start_refiner(cube_mesh, fake__mode="slow", fake__delay=0.6)
    graph.send_pose(T0)
    graph.send(T0)
    graph.wait_for(lambda: refiner.mailbox_counts.taken == 1, "the worker to take the picture")
    assert change_state(graph, DEACTIVATE)
    assert not graph.comes(lambda: graph.detections, timeout_s=1.0)


def test_the_state_can_be_asked_for_while_the_node_loads(
    graph: Graph, cube_mesh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rnnpose_ros.ros import session

    loading, go_on = threading.Event(), threading.Event()
    real = session.load_engines

    def slow_load(config: Any) -> Any:
        loading.set()
        assert go_on.wait(20.0)
        return real(config)

    monkeypatch.setattr(session, "load_engines", slow_load)
    refiner = graph.add_refiner(cube_mesh)
    assert loading.wait(10.0)
    try:
        assert state(graph) == "configuring"
        refused = refiner.set_parameters([_parameter("device", "cpu")])[0]
        assert not refused.successful
    finally:
        go_on.set()
    graph.wait_for(lambda: refiner.state_label == "active", "the node to be active")
    assert state(graph) == "active"


def test_what_is_fixed_once_configured_may_change_before(graph: Graph, cube_mesh: Path, tmp_path: Path) -> None:
    refiner = graph.add_refiner(tmp_path / "none.obj", autostart=False, engine="auto")
    assert not change_state(graph, CONFIGURE)
    assert state(graph) == "unconfigured"
    answers = refiner.set_parameters([_parameter("objects_file", str(cube_mesh)), _parameter("engine", "fake")])
    assert all(answer.successful for answer in answers)
    assert change_state(graph, CONFIGURE)
    refused = refiner.set_parameters([_parameter("engine", "eager")])[0]
    assert not refused.successful
    assert "engine: fixed while the node is configured" in refused.reason


def _parameter(name: str, value: Any) -> Any:
    from rclpy.parameter import Parameter

    return Parameter(name, value=value)


def test_a_shut_down_node_keeps_nothing_and_says_so(graph: Graph, cube_mesh: Path) -> None:
    graph.start_refiner(cube_mesh)
    assert change_state(graph, 7)  # from active
    assert state(graph) == "finalized"
    graph.wait_for(lambda: not own_topics(graph), "every topic to be gone")


def test_an_unexpected_failure_is_said_and_leaves_the_node_unconfigured(
    graph: Graph, cube_mesh: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from rnnpose_ros.ros import session

    def broken(config: Any) -> Any:
        raise ZeroDivisionError("planted")

    graph.add_refiner(cube_mesh, autostart=False)
    monkeypatch.setattr(session, "load_engines", broken)
    assert not change_state(graph, CONFIGURE)
    assert state(graph) == "unconfigured"
    assert "cannot configure, which is a fault of this program: ZeroDivisionError: planted" in capfd.readouterr().err
