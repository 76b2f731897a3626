"""The published network's recipe: whole refinements of given objects, their 3D features encoded at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, Network, describe, load_network
from rnnpose_ros.config import flatten, param
from rnnpose_ros.data.synthetic.randomization import SceneConfig, ViewRanges
from rnnpose_ros.errors import ConfigError, InputError
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.networks.paper_network import PaperConfig, PaperNetwork, TrainedFor
from rnnpose_ros.objects.point_pyramid import RADII, build_pyramid, fingerprint, neighbour_limits
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.refinement.features import EncodedSurface, FeatureCache, ObjectFeatures
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.surface import Surface, make_surface
from rnnpose_ros.training.circle_loss import CircleConfig
from rnnpose_ros.training.descriptor_pairs import VertexSearch
from rnnpose_ros.training.experiment import TrainingConfig, parse_stages
from rnnpose_ros.training.optimizer import freeze, half_cosine, one_cycle, set_momentum, set_rate
from rnnpose_ros.training.paper_losses import PaperLossConfig
from rnnpose_ros.training.paper_rollout import Rollout, Sample
from rnnpose_ros.training.recipe import Losses
from rnnpose_ros.types import CameraIntrinsics, ObjectModel, PointPyramid, TrainingBatch

_N1_ITSELF = ViewRanges(noise_factor=(1.0, 1.0), small_noise_share=0.0, noise_diameter_m=0.0)
_BETA2 = 0.99
_LEAST_PX = 88
"""Of photographs: their zooms of 64 px have 8 x 8 cells, which can be halved three times."""
_MOST_LONELY = 0.5
"""Share of vertices without another in sight; where all are alike, normalisation over them makes gradients explode."""
SCHEDULES = ("one-cycle", "half-cosine")


@dataclass(frozen=True, slots=True)
class PaperTrainingConfig(TrainingConfig):
    """Settings of the published recipe, with its values: 320 px photographs, 240 px zooms, 3 x 4 iterations."""

    initial: str = param("", doc="Weights of the paper family to start from; without: random ones")
    frozen: tuple[str, ...] = param((), doc="Modules of the network that keep their weights")
    minutes: float = param(600.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))
    streams: int = param(1, doc="Streams of samples, each a batch a step; processes share them", bounds=(1, 4096))
    stages: str = param(
        "1.0:320:1.6:1:4",
        doc="Parts of the run: share of the budget : photograph px (zooms have three quarters) : margin : batch : "
        "iterations per cycle",
    )
    cycles: int = param(3, doc="Render cycles of a sample", bounds=(1, 20))
    crop_margin: float = param(1.2, doc="Of the zooms, as in refining", bounds=(1.0, 3.0))
    learning_rate: float = param(1e-4, doc="Peak of the schedule", bounds=(1e-7, 1.0))
    schedule: str = param(
        "one-cycle", doc="As in the public code, or as in the supplementary without warm-up", choices=SCHEDULES
    )
    weight_decay: float = param(1e-4, doc="On all weights", bounds=(0.0, 1.0))
    clip_norm: float = param(10.0, doc="Gradients are scaled down to this norm", bounds=(1e-3, 1e3))
    mixed_precision: bool = param(False, doc="bfloat16 convolutions")
    network: PaperConfig = PaperConfig()
    losses: PaperLossConfig = PaperLossConfig()
    circle: CircleConfig = CircleConfig()
    scenes: SceneConfig = SceneConfig(view=_N1_ITSELF)


@dataclass(frozen=True, slots=True)
class PaperFinetuneConfig(PaperTrainingConfig):
    """The supplementary's fine-tuning to (other) objects: recurrent unit, descriptors and sigma learn on."""

    frozen: tuple[str, ...] = param(("features", "context3d"), doc="Modules of the network that keep their weights")
    minutes: float = param(120.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """What is kept of an object between steps: all but its features."""

    plain: ObjectFeatures
    surface: Surface
    pyramid: PointPyramid
    search: VertexSearch


class PaperRecipe:
    """Trains a network with 3D encoders for given objects.

    Args:
        config: See :class:`PaperTrainingConfig`.
        renderer: On the training device.
        objects: To train for.

    Raises:
        CheckpointError: The initial weights cannot be used.
        ConfigError: The initial weights are another network's, no such module is there to freeze, or
            photographs are too small.
        InputError: No objects, or one whose vertices are too sparse for features to lie on them.
    """

    def __init__(self, config: PaperTrainingConfig, renderer: Renderer, objects: Sequence[ObjectModel]) -> None:
        if not objects:
            raise InputError("this recipe trains for given objects, on whose vertices its features lie: give --mesh")
        if min(stage.size for stage in parse_stages(config.stages)) < _LEAST_PX:
            raise ConfigError(f"stages: this recipe needs photographs of at least {_LEAST_PX} px, got {config.stages}")
        self.config = config
        torch.manual_seed(config.seed)
        self.network = _start_network(config).to(renderer.device)
        self.network.mixed_precision = config.mixed_precision
        freeze(self.network, config.frozen)
        self.network.trained_for = TrainedFor(
            fingerprints={model.label: fingerprint(model.mesh) for model in objects},
            neighbour_limits=neighbour_limits([model.mesh for model in objects]),
            convention=CropConvention.EXACT,
        )
        self._renderer = renderer
        self._features = FeatureCache(renderer, capacity=len(objects))
        self._objects = {id(model): self._prepare(model) for model in objects}

    def losses(self, batch: TrainingBatch, *, iterations: int, step: int, random: torch.Generator) -> Losses:
        """Refines every sample of the batch, one after the other, and sums what its iterations got wrong."""
        del step
        models = {id(model): model for model in batch.objects}
        encoded = {key: self._encoded(self._objects[key]) for key in models}
        rollouts = [
            self._rollout(batch, i, encoded[id(model)], self._objects[id(model)].search, iterations, random)
            for i, model in enumerate(batch.objects)
            if bool(batch.valid[i])
        ]
        count, weights = max(len(rollouts), 1), self.config.losses
        zero = self.network.sigma.sum() * 0.0
        pose, flow, circle = (sum((getattr(r, n) for r in rollouts), zero) / count for n in ("pose", "flow", "circle"))
        total = weights.pose * pose + weights.flow * flow + weights.circle * circle
        parts = {
            "loss": total,
            "pose": pose,
            "flow": flow,
            "circle": circle,
            "epe_cells": sum((r.endpoint_px for r in rollouts), zero) / count / self.network.stride,
            "final_pose": sum((r.final_pose for r in rollouts), zero) / count,
        }
        return Losses(total=total, parts={name: float(value.detach()) for name, value in parts.items()})

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam with decoupled weight decay on everything that is trained."""
        trained = [p for p in self.network.parameters() if p.requires_grad]
        config = self.config
        return torch.optim.AdamW(
            trained, lr=config.learning_rate, betas=(0.95, _BETA2), weight_decay=config.weight_decay
        )

    def schedule(self, optimizer: torch.optim.Optimizer, share: float) -> None:
        """The public code's one cycle of rate and momentum, or the supplementary's half cosine."""
        peak = self.config.learning_rate
        if self.config.schedule == "half-cosine":
            set_rate(optimizer, half_cosine(share, peak=peak, warmup_share=0.0))
            return
        rate, momentum = one_cycle(share, peak=peak)
        set_rate(optimizer, rate)
        set_momentum(optimizer, momentum)

    def describe(self, network: Network, provenance: dict[str, Any]) -> CheckpointInfo:
        """Weights for the objects that they were trained for."""
        trained = self.network.trained_for
        return CheckpointInfo(
            network=describe(network),
            convention=trained.convention.value,
            labels=tuple(trained.fingerprints),
            provenance={**provenance, "losses": flatten(self.config.losses)},
            neighbour_limits=trained.neighbour_limits,
            meshes=dict(trained.fingerprints),
        )

    def _prepare(self, model: ObjectModel) -> _Trained:
        name = f"object {model.label!r}"
        pyramid = build_pyramid(model.mesh, limits=self.network.trained_for.neighbour_limits)
        _check_density(pyramid, name)
        return _Trained(
            plain=self._features.get(model),
            surface=make_surface(model.mesh, device=self._renderer.device, name=name),
            pyramid=pyramid,
            search=VertexSearch(model.mesh, config=self.config.circle, name=name),
        )

    def _encoded(self, kept: _Trained) -> ObjectFeatures:
        """The object with features that gradients flow through."""
        return replace(kept.plain, encoded=EncodedSurface(kept.surface, self.network.encode_object(kept.pyramid)))

    def _rollout(
        self,
        batch: TrainingBatch,
        i: int,
        features: ObjectFeatures,
        search: VertexSearch,
        iterations: int,
        random: torch.Generator,
    ) -> Rollout:
        size = batch.camera.height
        sample = Sample(
            photo=batch.photo[i].permute(1, 2, 0).contiguous(),
            depth=batch.photo_depth[i],
            camera=CameraIntrinsics(batch.camera.K[i : i + 1], height=size, width=size),
            T_true=batch.T_camera_object[i],
            T_initial=batch.T_camera_object_initial[i],
            features=features,
        )
        pairs = search.draw(sample.depth, sample.T_true, sample.camera.K[0], random=random)
        return Rollout.of(
            self.network,
            self._renderer,
            sample,
            pairs,
            cycles=self.config.cycles,
            iterations=iterations,
            margin=self.config.crop_margin,
            circle=search.config,
        )


def _check_density(pyramid: PointPyramid, name: str) -> None:
    """Refuses meshes of which the 3D encoders would see nothing."""
    table = pyramid.neighbours[0]
    lonely = float((table[:, 1] == len(table)).float().mean()) if table.shape[1] > 1 else 1.0
    if lonely > _MOST_LONELY:
        raise InputError(
            f"{name}: {100 * lonely:.0f} % of its {len(table)} vertices have no other within {RADII[0]} of its size: "
            "nothing can be learned of its shape; subdivide its faces, and use the finer mesh for refining too"
        )


def _start_network(config: PaperTrainingConfig) -> PaperNetwork:
    """With random weights, or those that the configuration names."""
    if not config.initial:
        return PaperNetwork(config.network)
    network, _ = load_network(resolve_path(config.initial))
    asked = None if config.network == PaperConfig() else config.network
    if not isinstance(network, PaperNetwork) or asked not in (None, network.config):
        raise ConfigError(
            f"initial: {config.initial} holds another network than network.* describes; leave network.* out to take "
            "the file's, or give weights of the paper family"
        )
    return network.train().requires_grad_()
