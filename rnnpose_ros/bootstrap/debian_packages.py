"""Takes what Debian and Ubuntu split off from Python, without installing it and so without root.

A bare python3 of theirs has neither pip for virtual environments (python3-venv) nor headers (python3-dev). Both lie in
ordinary packages that apt downloads for any user and that can be unpacked into a folder of ours.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def unpack(package: str, into: Path) -> bool:
    """Downloads a package and unpacks it below ``into``; returns whether that worked (apt may be absent or offline)."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return False
    downloads = into / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", package], cwd=downloads, capture_output=True, check=False)
    archives = sorted(downloads.glob(f"{package}_*.deb"))
    if fetched.returncode != 0 or not archives:
        return False
    unpacked = subprocess.run(["dpkg-deb", "-x", str(archives[-1]), str(into)], capture_output=True, check=False)
    return unpacked.returncode == 0


def unpack_headers(version: str, into: Path) -> Path | None:
    """Unpacks the headers of Python ``3.11``; returns the folder that holds python3.11/Python.h, or None."""
    folder = into / "usr" / "include"
    wanted = folder / f"python{version}" / "Python.h"
    if wanted.is_file() or (unpack(f"libpython{version}-dev", into) and wanted.is_file()):
        return folder
    return None


def unpack_pip(into: Path) -> Path | None:
    """Unpacks the wheel of pip that Debian keeps for virtual environments; returns its path, or None."""
    folder = into / "usr" / "share" / "python-wheels"
    if not list(folder.glob("pip-*.whl")) and not unpack("python3-pip-whl", into):
        return None
    wheels = sorted(folder.glob("pip-*.whl"))
    return wheels[-1] if wheels else None
