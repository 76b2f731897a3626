"""The published network's recipe: whole refinements of given objects, their 3D features encoded at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, Network, describe, load_network
from rnnpose_ros.config import flatten
from rnnpose_ros.data.synthetic.views import start_poses
from rnnpose_ros.errors import ConfigError, InputError
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.networks.paper_network import PaperConfig, PaperNetwork, TrainedFor
from rnnpose_ros.objects.point_pyramid import RADII, build_pyramid, fingerprint, neighbour_limits
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.refinement.features import EncodedSurface, FeatureCache, ObjectFeatures
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.surface import Surface, make_surface
from rnnpose_ros.training.descriptor_pairs import VertexSearch
from rnnpose_ros.training.experiment import parse_stages
from rnnpose_ros.training.optimizer import freeze, half_cosine, one_cycle, set_momentum, set_rate
from rnnpose_ros.training.paper_rollout import Rollout, Sample
from rnnpose_ros.training.paper_settings import PaperTrainingConfig
from rnnpose_ros.training.recipe import Losses
from rnnpose_ros.types import CameraIntrinsics, ObjectModel, PointPyramid, TrainingBatch

_BETA2 = 0.99
_LEAST_PX = 88
"""Of photographs: their zooms of 64 px have 8 x 8 cells, which can be halved three times."""
_MOST_LONELY = 0.5
"""Share of vertices without another in sight; where all are alike, normalisation over them makes gradients explode."""


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
        pose, flow, circle, matching = (
            sum((getattr(r, n) for r in rollouts), zero) / count for n in ("pose", "flow", "circle", "matching")
        )
        total = weights.pose * pose + weights.flow * flow + weights.circle * circle + weights.matching * matching
        parts = {
            "loss": total,
            "pose": pose,
            "flow": flow,
            "circle": circle,
            "matching": matching,
            "epe_cells": sum((r.endpoint_px for r in rollouts), zero) / count / self.network.stride,
            "final_pose": sum((r.final_pose for r in rollouts), zero) / count,
        }
        return Losses(total=total, parts={name: float(value.detach()) for name, value in parts.items()})

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam with decoupled weight decay on everything that is trained."""
        config, sigma = self.config, self.network.sigma
        trained = [p for p in self.network.parameters() if p.requires_grad and p is not sigma]
        groups: list[dict[str, Any]] = [{"params": trained}]
        if sigma.requires_grad:
            groups.append({"params": [sigma], "factor": config.sigma_rate})
        return torch.optim.AdamW(
            groups, fused=True, lr=config.learning_rate, betas=(0.95, _BETA2), weight_decay=config.weight_decay
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
            T_starts=self._starts(batch, i, random),
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

    def _starts(self, batch: TrainingBatch, i: int, random: torch.Generator) -> Float[Tensor, "N 4 4"]:
        """The batch's start of a sample, and as many more around its truth as are asked for."""
        first, more = batch.T_camera_object_initial[i : i + 1], self.config.starts - 1
        if not more:
            return first
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=random)))
        T_true = batch.T_camera_object[i].cpu().expand(more, 4, 4)
        objects, view = (batch.objects[i],) * more, self.config.scenes.view
        return torch.cat([first, start_poses(T_true, objects, view, rng=rng, generator=random).to(first)])


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
