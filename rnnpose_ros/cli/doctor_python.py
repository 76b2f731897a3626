"""Which Python this is, and whether it has what the package needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator

from rnnpose_ros import __version__
from rnnpose_ros.cli.doctor_findings import Finding, error, ok, warn

SECTION = "python"
_SERVED = ((3, 10), (3, 13))
# What is imported, and the distributions that may bring it.
_NEEDED = {
    "torch": ("torch",),
    "warp": ("warp-lang",),
    "numpy": ("numpy",),
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv"),
    "PIL": ("pillow",),
    "scipy": ("scipy",),
    "trimesh": ("trimesh",),
    "safetensors": ("safetensors",),
    "jaxtyping": ("jaxtyping",),
    "yaml": ("PyYAML",),
    "rosbags": ("rosbags",),
}


def check_python() -> Iterator[Finding]:
    """Interpreter, required packages, GPU."""
    version = sys.version_info[:2]
    found = f"rnnpose_ros {__version__}, Python {platform.python_version()} ({sys.executable})"
    if _SERVED[0] <= version <= _SERVED[1]:
        yield ok(SECTION, found)
    else:
        served = " to ".join(".".join(map(str, end)) for end in _SERVED)
        yield warn(SECTION, found, f"tested with Python {served}: RNNPOSE_PYTHON=python3.12 make setup")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        packages = " ".join(_NEEDED[name][0] for name in missing)
        remedy = f"make setup, or: {sys.executable} -m pip install {packages}"
        yield error(SECTION, f"missing: {', '.join(missing)}", remedy)
    versions = [f"{name} {_version(name)}" for name in _NEEDED if name not in missing]
    if versions:
        yield ok(SECTION, ", ".join(versions))
    if "torch" not in missing:
        yield from _check_devices()


def _version(module: str) -> str:
    for distribution in _NEEDED[module]:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def _check_devices() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as problem:
        yield error(SECTION, f"torch cannot be imported: {problem}", "make clean setup")
        return
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield ok(SECTION, f"GPU cuda:{number}: {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    if torch.cuda.device_count():
        return
    cores = f"{len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} threads"
    driver = _nvidia_gpus()
    if not driver:
        yield ok(SECTION, f"no GPU: the processor computes ({cores})")
    elif torch.version.cuda is None:
        yield warn(SECTION, f"{driver} is here, but this torch is the CPU build", "CUDA=1 make setup")
    else:
        remedy = "update the driver (nvidia-smi shows the CUDA that it serves), or install a torch for that CUDA"
        yield warn(SECTION, f"{driver} is here, but torch for CUDA {torch.version.cuda} cannot use it", remedy)


def _nvidia_gpus() -> str:
    """Names of the GPUs that NVIDIA's driver sees; empty when there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20.0)
    except subprocess.TimeoutExpired:
        return ""
    return ", ".join(answer.stdout.split("\n")).strip(", ") if answer.returncode == 0 else ""
