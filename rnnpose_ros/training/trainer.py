"""The training loop: one render cycle a sample, several processes, resumable, budgeted by time."""

from __future__ import annotations

import json
import logging
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, describe, load_network, save_checkpoint
from rnnpose_ros.config import flatten
from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.networks.rnnpose_network import RnnposeNetwork
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput, refine_cycle
from rnnpose_ros.refinement.exact_views import reference_view
from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import Stage, TrainingConfig
from rnnpose_ros.training.losses import Losses, refinement_losses
from rnnpose_ros.training.optimizer import ExponentialAverage, learning_rate, make_optimizer
from rnnpose_ros.training.targets import field_targets
from rnnpose_ros.types import TrainingBatch

_LOGGER = logging.getLogger(__name__)
_LOSS_POINTS = 128


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
        config: See :class:`TrainingConfig`.
        renderer: On the training device.
        directory: Where checkpoints, the log and the weights go.
    """

    def __init__(self, config: TrainingConfig, renderer: Renderer, directory: Path) -> None:
        self.config = config
        self.renderer = renderer
        self.directory = directory
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.processes = dist.get_world_size() if dist.is_initialized() else 1
        self.device = renderer.device
        torch.manual_seed(config.seed)
        self.network = self._start_network().to(self.device)
        self.network.mixed_precision = config.mixed_precision
        self.optimizer = make_optimizer(self.network, config)
        self.average = ExponentialAverage(self.network, decay=config.average_decay)
        self.features = FeatureCache(renderer, capacity=512)
        self.progress = Progress()
        self._random = torch.Generator()

    def _start_network(self) -> RnnposeNetwork:
        """With random weights, or those that the configuration names.

        Raises:
            CheckpointError: The file cannot be used.
            ConfigError: Its network is another one.
        """
        if not self.config.initial:
            return RnnposeNetwork(self.config.network)
        network, _ = load_network(resolve_path(self.config.initial))
        if not isinstance(network, RnnposeNetwork) or network.config != self.config.network:
            raise ConfigError(f"initial: {self.config.initial} holds another network than network.* describes")
        return network.train().requires_grad_()

    def run(self) -> None:
        """Trains until the time budget is spent; resumes from ``last.pt`` where there is one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._resume()
        scenes = SceneGenerator(self.renderer, config=self.config.scenes, seed=self._stream_seed())
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
        rate = learning_rate(self.config, share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.compute_losses(batch, iterations=stage.iterations)
        if bool(torch.isfinite(losses.total)):
            losses.total.backward()
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
            self.average.update(self.network)
        self.progress.step += 1
        self.progress.samples += stage.batch * self.processes
        return {**losses.parts, "grad_norm": float(norm), "lr": rate}

    def compute_losses(self, batch: TrainingBatch, *, iterations: int) -> Losses:
        """Renders the references, runs one cycle, and compares it with the truth."""
        inputs = self.cycle_inputs(batch)
        output = refine_cycle(
            self.network,
            inputs,
            iterations=iterations,
            solver=SolverConfig(robust_steps=0),
            weighting=self._weighting(),
        )
        return self._losses(batch, inputs, output)

    def cycle_inputs(self, batch: TrainingBatch) -> CycleInputs:
        """The network's view of a batch: its references rendered at the initial poses."""
        features = [self.features.get(model) for model in batch.objects]
        T = batch.T_camera_object_initial
        return CycleInputs(
            photo=batch.photo.float() / 255.0,
            render=reference_view(self.renderer, [f.mesh for f in features], T, batch.camera),
            camera=batch.camera,
            T_render=T,
            centre_object=torch.stack([m.centre for m in batch.objects]).to(self.device, torch.float32),
            diameter=torch.tensor([m.diameter for m in batch.objects], device=self.device),
        )

    def _losses(self, batch: TrainingBatch, inputs: CycleInputs, output: CycleOutput) -> Losses:
        targets = field_targets(batch, output.depth, output.cell_uv, inputs.diameter)
        points = torch.stack([self._loss_points(m.mesh.vertices) for m in batch.objects]).to(self.device)
        ramp = min(1.0, (self.progress.step + 1) / self.config.pose_ramp_steps)
        return refinement_losses(
            output, targets, batch.T_camera_object, points, inputs.diameter, config=self.config.losses, pose_ramp=ramp
        )

    def _loss_points(self, vertices: Tensor) -> Tensor:
        """Vertices drawn with replacement: meshes may have few."""
        index = torch.randint(len(vertices), (_LOSS_POINTS,), generator=self._random)
        return vertices[index].float()

    def _weighting(self) -> str:
        draw = float(torch.rand((), generator=self._random))
        return "confidence" if draw < 0.25 else "similarity" if draw < 0.45 else "both"

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
            "step": self.progress.step,
            "samples": self.progress.samples,
            "minutes": round(self.progress.seconds / 60, 1),
            "processes": self.processes,
            "device": str(self.device),
            "losses": flatten(self.config.losses),
        }
        return CheckpointInfo(network=describe(self.network), provenance=provenance)
