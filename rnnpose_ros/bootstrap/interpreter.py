"""Finds the Python that the virtual environment is made from."""

import os
import shutil
import subprocess

from rnnpose_ros.bootstrap.problems import MachineError

OLDEST = (3, 10)
NEWEST = (3, 13)  # the ROS 2 wheels exist up to here; a sourced ROS 2 brings its own Python and has no such bound


def version_of(python: str) -> tuple:
    """Returns ``(major, minor)`` of an interpreter, ``(0, 0)`` where it does not run."""
    command = [python, "-S", "-c", "import sys; print(sys.version_info[0], sys.version_info[1])"]
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    major, minor = answer.stdout.split()
    return (int(major), int(minor))


def base_of(python: str) -> str:
    """Returns the interpreter behind ``python``, which may belong to a virtual environment or be a shim."""
    command = [python, "-c", "import sys; print(getattr(sys, '_base_executable', sys.executable))"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return answer.stdout.decode().strip() or python


def find_python(environ: dict) -> str:
    """Returns the path of the Python to use: RNNPOSE_PYTHON, else python3 if it fits, else the newest that fits.

    Raises:
        MachineError: no Python from 3.10 to 3.13 is there.
    """
    wanted = environ.get("RNNPOSE_PYTHON")
    names = [wanted] if wanted else ["python3", *(f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1))]
    seen = []
    for name in names:
        path = shutil.which(name, path=environ.get("PATH", os.defpath))
        if path is None:
            continue
        version = version_of(path)
        if OLDEST <= version <= NEWEST:
            return path
        seen.append(f"{name} is {version[0]}.{version[1]}")
    there = ", ".join(seen) or f"{names[0]} is not there"
    raise MachineError(
        f"Python 3.10 to 3.13 is needed ({there}): install one, for example `sudo apt install python3.11 "
        "python3.11-venv python3.11-dev`, or name one in RNNPOSE_PYTHON"
    )
