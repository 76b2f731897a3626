"""The training loop: one render cycle a sample, several processes, resumable, budgeted by time."""

from __future__ import annotations

import json
import logging
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, save_checkpoint
from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import Stage
from rnnpose_ros.training.optimizer import ExponentialAverage
from rnnpose_ros.training.recipe import Recipe
from rnnpose_ros.types import ObjectModel, TrainingBatch

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0
    """Over all processes."""
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a network on synthetic scenes.

    Every process makes its own samples, and gradients are averaged over the processes of the default
    group where there is one (``torchrun``). The schedule follows the share of the time budget that is
    used, so a run of any length ends annealed, also when interrupted and resumed.

    Args:
        recipe: What is trained.
        renderer: On the training device.
        directory: Where checkpoints, the log and the weights go.
        objects: To train on; without, random ones.
    """

    def __init__(
        self, recipe: Recipe, renderer: Renderer, directory: Path, *, objects: Sequence[ObjectModel] = ()
    ) -> None:
        self.recipe = recipe
        self.config = recipe.config
        self.renderer = renderer
        self.directory = directory
        self.objects = tuple(objects)
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.processes = dist.get_world_size() if dist.is_initialized() else 1
        self.device = renderer.device
        self.network = recipe.network
        self.optimizer = recipe.make_optimizer()
        self.average = ExponentialAverage(self.network, decay=self.config.average_decay)
        self.progress = Progress()
        self._random = torch.Generator()

    def run(self) -> None:
        """Trains until the time budget is spent; resumes from ``last.pt`` where there is one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._resume()
        scenes = SceneGenerator(self.renderer, config=self.config.scenes, seed=self._stream_seed(), models=self.objects)
        budget = self.config.minutes * 60.0
        saved = logged = time.monotonic()
        while True:
            started = time.monotonic()
            share = self._agree(self.progress.seconds / budget)
            if share >= 1.0:
                break
            stage = self.config.stage_at(share)
            parts = self.train_step(scenes.batch(stage.batch, size=stage.size, margin=stage.margin), share, stage)
            now = time.monotonic()
            self.progress.seconds += now - started
            self._note(parts, share)
            if self.rank == 0 and now - logged > self.config.log_seconds:
                self._log(share)
                logged = now
            if self.rank == 0 and now - saved > self.config.save_seconds:
                self.save()
                saved = now
        if self.rank == 0:
            self._log(1.0)
            self.save()

    def train_step(self, batch: TrainingBatch, share: float, stage: Stage) -> dict[str, float]:
        """One optimiser step; returns the losses' parts."""
        self.recipe.schedule(self.optimizer, share)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.recipe.losses(
            _on_device(batch, self.device), iterations=stage.iterations, step=self.progress.step, random=self._random
        )
        if bool(torch.isfinite(losses.total)):
            losses.total.backward()
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
            self.average.update(self.network)
        self.progress.step += 1
        self.progress.samples += stage.batch * self.processes
        return {**losses.parts, "grad_norm": float(norm), "lr": self.optimizer.param_groups[0]["lr"]}

    def _average_gradients(self) -> None:
        """Mean of all processes' gradients, as one flat message."""
        if self.processes == 1:
            return
        params = [p for p in self.network.parameters() if p.requires_grad]
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in params])
        dist.all_reduce(flat)
        flat /= self.processes
        for p, gradient in zip(params, flat.split([p.numel() for p in params]), strict=True):
            p.grad = gradient.view_as(p)

    def _agree(self, share: float) -> float:
        """The first process's share of the budget, so that all change stage and stop together."""
        if self.processes == 1:
            return share
        value = torch.tensor([share], dtype=torch.float64)
        dist.broadcast(value, 0)
        return float(value)

    def _stream_seed(self) -> int:
        """Another stream of samples for every process and every resumption."""
        return self.config.seed * 1_000_003 + self.progress.step * 101 + self.rank

    def _note(self, parts: dict[str, float], share: float) -> None:
        self.progress.history.append({"share": share, **parts})
        del self.progress.history[:-200]

    def _log(self, share: float) -> None:
        """One line for people, one JSON line for plots: means since the last line."""
        recent = self.progress.history[-50:]
        if not recent:
            return
        mean = {k: sum(h[k] for h in recent) / len(recent) for k in recent[0]}
        p = self.progress
        line = {"step": p.step, "minutes": round(p.seconds / 60, 2), "samples": p.samples, **mean, "share": share}
        line["sigma"] = float(self.network.sigma.detach())
        with (self.directory / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        rate = p.samples / max(p.seconds, 1e-9)
        _LOGGER.info(
            f"{100 * share:5.1f}%  step {p.step}  {rate:.0f} samples/s  loss {mean['loss']:.3f}  "
            f"epe {mean['epe_cells']:.2f} cells  pose {mean['pose']:.3f}  sigma {line['sigma']:.3f}"
        )

    def save(self) -> None:
        """Writes the state to resume from, and the averaged weights to use."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "samples": self.progress.samples,
        }
        partial = self.directory / "last.partial"
        torch.save(state, partial)
        last = self.directory / "last.pt"
        if last.exists():
            last.replace(self.directory / "previous.pt")
        partial.replace(last)
        save_checkpoint(self.directory / "weights.safetensors", self.average.network, self._info())

    def _resume(self) -> None:
        for name in ("last.pt", "previous.pt"):
            path = self.directory / name
            if not path.exists():
                continue
            try:
                state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
                _LOGGER.warning("%s cannot be read (%s); trying the one before", path, str(error).split("\n")[0])
                continue
            self.network.load_state_dict(state["network"])
            self.average.network.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.progress = Progress(step=state["step"], seconds=state["seconds"], samples=state["samples"])
            _LOGGER.info("resumed at step %d", self.progress.step)
            break
        self._random.manual_seed(self._stream_seed())

    def _info(self) -> CheckpointInfo:
        provenance = {
            **self.config.provenance(),
            "trained_on": _trained_on(self.objects),
            "step": self.progress.step,
            "samples": self.progress.samples,
            "minutes": round(self.progress.seconds / 60, 1),
            "processes": self.processes,
            "device": str(self.device),
        }
        return self.recipe.describe(self.average.network, provenance)


def _trained_on(objects: tuple[ObjectModel, ...]) -> str:
    things = f"of {', '.join(sorted({o.label for o in objects}))}" if objects else "of procedural shapes and textures"
    return f"renders {things}, under random lights, backgrounds, and occluders; no photograph"


def _on_device(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    """The batch with its tensors on a device; objects stay as they are, their meshes are uploaded once."""
    if device.type == "cpu":
        return batch
    return replace(
        batch,
        photo=batch.photo.to(device),
        photo_depth=batch.photo_depth.to(device),
        camera=replace(batch.camera, K=batch.camera.K.to(device)),
        T_camera_object=batch.T_camera_object.to(device),
        T_camera_object_initial=batch.T_camera_object_initial.to(device),
        valid=batch.valid.to(device),
    )
