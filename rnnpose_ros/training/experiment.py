"""What a training run is made of, whatever is trained."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from dataclasses import dataclass
from typing import Any

from rnnpose_ros import __version__
from rnnpose_ros.config import flatten, param
from rnnpose_ros.data.synthetic.randomization import SceneConfig
from rnnpose_ros.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the run at one crop size."""

    until: float
    """Share of the budget at which it ends."""
    size: int
    """Side of the crop, pixels."""
    margin: float
    batch: int
    """Samples per stream and step."""
    iterations: int = 4


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings of the loop; a recipe's settings extend them."""

    minutes: float = param(120.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))
    steps: int = param(0, doc="Budget in optimiser steps; where it is not 0, minutes do not count", bounds=(0, 10**9))
    streams: int = param(2, doc="Streams of samples, each a batch a step; processes share them", bounds=(1, 4096))
    stages: str = param(
        "0.6:160:1.35:4:4, 1.0:240:1.25:2:4",
        doc="Parts of the run: share of the budget : crop px : margin : batch per stream : iterations",
    )
    clip_norm: float = param(1.0, doc="Gradients are scaled down to this norm", bounds=(1e-3, 1e3))
    average_decay: float = param(0.998, doc="Of the weights' exponential average", bounds=(0.0, 0.99999))
    seed: int = param(1, doc="Of weights and samples", bounds=(0, 2**31))
    log_seconds: float = param(15.0, doc="Between two log lines", unit="s", bounds=(0.0, 3600.0))
    save_seconds: float = param(60.0, doc="Between two checkpoints", unit="s", bounds=(0.0, 120.0))
    scenes: SceneConfig = SceneConfig()

    def stage_at(self, share: float) -> Stage:
        """The stage that a share of the budget falls into."""
        stages = parse_stages(self.stages)
        return next((s for s in stages if share < s.until), stages[-1])

    def share(self, *, step: int, seconds: float) -> float:
        """How much of the budget is used, 0..1 and beyond."""
        return step / self.steps if self.steps else seconds / (60.0 * self.minutes)

    def provenance(self) -> dict[str, Any]:
        """What a checkpoint says of its making."""
        return {
            "command": shlex.join(_without_folder(["rnnpose", *sys.argv[1:]])),
            "version": __version__,
            "machine": f"{platform.machine()}, {platform.system()}",
            "settings": json.dumps({k: v for k, v in flatten(self).items() if not k.startswith("network.")}),
        }


def _without_folder(command: list[str]) -> list[str]:
    """The command line without the run's folder, which means nothing elsewhere."""
    at = command.index("--out") if "--out" in command else len(command)
    return command[:at] + command[at + 2 :]


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Stages from their one-line form.

    Raises:
        ConfigError: The text is not of that form, or the shares do not rise to 1.
    """
    stages = []
    for part in text.split(","):
        numbers = part.strip().split(":")
        try:
            until, size, margin, batch, iterations = numbers
            stages.append(Stage(float(until), int(size), float(margin), int(batch), int(iterations)))
        except ValueError:
            raise ConfigError(f"stages: expected share:px:margin:batch:iterations, got {part.strip()!r}") from None
    shares = [s.until for s in stages]
    if shares != sorted(shares) or shares[-1] != 1.0:
        raise ConfigError(f"stages: the shares must rise to 1.0, got {shares}")
    return tuple(stages)
