"""The training loop: any recipe, one render cycle a sample, several processes, exactly resumable."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rnnpose_ros.config import flatten
from rnnpose_ros.errors import ConfigError, OutputError
from rnnpose_ros.objects.point_pyramid import fingerprint
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import Stage, parse_stages
from rnnpose_ros.training.optimizer import ExponentialAverage
from rnnpose_ros.training.processes import Processes
from rnnpose_ros.training.recipe import Recipe
from rnnpose_ros.training.run_folder import RunFolder
from rnnpose_ros.training.run_log import Progress, RunLog
from rnnpose_ros.training.streams import SampleStream
from rnnpose_ros.types import ObjectModel

_LOGGER = logging.getLogger(__name__)
_FREE_SETTINGS = ("minutes", "steps", "log_seconds", "save_seconds")
"""What may be another when a run goes on."""
_MOST_LOST_STEPS = 50
"""In a row, before a run is given up."""


class Trainer:
    """Trains a network on synthetic scenes.

    Samples come in a fixed number of streams, shared by the processes of the default group where there is one
    (``torchrun``); a step's gradient is the mean over all streams, so the number of processes changes nothing
    but the time. The schedule follows the share of the budget that is used, so a run of any length ends
    annealed. A run that is killed goes on from its last checkpoint; given a budget in steps, on a CPU, it ends
    with the same weights, bit for bit, as one that never stopped.

    Args:
        recipe: What is trained.
        renderer: On the training device.
        directory: Where checkpoints, the log and the weights go.
        objects: To train on; without, random ones.
        show: Takes a line of progress now and then.

    Raises:
        ConfigError: The settings contradict each other or the number of processes.
    """

    def __init__(
        self,
        recipe: Recipe,
        renderer: Renderer,
        directory: Path,
        *,
        objects: Sequence[ObjectModel] = (),
        show: Callable[[str], None] = _LOGGER.info,
    ) -> None:
        self.recipe = recipe
        self.config = recipe.config
        self.network = recipe.network
        self.objects = tuple(objects)
        self.device = renderer.device
        parse_stages(self.config.stages)
        self.processes = Processes()
        own = self.processes.shared(self.config.streams)
        self.streams = [SampleStream(self.config, renderer, objects=self.objects, index=i) for i in own]
        self.optimizer = recipe.make_optimizer()
        self.average = ExponentialAverage(self.network, decay=self.config.average_decay)
        self.progress = Progress()
        self.folder = RunFolder(directory)
        self.log = RunLog(directory, show)
        self._settings = _lasting_settings(recipe, self.objects)
        self._stop = False
        self._lost_steps = 0

    def run(self) -> bool:
        """Trains until the budget is spent or :meth:`stop`; goes on where the folder's run was left.

        Returns:
            True where the budget is spent.

        Raises:
            OutputError: The folder cannot be written to, at the start or at the end.
            CheckpointError: The folder's run cannot be read.
            ConfigError: The folder's run had other settings, or training diverges.
        """
        self._resume()
        if self.processes.is_first:
            self.log.open(self.progress)
        if self.progress.step == 0:
            self.save()
        saved_step = self.progress.step
        before, started = self.progress.seconds, time.monotonic()
        saved = logged = started
        while True:
            now = time.monotonic()
            self.progress.seconds = before + now - started
            share, stop, must_save = self.processes.agree(
                [self._share(), float(self._stop), float(now - saved >= self.config.save_seconds)]
            )
            if share >= 1.0 or stop:
                break
            if must_save and self.progress.step != saved_step:
                self._try_to_save()
                saved, saved_step = time.monotonic(), self.progress.step
            if now - logged >= self.config.log_seconds:
                self._write_log(share)
                logged = now
            self.log.note(self.train_step(share, self.config.stage_at(share)))
        self._write_log(share)
        if self.progress.step != saved_step:
            self.save()
        self.log.close()
        return share >= 1.0

    def stop(self) -> None:
        """Lets :meth:`run` save and return after the step it is at; signal handlers and threads may call it."""
        self._stop = True

    def train_step(self, share: float, stage: Stage) -> dict[str, float]:
        """One batch of every stream, one step of the optimiser; means over the batches.

        Raises:
            ConfigError: No step was possible for long.
        """
        self.recipe.schedule(self.optimizer, share)
        self.optimizer.zero_grad(set_to_none=True)
        parts: dict[str, float] = {}
        finite = 0
        for stream in self.streams:
            losses = self.recipe.losses(
                stream.batch(stage), iterations=stage.iterations, step=self.progress.step, random=stream.random
            )
            counts = bool(torch.isfinite(losses.total))
            if counts:
                losses.total.backward()
            finite += counts
            parts = {name: parts.get(name, 0.0) + (value if counts else 0.0) for name, value in losses.parts.items()}
        parts, finite = self._mean_over_streams(parts, finite)
        norm = torch.nn.utils.clip_grad_norm_(self._trained(), self.config.clip_norm)
        if finite and bool(torch.isfinite(norm)):
            self.optimizer.step()
            self.average.update(self.network)
            self._lost_steps = 0
        else:
            finite = 0
            self._count_lost_step()
        self.progress.step += 1
        self.progress.samples += stage.batch * self.config.streams
        self.progress.skipped += self.config.streams - finite
        return {**parts, "grad_norm": float(norm), "lr": self.optimizer.param_groups[0]["lr"]} if finite else {}

    def save(self) -> None:
        """Writes the state to resume from, and the averaged weights to use; all processes call it together.

        Raises:
            OutputError: The disk is full or the folder is not ours; the checkpoint before stays.
        """
        streams = self.processes.collect([stream.state() for stream in self.streams])
        if not self.processes.is_first:
            return
        state = {
            "settings": self._settings,
            "network": self.network.state_dict(),
            "average": self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "streams": streams,
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "samples": self.progress.samples,
            "skipped": self.progress.skipped,
        }
        info = self.recipe.describe(self.average.network, self._provenance())
        self.folder.save(state, self.average.network, info)

    def _try_to_save(self) -> None:
        """In the middle of a run a full disk is no reason to stop: there may be room again at the next time."""
        try:
            self.save()
        except OutputError as error:
            _LOGGER.error("NOT SAVED: %s. Training goes on; the last checkpoint is of before.", error)

    def _resume(self) -> None:
        state = self.processes.from_first(self.folder.load() if self.processes.is_first else None)
        if state is None:
            return
        self._check_settings(state["settings"])
        self.network.load_state_dict(state["network"])
        self.average.restore(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for stream, index in zip(self.streams, self.processes.shared(self.config.streams), strict=True):
            stream.restore(state["streams"][index])
        counts = {name: state[name] for name in ("step", "seconds", "samples", "skipped")}
        self.progress = Progress(**counts)
        _LOGGER.info("going on at step %d", self.progress.step)

    def _mean_over_streams(self, parts: dict[str, float], finite: int) -> tuple[dict[str, float], int]:
        """Gradients (in place) and losses' parts as means over the finite batches of all processes."""
        trained = self._trained()
        # Without a gradient at one process there may be one at another, and the optimiser tells none from zero.
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
        if self.processes.count > 1:
            figures = torch.tensor([*parts.values(), finite], device=self.device)
            message = self.processes.add_up(torch.cat([*(g.flatten() for g in gradients), figures]))
            *gradients, figures = message.split([*(p.numel() for p in trained), len(figures)])
            *values, number = figures.tolist()
            parts, finite = dict(zip(parts, values, strict=True)), int(number)
        count = max(finite, 1)
        for p, gradient in zip(trained, gradients, strict=True):
            p.grad = gradient.view_as(p) / count
        return {name: value / count for name, value in parts.items()}, finite

    def _trained(self) -> list[torch.nn.Parameter]:
        return [p for p in self.network.parameters() if p.requires_grad]

    def _count_lost_step(self) -> None:
        self._lost_steps += 1
        if self._lost_steps >= _MOST_LOST_STEPS:
            raise ConfigError(
                f"training diverges: {self._lost_steps} steps in a row had no finite gradient; lower learning_rate, or "
                "set mixed_precision=false, and go on from the last checkpoint in another folder or start anew"
            )

    def _share(self) -> float:
        return self.config.share(step=self.progress.step, seconds=self.progress.seconds)

    def _write_log(self, share: float) -> None:
        if not self.processes.is_first:
            return
        seconds = self.progress.seconds
        left = seconds * (1.0 - share) / share if share > 0 else 0.0
        facts = {"sigma": float(self.network.sigma.detach())}
        self.log.write(self.progress, share=share, seconds_left=left, facts=facts)

    def _check_settings(self, saved: str) -> None:
        then: Mapping[str, Any] = json.loads(saved)
        now: Mapping[str, Any] = json.loads(self._settings)
        other = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if other:
            name = other[0]
            raise ConfigError(
                f"{self.folder.path} holds a run with {name} = {then.get(name)!r}, not {now.get(name)!r}; give the "
                f"same settings to go on, or name another folder ({', '.join(_FREE_SETTINGS)} may change)"
            )

    def _provenance(self) -> dict[str, Any]:
        return {
            **self.config.provenance(),
            "trained_on": _trained_on(self.objects),
            "step": self.progress.step,
            "samples": self.progress.samples,
            "minutes": round(self.progress.seconds / 60, 1),
            "processes": self.processes.count,
            "device": str(self.device),
        }


def _trained_on(objects: tuple[ObjectModel, ...]) -> str:
    things = f"of {', '.join(sorted({o.label for o in objects}))}" if objects else "of procedural shapes and textures"
    return f"renders {things}, under random lights, backgrounds, and occluders; no photograph"


def _lasting_settings(recipe: Recipe, objects: tuple[ObjectModel, ...]) -> str:
    """All that must stay the same for a run to go on."""
    settings = {name: value for name, value in flatten(recipe.config).items() if name not in _FREE_SETTINGS}
    meshes = {model.label: fingerprint(model.mesh) for model in objects}
    return json.dumps({"recipe": type(recipe).__name__, **settings, "objects": meshes})
