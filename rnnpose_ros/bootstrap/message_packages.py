"""Builds the message packages that have no wheel into the environment of the Python that runs this.

The wheels' rosidl makes them from the .msg files under ``messages/``, so they are what any ROS 2 machine has: the
type hashes below are the ones of the released packages, and nodes of other machines understand ours only by them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Names the folder that holds python3.N/Python.h where that is not the usual one.
HEADERS_VARIABLE = "RNNPOSE_PYTHON_HEADERS"

MESSAGES_DIR = Path(__file__).with_name("messages")

RELEASED_TYPE_HASHES = {
    "tf2_msgs/msg/TFMessage": "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    "vision_msgs/msg/Detection3DArray": "RIHS01_793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
}


def package_names() -> list[str]:
    """The packages that can be built, by their folders."""
    return sorted(folder.parent.name for folder in MESSAGES_DIR.glob("*/CMakeLists.txt"))


def source_digest_inputs() -> tuple[str, ...]:
    """Names and texts of everything a build reads, for a fingerprint."""
    files = sorted(path for path in MESSAGES_DIR.rglob("*") if path.is_file())
    return tuple(text for path in files for text in (path.relative_to(MESSAGES_DIR).as_posix(), path.read_text()))


def type_hash(prefix: Path, type_name: str) -> str:
    """Returns the RIHS01 hash of ``package/msg/Type`` as installed under an ament prefix."""
    description = json.loads((prefix / "share" / f"{type_name}.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    return str(hashes[type_name])


def build(package: str, prefix: Path, build_dir: Path, headers: Path | None) -> None:
    """Configures, compiles and installs one package into a prefix; raises CalledProcessError where that fails."""
    environ = {
        **os.environ,
        "AMENT_PREFIX_PATH": str(prefix),
        "PATH": os.pathsep.join([str(prefix / "bin"), os.environ.get("PATH", os.defpath)]),
    }
    configure = [
        "cmake", "-G", "Ninja", "-S", str(MESSAGES_DIR / package), "-B", str(build_dir),
        f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=",
        f"-DPython3_EXECUTABLE={prefix / 'bin' / 'python'}", "-DPython3_FIND_VIRTUALENV=ONLY", "-Wno-dev",
    ]  # fmt: skip
    if headers is not None:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        configure.append(f"-DPython3_INCLUDE_DIR={headers / version}")
        environ["CPATH"] = os.pathsep.join([str(headers), str(headers / version)])
    subprocess.run(configure, env=environ, check=True)
    subprocess.run(["ninja", "-C", str(build_dir), "install"], env=environ, check=True)


def main(argv: list[str] | None = None) -> int:
    """Builds every package and compares the type hashes; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=Path, required=True)
    arguments = parser.parse_args(argv)
    prefix = Path(sys.prefix)
    headers = Path(os.environ[HEADERS_VARIABLE]) if HEADERS_VARIABLE in os.environ else None

    def build_one(package: str) -> None:
        build(package, prefix, arguments.build_dir / package, headers)

    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(build_one, package_names()))
    for type_name, released in RELEASED_TYPE_HASHES.items():
        built = type_hash(prefix, type_name)
        if built != released:
            print(f"error: {type_name} has type hash {built}, the released one is {released}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
