"""The doctor sees what is wrong, says what to do, and its exit code agrees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnnpose_ros.cli.doctor_findings import Finding, Level, as_lines
from rnnpose_ros.cli.doctor_ros import check_profile, left_over_segments, try_import
from rnnpose_ros.cli.doctor_transport import judge
from rnnpose_ros.cli.main import main
from rnnpose_ros.ros.transport_measurement import DEFAULT_STREAMS, StreamResult

ROOT = Path(__file__).resolve().parents[2]


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, str]]]:
    """Exit code and findings."""
    capsys.readouterr()
    code = main(["doctor", "--json", *arguments])
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    levels = [finding["level"] for finding in body["findings"]]
    assert {level: body[level] for level in ("OK", "WARN", "ERROR")} == {
        level: levels.count(level) for level in ("OK", "WARN", "ERROR")
    }
    assert all(finding["remedy"] for finding in body["findings"] if finding["level"] != "OK")
    return code, body["findings"]


def by_level(findings: list[dict[str, str]], level: str) -> list[str]:
    return [f"{finding['text']} -> {finding['remedy']}" for finding in findings if finding["level"] == level]


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """A cube of 100 units a side, without colours."""
    corners = [(x, y, z) for x in (0, 100) for y in (0, 100) for z in (0, 100)]
    quads = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + [f"f {a} {b} {c} {d}" for a, b, c, d in quads]
    path = tmp_path / "cube.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_packaged_weights_and_object_are_found_well(capsys: pytest.CaptureFixture[str]) -> None:
    code, findings = ask(capsys, "--only", "python", "engine", "--set", "engine=fake")
    assert code == 0
    assert not by_level(findings, "ERROR")
    text = " ".join(by_level(findings, "OK"))
    assert "small.safetensors" in text
    assert "command rnnpose train" in text
    assert "tea_box: diameter 151 mm" in text


def test_a_mesh_in_millimetres_is_a_warning_with_the_scale_that_mends_it(
    capsys: pytest.CaptureFixture[str], cube: Path
) -> None:
    code, findings = ask(capsys, "--only", "engine", "--objects", str(cube), "--set", "engine=fake")
    warnings = " ".join(by_level(findings, "ERROR") + by_level(findings, "WARN"))
    assert "mesh_scale: 0.001" in warnings
    assert code == int(any(finding["level"] == "ERROR" for finding in findings))


def test_an_object_without_colours_is_a_warning(capsys: pytest.CaptureFixture[str], cube: Path) -> None:
    description = cube.with_name("object.yaml")
    description.write_text("label: cube\nmesh: cube.obj\nmesh_scale: 0.001\n")
    code, findings = ask(capsys, "--only", "engine", "--objects", str(description), "--set", "engine=fake")
    assert code == 0
    (warning,) = by_level(findings, "WARN")
    assert warning.startswith("cube: diameter 173 mm, 8 vertices, without colours")


def test_missing_objects_and_damaged_weights_are_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no weights")
    missing = tmp_path / "none.obj"
    code, findings = ask(capsys, "--only", "engine", "--objects", str(missing), "--weights", str(damaged))
    assert code == 1
    weights, objects = by_level(findings, "ERROR")
    assert "damaged.safetensors" in weights
    assert "none.obj" in objects
    assert not [finding for finding in findings if finding["section"] == "engine"], "nothing to compute with"


def test_weights_for_tracked_objects_are_looked_at_too(
    capsys: pytest.CaptureFixture[str], cube: Path, tmp_path: Path
) -> None:
    missing, description = tmp_path / "tiny.safetensors", cube.with_name("object.yaml")
    description.write_text("label: cube\nmesh: cube.obj\nmesh_scale: 0.001\n")
    arguments = ("--only", "engine", "--objects", str(description), "--set", f"tracking.weights={missing}")
    code, findings = ask(capsys, *arguments)
    assert code == 1
    (problem,) = by_level(findings, "ERROR")
    assert "no weights at" in problem
    assert "tiny.safetensors" in problem


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a module of this name and text before the real one, for processes that are started."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    return lambda name, text: (tmp_path / f"{name}.py").write_text(text)


def test_without_ros_the_doctor_says_what_works_all_the_same(capsys: pytest.CaptureFixture[str], shadow: Any) -> None:
    shadow("rclpy", "raise ModuleNotFoundError(\"No module named 'rclpy'\")")
    code, findings = ask(capsys, "--only", "ros", "transport")
    assert code == 0
    (warning,) = by_level(findings, "WARN")
    assert warning.startswith("no ROS 2 here")
    assert "source /opt/ros" in warning
    assert by_level(findings, "OK") == ["not measured: there is no ROS 2 here -> "]


def test_a_ros_that_does_not_work_is_an_error_in_its_own_words(capsys: pytest.CaptureFixture[str], shadow: Any) -> None:
    shadow("rclpy", "raise ImportError('librcl.so: cannot open shared object file')")
    code, findings = ask(capsys, "--only", "ros")
    assert code == 1
    (complaint,) = by_level(findings, "ERROR")
    assert "ImportError: librcl.so: cannot open shared object file" in complaint


@pytest.mark.ros
def test_messages_that_are_missing_are_named_with_what_brings_them(
    capsys: pytest.CaptureFixture[str], shadow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 on this machine")
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    shadow("vision_msgs", "")
    code, findings = ask(capsys, "--only", "ros")
    assert code == 1
    (complaint,) = by_level(findings, "ERROR")
    assert complaint.startswith("vision_msgs: ")
    assert complaint.endswith("-> sudo apt install ros-jazzy-vision-msgs")


def test_a_module_that_takes_the_interpreter_down_is_told_apart_from_a_missing_one(shadow: Any) -> None:
    shadow("cv_bridge", "import os; os.abort()")
    crashed, missing = try_import("cv_bridge"), try_import("no_such_module")
    assert not crashed.is_found
    assert not crashed.is_missing
    assert missing.is_missing
    assert try_import("json", "json.dumps([1])").text == "[1]"


def test_a_profile_variable_that_this_ros_does_not_read_is_a_warning(tmp_path: Path) -> None:
    profile = tmp_path / "profile.xml"
    profile.touch()
    named = {"FASTDDS_DEFAULT_PROFILES_FILE": str(profile)}
    (humble,) = check_profile({"ROS_DISTRO": "humble", **named})
    assert humble.level is Level.WARN
    assert humble.remedy == f"export FASTRTPS_DEFAULT_PROFILES_FILE={profile}"
    (kilted,) = check_profile({"ROS_DISTRO": "kilted", **named})
    assert kilted.level is Level.OK
    (gone,) = check_profile({"FASTDDS_DEFAULT_PROFILES_FILE": str(tmp_path / "gone.xml")})
    assert gone.level is Level.ERROR


def measured(*received: int) -> list[StreamResult]:
    return [StreamResult(s, sent=40, received=n, delay_ms=2.0) for s, n in zip(DEFAULT_STREAMS, received, strict=True)]


def test_lost_pictures_get_the_profile_as_remedy_only_where_it_helped() -> None:
    findings = list(judge(measured(40, 3, 38, 0), measured(40, 40, 40, 0), {"ROS_DISTRO": "jazzy"}))
    assert [finding.level.value for finding in findings[:4]] == ["OK", "WARN", "OK", "WARN"]
    assert "export FASTRTPS_DEFAULT_PROFILES_FILE=" in findings[1].remedy
    assert "fastdds_large_images.xml" in findings[1].remedy
    assert "compressed" in findings[3].remedy
    assert [finding.level.value for finding in findings[4:]] == ["OK", "OK", "OK", "WARN"]


def test_a_machine_without_torch_gets_a_diagnosis_not_a_traceback() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from rnnpose_ros.cli.main import main\n"
        "sys.exit(main(['doctor', '--only', 'python', 'engine']))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 1, answer.stderr
    assert "missing: torch" in answer.stdout
    assert "make setup" in answer.stdout
    assert "Traceback" not in answer.stderr


def test_what_is_printed_holds_the_remedy_on_a_line_of_its_own() -> None:
    text = as_lines(Finding("ROS 2", Level.WARN, "the text", "the remedy"))
    assert text.splitlines() == ["  WARN  the text", "        -> the remedy"]


@pytest.mark.parametrize("wrong", [["--size", "640"], ["--count", "0"], ["--size", "0x480"]])
def test_a_wrong_question_is_refused(capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert main(["doctor", "--only", "transport", *wrong]) == 2
    assert "rnnpose doctor: --" in capsys.readouterr().err


@pytest.mark.parametrize(("segments", "is_said"), [(40, False), (300, True)])
def test_shared_memory_that_killed_processes_left_is_found(tmp_path: Path, segments: int, *, is_said: bool) -> None:
    for number in range(segments):
        for name in (f"fastdds_{number:016x}", f"fastdds_{number:016x}_el"):
            (tmp_path / name).touch()
    found = list(left_over_segments(tmp_path))
    assert bool(found) is is_said
    if found:
        assert "300 segments" in found[0].text
        assert "fastdds shm clean" in found[0].remedy
