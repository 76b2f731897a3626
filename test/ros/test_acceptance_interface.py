"""Acceptance A10, A11, A16: what the node takes, what it refuses with which words, and what it says it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnnpose_ros.config import Parameter, flatten, parameters
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.ros.interface import INTERFACE
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.reasons import Reason

from .conftest import Graph

pytest.importorskip("rclpy", reason="no ROS 2 on this machine")
pytestmark = pytest.mark.ros

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333
BOUNDED = [p for p in parameters(NodeConfig) if p.spec.bounds is not None]
TIED = ("tracking.lost_score", "tracking.recover_score")
"""One must stay below the other, so not every value goes with the other's default."""


def _outside(parameter: Parameter) -> list[Any]:
    assert parameter.spec.bounds is not None
    low, high = parameter.spec.bounds
    return [parameter.type(low - 1), parameter.type(high + 1)]


def _set(refiner: Any, name: str, value: Any) -> Any:
    from rclpy.parameter import Parameter as RosParameter

    return refiner.set_parameters([RosParameter(name, value=value)])[0]


def test_a10_params(graph: Graph, cube_mesh: Path) -> None:
    """Each parameter is described, takes both ends of its range and refuses what lies outside, with name and range."""
    refiner = graph.add_refiner(cube_mesh, autostart=False)
    for parameter in parameters(NodeConfig):
        described = refiner.describe_parameter(parameter.name)
        assert len(described.description) > 10, parameter.name
    for parameter in BOUNDED:
        assert parameter.spec.bounds is not None
        default = refiner.get_parameter(parameter.name).value
        for value in _outside(parameter):
            answer = _set(refiner, parameter.name, value)
            assert not answer.successful, f"{parameter.name} = {value}"
            assert parameter.name in answer.reason
            for bound in parameter.spec.bounds:
                assert str(bound) in answer.reason or f"{float(bound)}" in answer.reason, answer.reason
        if parameter.type is float:
            assert not _set(refiner, parameter.name, math.nan).successful, parameter.name
        for value in () if parameter.name in TIED else parameter.spec.bounds:
            answer = _set(refiner, parameter.name, parameter.type(value))
            assert answer.successful, f"{parameter.name} = {value}: {answer.reason}"
        assert _set(refiner, parameter.name, default).successful
    for parameter in (p for p in parameters(NodeConfig) if p.spec.choices):
        value = ["no such choice"] if isinstance(parameter.default, tuple) else "no such choice"
        answer = _set(refiner, parameter.name, value)
        assert not answer.successful
        assert parameter.name in answer.reason


def test_a10_params_of_the_wrong_type_and_unknown_ones_are_refused(graph: Graph, cube_mesh: Path) -> None:
    from rcl_interfaces.msg import Parameter as ParameterMessage
    from rcl_interfaces.msg import ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters

    refiner = graph.add_refiner(cube_mesh, autostart=False)
    assert not _set(refiner, "refine.cycles", "three").successful
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=3)
    unknown = ParameterMessage(name="refine.cylces", value=value)
    (answer,) = graph.call(SetParameters, "/rnnpose/set_parameters", parameters=[unknown]).results
    assert not answer.successful
    assert answer.reason == "unknown parameter 'refine.cylces', did you mean 'refine.cycles'?"
    with pytest.raises(ConfigError, match=r"unknown parameter 'refine\.cylces', did you mean 'refine\.cycles'\?"):
        graph.add_refiner(cube_mesh, refine__cylces=3)


def test_a10_params_that_may_change_take_effect_with_the_next_picture(graph: Graph, cube_mesh: Path) -> None:
    refiner = graph.start_refiner(cube_mesh)
    graph.send_pose(T0)
    first = graph.round_trip(T0).detections[0]
    assert _set(refiner, "covariance.scale", 4.0).successful
    second = graph.round_trip(T0 + STEP).detections[0]
    assert second.results[0].pose.covariance[0] == pytest.approx(4.0 * first.results[0].pose.covariance[0])
    assert _set(refiner, "fake.score", 0.1).successful
    assert graph.round_trip(T0 + 2 * STEP).detections == []
    changed = flatten(refiner._settings.current)
    assert (changed["covariance.scale"], changed["fake.score"]) == (4.0, 0.1)


def _millimetres(tmp_path: Path, cube_mesh: Path) -> dict[str, Any]:
    big = tmp_path / "brick.obj"
    big.write_text(cube_mesh.read_text().replace("0.05", "50"))
    return {"objects_file": str(big)}


