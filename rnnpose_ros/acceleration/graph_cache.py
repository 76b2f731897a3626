"""Compiled graphs on disk, so that the second start of a program need not compile."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

import rnnpose_ros
from rnnpose_ros.errors import OutputError
from rnnpose_ros.files import keep_newest, make_folder, write_whole

logger = logging.getLogger(__name__)

_MOST_FILES = 64


class GraphCache:
    """Files named by a hash of all that a graph depends on: another graph never has the name of this one.

    Args:
        folder: Made when something is written. Where that fails, nothing is kept, and the log says so.
        network: Whose weights and layout are compiled.
    """

    def __init__(self, folder: Path, network: nn.Module) -> None:
        self._folder = folder
        self._about_network = _fingerprint(network)

    def read(self, facts: Sequence[Any]) -> bytes | None:
        """What was written under these facts, if it still is there."""
        try:
            return self._path(facts).read_bytes()
        except OSError:
            return None

    def write(self, facts: Sequence[Any], content: bytes) -> None:
        """Keeps it; the files unused for longest go when there are many."""
        try:
            make_folder(self._folder)
            write_whole(self._path(facts), content)
        except OutputError as error:
            logger.warning("compiled graphs are not kept, the next start compiles them again: %s", error)
            return
        keep_newest(self._folder, "*.graph", count=_MOST_FILES)

    def _path(self, facts: Sequence[Any]) -> Path:
        name = hashlib.sha256(repr((self._about_network, _about_code(), *facts)).encode()).hexdigest()
        return self._folder / f"{name[:32]}.graph"


def _fingerprint(network: nn.Module) -> str:
    """Of its weights and configuration."""
    found = hashlib.sha256(repr(getattr(network, "config", None)).encode())
    for name, tensor in network.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


@cache
def _about_code() -> str:
    """Of everything that a graph is made from."""
    package = Path(rnnpose_ros.__file__).parent
    found = hashlib.sha256()
    for path in sorted((*package.glob("networks/*.py"), *package.glob("acceleration/*.py"))):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
