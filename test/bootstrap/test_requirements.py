"""The pins come from setup.cfg, in pip's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnnpose_ros.bootstrap.requirements import Requirements, package_name, pinned_version

SETUP_CFG = Path(__file__).resolve().parents[2] / "setup.cfg"


@pytest.mark.parametrize(
    ("line", "name"),
    [("PyYAML==6.0.3", "pyyaml"), ("ros_rclpy[fastrtps]==9", "ros-rclpy"), ('numpy==1; python_version < "3"', "numpy")],
)
def test_a_requirement_gives_its_normalised_name(line, name):
    assert package_name(line) == name


def test_something_that_is_no_requirement_is_refused():
    with pytest.raises(ValueError, match="expected a requirement"):
        package_name("; python_version")


def test_torch_is_pinned_and_an_unknown_package_is_said_to_be_missing():
    requirements = Requirements.read(SETUP_CFG)
    assert pinned_version(requirements.runtime, "torch").count(".") == 2
    with pytest.raises(KeyError, match="nonsense is not pinned"):
        pinned_version(requirements.runtime, "nonsense")


def test_a_ros_compiled_for_numpy_1_gets_one_pin_of_numpy_and_it_is_of_version_1():
    requirements = Requirements.read(SETUP_CFG)
    pins = requirements.runtime_for(1)
    assert [line for line in pins if package_name(line) == "numpy"] == [requirements.extras["numpy1"][0]]
    assert pinned_version(pins, "numpy").startswith("1.")
    assert {package_name(line) for line in pins} == {package_name(line) for line in requirements.runtime}
