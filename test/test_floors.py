"""The floors of the house: a module imports its own folder or a lower floor, and each third party lives in one place.

Imports inside functions count like the others.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "rnnpose_ros"
ROOT = Path(__file__).resolve().parents[1]

# Lower floors first; within one entry of a floor everything may import everything, between entries nothing.
FLOORS: list[list[set[str]]] = [
    [{"__init__", "types", "errors", "config", "paths", "stages", "files"}],
    [{"geometry"}],
    [{"objects"}, {"rendering"}, {"networks"}],
    [{"refinement", "acceleration", "tracking", "checkpoints", "sources"}],
    [{"data"}],
    [{"evaluation"}],
    [{"training"}],
    [{"ros"}],
    [{"cli"}],
]
WORKSHOP = {"data", "evaluation", "training"}
BOOTSTRAP = "bootstrap"  # runs before anything is installed: the standard library and itself, nothing else

# A third party and the one place (or the few) that may import it.
ONE_PLACE: dict[str, str | tuple[str, ...]] = {
    "cv_bridge": "ros/",
    "launch": "ros/",
    "launch_ros": "ros/",
    "matplotlib": "evaluation/",
    "message_filters": "ros/",
    "mitsuba": "data/path_traced/mitsuba_tracer.py",
    "openvino": "acceleration/openvino_engine.py",
    "pytorch3d": "rendering/pytorch3d_renderer.py",
    "apsw": "ros/bags/",
    "rclpy": "ros/",
    "tensorboard": "training/run_log.py",
    "rosbags": "ros/bags/",
    "tf2_ros": "ros/",
    "fast_simplification": "objects/decimation.py",
    "trimesh": "objects/",
    "warp": (
        "rendering/warp_kernels.py",
        "acceleration/alignment_kernel.py",
        "acceleration/lookup_kernel.py",
        "acceleration/solver_kernel.py",
    ),
}
ROS_INTERFACES = ("_msgs", "_srvs", "_interfaces")


def room_of(parts: tuple[str, ...]) -> str:
    """Returns the folder, or the ground file, that a module path below the package belongs to."""
    return parts[0].removesuffix(".py") if parts else "__init__"


def imported_modules(path: Path, package_dir: Path) -> Iterator[tuple[int, str]]:
    """Yields line and dotted name of every import of a file, those inside functions too, relative ones resolved."""
    own_package = [package_dir.name, *path.relative_to(package_dir).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = own_package[: len(own_package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from rnnpose_ros import config` names a module in the list, not before it.
            if module == package_dir.name:
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def place_of(room: str) -> tuple[int, int]:
    """Returns floor and entry of a room."""
    for floor, entries in enumerate(FLOORS):
        for entry, rooms in enumerate(entries):
            if room in rooms:
                return floor, entry
    raise KeyError(room)


def complaint(importer: str, relative: str, module: str, package_dir: Path) -> str | None:
    """Returns why a room may not import a module, None where it may."""
    top, *below = module.split(".")
    if top != package_dir.name:
        if importer == BOOTSTRAP:
            return None if top in sys.stdlib_module_names else f"bootstrap/ has the standard library only, not {top}"
        allowed = "ros/" if top.endswith(ROS_INTERFACES) else ONE_PLACE.get(top)
        places = (allowed,) if isinstance(allowed, str) else allowed
        return (
            None if places is None or relative.startswith(places) else f"{top} belongs in {' and '.join(places)} alone"
        )
    is_attribute = below and not ((package_dir / below[0]).is_dir() or (package_dir / f"{below[0]}.py").is_file())
    target = "__init__" if is_attribute else room_of(tuple(below))
    if BOOTSTRAP in (importer, target):
        return None if importer in (target, "cli") else f"{importer} and {target} have nothing to do with each other"
    if importer == "ros" and target in WORKSHOP:
        return f"ros/ imports the workshop ({target}/): a robot needs no training dependency"
    (floor, entry), (target_floor, target_entry) = place_of(importer), place_of(target)
    if target_floor > floor:
        return f"{importer} imports {target}, which lies above it"
    if target_floor == floor and target_entry != entry:
        return f"{importer} imports its sibling {target}"
    return None


def violations(package_dir: Path) -> list[str]:
    """Lists every import of a package that breaks a rule, as ``file:line: reason``."""
    found = []
    for path in sorted(package_dir.rglob("*.py")):
        relative = path.relative_to(package_dir)
        room = room_of(relative.parts)
        if room != BOOTSTRAP and not any(room in rooms for entries in FLOORS for rooms in entries):
            found.append(f"{package_dir.name}/{relative}:1: {room} has no floor; give it one in FLOORS")
            continue
        for line, module in imported_modules(path, package_dir):
            reason = complaint(room, relative.as_posix(), module, package_dir)
            if reason:
                found.append(f"{package_dir.name}/{relative}:{line}: {reason}")
    return found


def test_every_module_imports_its_own_folder_or_a_lower_floor():
    assert not violations(ROOT / PACKAGE), "\n" + "\n".join(violations(ROOT / PACKAGE))


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("geometry/crop.py", "import numpy\nfrom rnnpose_ros.refinement import refiner\n", "lies above it"),
        ("types.py", "import numpy\nfrom rnnpose_ros import geometry\n", "lies above it"),
        ("rendering/shading.py", "import numpy\nfrom rnnpose_ros.objects.library import load\n", "sibling objects"),
        ("ros/player_node.py", "def f():\n    from rnnpose_ros.data import synthetic\n", "workshop"),
        ("ros/refiner_node.py", "import rclpy\nfrom ..training import trainer\n", "workshop"),
        ("sources/recorded.py", "import numpy\nfrom vision_msgs.msg import Detection3D\n", "belongs in ros/ alone"),
        ("rendering/shading.py", "def f():\n    import warp as wp\n", "belongs in rendering/warp_kernels.py"),
        ("bootstrap/plan.py", "import os\nimport yaml\n", "standard library only"),
        ("bootstrap/plan.py", "import os\nfrom rnnpose_ros.errors import RnnposeError\n", "nothing to do with"),
        ("helpers/x.py", "", "has no floor"),
    ],
)
def test_a_planted_violation_is_found_with_its_file_and_line(tmp_path, file, text, reason):
    package_dir = tmp_path / PACKAGE
    for folder in ("geometry", "refinement", "objects", "rendering", "data", "training", "ros", "sources", "bootstrap"):
        (package_dir / folder).mkdir(parents=True)
    (package_dir / "errors.py").touch()
    planted = package_dir / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(text)
    (found,) = violations(package_dir)
    assert found.startswith(f"{PACKAGE}/{file}:{2 if text else 1}: ")
    assert reason in found


def test_imports_that_keep_the_rules_are_let_through(tmp_path):
    package_dir = tmp_path / PACKAGE
    for folder in ("geometry", "refinement", "ros", "cli", "training"):
        (package_dir / folder).mkdir(parents=True)
    (package_dir / "refinement" / "refiner.py").write_text("from rnnpose_ros import __version__, geometry\n")
    (package_dir / "ros" / "node.py").write_text("import rclpy\nfrom rnnpose_ros.refinement import refiner\n")
    (package_dir / "cli" / "main.py").write_text("from rnnpose_ros.training import t\nfrom rnnpose_ros.ros import n\n")
    assert violations(package_dir) == []


def test_importing_the_package_loads_nothing_heavy():
    code = f"import {PACKAGE}, sys; print(*{{'torch', 'numpy', 'cv2', 'rclpy'}} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
