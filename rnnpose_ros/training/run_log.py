"""What a run tells while it trains: a line for people, ``log.jsonl`` for plots, TensorBoard where it is installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpose_ros.files import make_folder, write_whole

_LOGGER = logging.getLogger(__name__)
_TOLD = ("loss", "epe_cells", "pose", "sigma")
"""In the line for people, where a recipe measures it."""


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0
    """Over all processes."""
    skipped: int = 0
    """Batches left out because their losses or gradients were not finite."""


class RunLog:
    """Means of what was measured since the line before.

    Args:
        directory: Of the run.
        show: Takes the line for people.
    """

    def __init__(self, directory: Path, show: Callable[[str], None] = _LOGGER.info) -> None:
        self._path = directory / "log.jsonl"
        self._show = show
        self._sums: dict[str, float] = {}
        self._count = 0
        self._skipped = 0
        self._board: Any = None

    def open(self, progress: Progress) -> None:
        """Starts writing; lines beyond the resumed step, whose work was lost, are dropped.

        Raises:
            OutputError: The folder cannot be written to.
        """
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        kept = [line for line in lines if _step_of(line) <= progress.step]
        make_folder(self._path.parent)
        write_whole(self._path, "".join(f"{line}\n" for line in kept))
        self._skipped = progress.skipped
        self._board = _open_board(self._path.parent / "tensorboard", progress.step)

    def close(self) -> None:
        """Ends the TensorBoard files."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def note(self, parts: Mapping[str, float]) -> None:
        """Takes in one step; nothing of a step without figures."""
        for name, value in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += bool(parts)

    def write(self, progress: Progress, *, share: float, seconds_left: float, facts: Mapping[str, float]) -> None:
        """One line everywhere, where anything was noted. A disk that takes no more is said and survived.

        Args:
            progress: Of the run.
            share: Of the budget, 0..1.
            seconds_left: Until the budget is spent.
            facts: Measured now, not averaged.
        """
        self._tell_skipped(progress)
        if not self._count:
            return
        mean = {name: total / self._count for name, total in self._sums.items()} | dict(facts)
        self._sums, self._count = {}, 0
        minutes = round(progress.seconds / 60, 2)
        line = {
            "step": progress.step,
            "minutes": minutes,
            "samples": progress.samples,
            "skipped": progress.skipped,
            "share": share,
            **mean,
        }
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            if self._board is not None:
                for name, value in mean.items():
                    self._board.add_scalar(name, value, progress.step)
        except OSError as error:
            _LOGGER.warning("the log cannot be written (%s); training goes on", error)
        self._tell(progress, mean, share, seconds_left)

    def _tell(self, progress: Progress, mean: Mapping[str, float], share: float, seconds_left: float) -> None:
        rate = progress.samples / max(progress.seconds, 1e-9)
        figures = "  ".join(
            f"{name} {mean[name]:.3f}" for name in ("loss", "epe_cells", "pose", "sigma") if name in mean
        )
        self._show(
            f"{100 * min(share, 1.0):5.1f}%  step {progress.step}  {rate:.1f} samples/s  {figures}  "
            f"{_duration(seconds_left)} left"
        )

    def _tell_skipped(self, progress: Progress) -> None:
        if progress.skipped > self._skipped:
            _LOGGER.warning(
                "%d batches without finite losses and gradients were left out since the last line, %d in all",
                progress.skipped - self._skipped,
                progress.skipped,
            )
            self._skipped = progress.skipped


def _open_board(directory: Path, step: int) -> Any:
    """A TensorBoard writer; None, said once, where the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _LOGGER.info("TensorBoard is not installed (pip install 'rnnpose_ros[train]'); log.jsonl has the curves")
        return None
    return SummaryWriter(str(directory), purge_step=step + 1)


def _step_of(line: str) -> int:
    """The step of a log line; a torn line counts as beyond any."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