CANNOT_START: dict[str, tuple[Callable[[Path, Path], dict[str, Any]], str]] = {
    "missing mesh": (lambda tmp, _: {"objects_file": str(tmp / "none.obj")}, "none.obj"),
    "no objects at all": (lambda tmp, _: {"objects_file": ""}, "set the parameter objects_file"),
    "mesh in mm declared m": (_millimetres, "looks like millimetres: set mesh_scale: 0.001"),
    "no such GPU": (lambda *_: {"engine": "eager", "device": "cuda:63"}, "use device:=cpu"),
    "no such device": (lambda *_: {"engine": "eager", "device": "tpu"}, "expected auto, cpu, cuda or cuda:<number>"),
    "no weights": (lambda tmp, _: {"engine": "eager", "weights": str(tmp / "none.safetensors")}, "none.safetensors"),
    "unknown object": (lambda *_: {"object_ids": ["teapot"]}, "no object is called 'teapot'"),
}


@pytest.mark.parametrize("case", CANNOT_START)
def test_a11_failure_start(
    graph: Graph, cube_mesh: Path, tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Configuring fails with what to do, in one line and never a traceback, and the exit code is 2."""
    from rnnpose_ros.ros.running import EXIT_BAD_INPUT

    make, remedy = CANNOT_START[case]
    given = make(tmp_path, cube_mesh)
    refiner = graph.add_refiner(cube_mesh, **{"objects_file": str(cube_mesh), **given})
    graph.wait_for(lambda: refiner.exit_code, "the node to give up", timeout_s=60.0)
    assert refiner.exit_code == EXIT_BAD_INPUT
    lines = [line for line in capfd.readouterr().err.splitlines() if "FATAL" in line]
    assert len(lines) == 1
    assert "cannot configure: " in lines[0]
    assert remedy in lines[0]
    assert "Traceback" not in lines[0]


def test_a11_failure_start_with_bad_quality_of_service(graph: Graph, cube_mesh: Path) -> None:
    """A quality that does not exist is named, with the topic and what there is."""
    name = "qos_overrides./image.subscription.reliability"
    with pytest.raises(ConfigError, match=rf"{name}: expected one of .*'best_effort'.*, got 'sometimes'"):
        graph.add_refiner(cube_mesh, **{name: "sometimes"})


BAD_PICTURES = {
    "zero K": ({"focal": 0.0}, Reason.BAD_INFO),
    "empty frame_id": ({"frame_id": ""}, Reason.BAD_HEADER),
    "stamp 0": ({}, Reason.BAD_HEADER),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a11_failure_start_of_a_camera(
    graph: Graph, cube_mesh: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The node stays, and the reason appears in log and diagnostics."""
    from diagnostic_msgs.msg import DiagnosticArray

    accounts = graph.listen(DiagnosticArray, "/diagnostics")
    changes, reason = BAD_PICTURES[case]
    graph.start_refiner(cube_mesh)
    for i in range(3):
        graph.send(0 if case == "stamp 0" else T0 + i * STEP, **changes)

    def is_told() -> bool:
        return any(
            status.name == "rnnpose: output" and status.message.startswith(f"{reason.value}: ")
            for account in accounts
            for status in account.status
        )

    graph.wait_for(is_told, "the reason in the diagnostics")
    said = capfd.readouterr().err
    assert f"{reason.value}: " in said
    assert "Traceback" not in said


def _every_lifecycle_nodes_own(name: str) -> bool:
    last = name.rsplit("/", 1)[-1]
    known = ("parameter_events", "rosout", "transition_event", "clock", "get_type_description")
    return (
        last in known
        or "parameter" in last
        or any(word in last for word in ("change_state", "get_state", "available_", "transition_graph"))
    )


def test_a16_docs(graph: Graph, cube_mesh: Path) -> None:
    """The table of the README, made from INTERFACE, is what the node really has, with its types."""
    from rclpy.qos import DurabilityPolicy

    graph.start_refiner(cube_mesh, publish__per_object_pose=True)
    graph.send_pose(T0)
    graph.round_trip(T0)
    asks = {
        "in": graph.node.get_subscriber_names_and_types_by_node,
        "out": graph.node.get_publisher_names_and_types_by_node,
        "service": graph.node.get_service_names_and_types_by_node,
    }
    told = {(e.kind, e.name.replace("~", "/rnnpose").replace("<class>_<n>", "cube_0"), e.type) for e in INTERFACE}
    told = {(kind, name if name.startswith("/") else f"/{name}", type_name) for kind, name, type_name in told}

    def found() -> set[tuple[str, str, str]]:
        return {
            (kind, name, types[0])
            for kind, ask in asks.items()
            for name, types in ask("rnnpose", "/")
            if not _every_lifecycle_nodes_own(name)
        }

    graph.comes(lambda: found() == told, timeout_s=10.0)
    assert found() == told
    for entry in (e for e in INTERFACE if e.kind == "out" and "<" not in e.name):
        (info, *_) = [
            info
            for info in graph.node.get_publishers_info_by_topic(entry.name.replace("~", "/rnnpose"))
            if info.node_name == "rnnpose"
        ]
        assert (info.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL) == entry.latched, entry.name
