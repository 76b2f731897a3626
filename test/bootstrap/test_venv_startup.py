"""The first thing that every Python of our environment does: ROS works from any shell, also from other environments."""

from __future__ import annotations

import pytest

from rnnpose_ros.bootstrap.venv_startup import GUARD, prepare


@pytest.fixture
def environments(tmp_path):
    """Two virtual environments that hold the wheels."""
    folders = []
    for name in ("ours", "other"):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "pyvenv.cfg").touch()
        folders.append(str(tmp_path / name))
    return folders


def test_a_bare_shell_gets_the_prefix_and_leaves_the_libraries_to_the_wheels(environments):
    ours, _ = environments
    environ = {}
    prepare(environ, ours)
    assert environ == {"AMENT_PREFIX_PATH": ours}


def test_the_second_start_and_children_change_nothing(environments):
    ours, _ = environments
    environ = {"LD_LIBRARY_PATH": f"/x:{ours}/lib", GUARD: "1", "AMENT_PREFIX_PATH": f"/workspace:{ours}"}
    before = dict(environ)
    prepare(environ, ours)
    assert environ == before


def test_a_child_of_another_environment_drops_its_libraries_and_finds_its_own_again(environments):
    ours, other = environments
    environ = {"LD_LIBRARY_PATH": f"{other}/lib:/usr/local/lib", GUARD: "1", "AMENT_PREFIX_PATH": f"{other}:/workspace"}
    prepare(environ, ours)
    assert environ == {"LD_LIBRARY_PATH": "/usr/local/lib", "AMENT_PREFIX_PATH": f"{ours}:/workspace"}
