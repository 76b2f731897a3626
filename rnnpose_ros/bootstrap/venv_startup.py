"""What every Python of our environment does first, so that the ROS 2 wheels in it work from any shell.

The set-up copies this file into site-packages beside a ``.pth`` that imports it. Its name sorts before that of the
wheels' own start-up file, which runs the interpreter once again with LD_LIBRARY_PATH set and leaves
``_ROS_WHEELS_BOOTSTRAP_COMPLETE`` behind, so that its children need not do the same. Two things are mended here:

- AMENT_PREFIX_PATH names this environment, without which no package share directory is found.
- A Python started by the Python of another such environment inherits that mark together with the other's libraries,
  and would load the wrong rcl. Here both are taken away, and the wheels' start-up sets its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"


def prepare(environ: MutableMapping[str, str], prefix: str) -> None:
    """Changes ``environ`` in place for a Python whose environment is ``prefix``."""
    own_library_folder = os.path.join(prefix, "lib")
    libraries = _entries(environ, "LD_LIBRARY_PATH")
    if own_library_folder not in libraries:
        environ.pop(GUARD, None)
        libraries = [entry for entry in libraries if not _is_in_other_environment(entry, prefix)]
        _set(environ, "LD_LIBRARY_PATH", libraries)
    prefixes = [
        entry for entry in _entries(environ, "AMENT_PREFIX_PATH") if not _is_in_other_environment(entry, prefix)
    ]
    if prefix not in prefixes:
        prefixes.insert(0, prefix)
    _set(environ, "AMENT_PREFIX_PATH", prefixes)


def _entries(environ: MutableMapping[str, str], name: str) -> list[str]:
    return [entry for entry in environ.get(name, "").split(os.pathsep) if entry]


def _set(environ: MutableMapping[str, str], name: str, entries: list[str]) -> None:
    if entries:
        environ[name] = os.pathsep.join(entries)
    else:
        environ.pop(name, None)


def _is_in_other_environment(path: str, prefix: str) -> bool:
    """Whether a folder lies in a virtual environment that is not ours."""
    folder = os.path.abspath(path)
    while True:
        if os.path.isfile(os.path.join(folder, "pyvenv.cfg")):
            return os.path.realpath(folder) != os.path.realpath(prefix)
        parent = os.path.dirname(folder)
        if parent == folder:
            return False
        folder = parent


if __name__ != "__main__" and "site-packages" in __file__:
    prepare(os.environ, sys.prefix)
