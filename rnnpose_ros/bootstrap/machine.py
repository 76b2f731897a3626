"""Looks at the machine before anything is downloaded: what is missing is said at once, with the remedy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from rnnpose_ros.bootstrap.problems import MachineError

GIB = 1024**3


def check_disk(folder: Path, needed_gib: int) -> None:
    """Raises MachineError where the disk of a folder has less than so many GiB free."""
    free_gib = shutil.disk_usage(folder).free / GIB
    if free_gib < needed_gib:
        raise MachineError(
            f"{needed_gib} GB of free disk space are needed, {folder} has {free_gib:.1f} GB: free some space, or "
            "clone onto another disk"
        )


def check_compiler(environ: dict[str, str]) -> None:
    """Raises MachineError where no C or no C++ compiler is found."""
    for variable, names, language in (("CC", ("cc", "gcc", "clang"), "C"), ("CXX", ("c++", "g++", "clang++"), "C++")):
        wanted = (environ[variable].split()[0],) if environ.get(variable, "").strip() else names
        if not any(shutil.which(name, path=environ.get("PATH", os.defpath)) for name in wanted):
            raise MachineError(f"no {language} compiler is found ({' or '.join(wanted)}): `sudo apt install g++`")


def check_wheels_fit() -> None:
    """Raises MachineError on a processor or system for which there are no ROS 2 wheels."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise MachineError(
            f"ROS 2 wheels exist for 64-bit x86 Linux only and this is {platform.system()} {platform.machine()}: "
            "install ROS 2, source its setup.bash and run `make setup` again"
        )


def ask(python: str, code: str, environ: dict[str, str]) -> str | None:
    """Returns what a line of Python prints in an interpreter, or None where it fails."""
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environ, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def has_ensurepip(python: str, environ: dict[str, str]) -> bool:
    """Whether `python -m venv` can put pip into an environment; Debian keeps that in a package of its own."""
    return ask(python, "import venv, ensurepip", environ) is not None


def has_headers(python: str, environ: dict[str, str]) -> bool:
    """Whether Python.h is there; Debian keeps it in a package of its own."""
    folder = ask(python, "import sysconfig; print(sysconfig.get_paths()['include'])", environ)
    return folder is not None and Path(folder, "Python.h").is_file()
