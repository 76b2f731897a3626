"""What ament, pip and rosdep read about the package agrees with itself."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import rnnpose_ros

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def package_xml() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def test_the_version_is_the_same_everywhere(setup_cfg, package_xml):
    newest = re.search(r"^(\d+\.\d+\.\d+) \(", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)
    assert newest is not None
    versions = {
        "setup.cfg": setup_cfg["metadata"]["version"],
        "package.xml": package_xml.findtext("version"),
        "__init__.py": rnnpose_ros.__version__,
        "CHANGELOG.rst": newest.group(1),
    }
    assert len(set(versions.values())) == 1, versions


def test_name_licence_and_maintainer_are_the_same_for_ament_and_pip(setup_cfg, package_xml):
    maintainer = package_xml.find("maintainer")
    assert maintainer is not None
    assert package_xml.findtext("name") == setup_cfg["metadata"]["name"] == rnnpose_ros.__name__
    assert package_xml.findtext("license") == setup_cfg["metadata"]["license"] == "Apache-2.0"
    assert maintainer.text == setup_cfg["metadata"]["maintainer"]
    assert maintainer.get("email") == setup_cfg["metadata"]["maintainer_email"]
    assert re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", setup_cfg["metadata"]["maintainer_email"])


def test_every_dependency_is_pinned_to_one_version_on_each_python(setup_cfg):
    lists = [setup_cfg["options"]["install_requires"], *setup_cfg["options.extras_require"].values()]
    lines = [line for text in lists for line in text.split("\n") if line]
    assert [line for line in lines if not re.search(r"^[\w.-]+(\[\w+\])?==[\w.]+($|; )", line)] == []


def test_every_command_points_at_a_module_of_the_package(setup_cfg):
    commands = setup_cfg["options.entry_points"]["console_scripts"].split("\n")
    modules = [re.split(r" = |:", line)[1] for line in commands if line]
    assert [name for name in modules if not (ROOT / name.replace(".", "/")).with_suffix(".py").is_file()] == []


def test_the_share_folder_gets_marker_package_xml_launch_config_and_models():
    code = (
        "import setuptools, runpy; setuptools.setup = lambda **options: print(options['data_files']); "
        "runpy.run_path('setup.py')"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    files = {name for _, names in ast.literal_eval(answer.stdout) for name in names}
    expected = {"resource/rnnpose_ros", "package.xml"}
    for top in ("launch", "config", "models"):
        expected |= {str(path.relative_to(ROOT)) for path in (ROOT / top).rglob("*.*") if shared(path)}
    assert expected <= files
    assert "config/fastdds_large_images.xml" in files


def shared(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")


def test_the_dds_profile_offers_a_64_mb_segment_and_udp():
    names = {"p": "http://www.eprosima.com"}
    profiles = ElementTree.parse(ROOT / "config" / "fastdds_large_images.xml").getroot()
    transports = {
        entry.findtext("p:type", namespaces=names): entry
        for entry in profiles.iterfind(".//p:transport_descriptor", names)
    }
    assert set(transports) == {"SHM", "UDPv4"}
    assert int(transports["SHM"].findtext("p:segment_size", namespaces=names) or 0) == 64 * 1024 * 1024
