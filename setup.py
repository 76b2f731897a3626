"""Installs the package for ament and pip; all it declares stands in setup.cfg.

Only the files that a ROS 2 installation looks for in share/rnnpose_ros are listed here, because a list in setup.cfg
cannot follow the folders below models/.
"""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "rnnpose_ros"
ROOT = Path(__file__).resolve().parent


def shared_files() -> list[tuple[str, list[str]]]:
    """Lists ``(folder below the prefix, files)`` of the index marker, package.xml, launch/, config/ and models/."""
    share = Path("share") / PACKAGE
    listed = [
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (str(share), ["package.xml"]),
    ]
    for top in ("launch", "config", "models"):
        for folder in sorted(path for path in (ROOT / top, *(ROOT / top).rglob("*")) if path.is_dir()):
            files = sorted(str(path.relative_to(ROOT)) for path in folder.iterdir() if _is_shared(path))
            if files:
                listed.append((str(share / folder.relative_to(ROOT)), files))
    return listed


def _is_shared(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")


setup(
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    # Not Python, yet read by Python: the message packages that the set-up builds.
    package_data={f"{PACKAGE}.bootstrap": ["messages/*.cmake", "messages/*/*", "messages/*/msg/*.msg"]},
    data_files=shared_files(),
    # From setup.cfg it would reach colcon as an object that it cannot read.
    python_requires=">=3.10",
    zip_safe=False,
)
