"""The folder of a training run: states to resume from, and the weights to use."""

from __future__ import annotations

import io
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, Network, save_checkpoint
from rnnpose_ros.errors import CheckpointError
from rnnpose_ros.files import make_folder, write_whole

_LOGGER = logging.getLogger(__name__)
_FORMAT = 2
_UNREADABLE = (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile)


class RunFolder:
    """``last.pt`` and ``previous.pt`` to resume from, ``weights.safetensors`` to use.

    Each is written whole or not at all. Constructing it touches nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last, self._previous = path / "last.pt", path / "previous.pt"

    def save(self, state: dict[str, Any], network: Network, info: CheckpointInfo) -> None:
        """Makes ``last.pt`` of a state (tensors and plain types), and the weights.

        Raises:
            OutputError: The disk is full or the folder is not ours; what was there before stays.
        """
        content = io.BytesIO()
        torch.save({"format": _FORMAT, **state}, content)
        new = self.path / "new.pt"
        make_folder(self.path)
        write_whole(new, content.getvalue())
        if self._last.exists():
            self._last.replace(self._previous)
        new.replace(self._last)
        save_checkpoint(self.path / "weights.safetensors", network, info)

    def load(self) -> dict[str, Any] | None:
        """The newest state that can be read; None in a new folder. Damaged files are set aside, aloud.

        Raises:
            CheckpointError: There are states, and none of them can be used.
        """
        damaged = []
        for path in (self._last, self._previous):
            if not path.exists():
                continue
            try:
                return _read(path)
            except _UNREADABLE as error:
                aside = path.with_suffix(".damaged")
                path.replace(aside)
                damaged.append(aside.name)
                _LOGGER.warning(
                    "%s is damaged (%s) and now called %s; trying the one before it",
                    path, str(error).split("\n")[0], aside.name,
                )  # fmt: skip
        if damaged:
            raise CheckpointError(
                f"{self.path} holds a run whose states cannot be read ({', '.join(damaged)}); bring back a copy of "
                "last.pt, or run the command again to start anew"
            )
        return None


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        torn = file.testzip()  # torch.load itself compares no checksums
    if torn is not None:
        raise EOFError(f"checksum of {torn} is wrong")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} was written by another version of the trainer; finish it with that one, or name another folder"
        )
    return state
