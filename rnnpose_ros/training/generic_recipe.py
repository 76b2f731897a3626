"""The 2D networks: one set of weights for any mesh, from the start, from given weights, or taught by a larger one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, Network, describe, load_network
from rnnpose_ros.config import flatten, param
from rnnpose_ros.data.synthetic.randomization import SceneConfig, ViewRanges
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.networks.rnnpose_network import TINY, NetworkConfig, RnnposeNetwork
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.refinement.cycle import CycleInputs, refine_cycle
from rnnpose_ros.refinement.exact_views import reference_view
from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import TrainingConfig
from rnnpose_ros.training.losses import LossConfig, refinement_losses
from rnnpose_ros.training.optimizer import freeze, half_cosine, make_adamw, set_rate
from rnnpose_ros.training.recipe import Losses
from rnnpose_ros.training.targets import field_targets
from rnnpose_ros.types import TrainingBatch

_LOSS_POINTS = 128
_ENCODERS = ("features", "context")
"""Modules that know what pictures look like. Fine-tuning to objects leaves them (supplementary of RNNPose,
generalisation): what is tuned is the descriptor head, the recurrent update with its confidence, and sigma."""


@dataclass(frozen=True, slots=True)
class GenericConfig(TrainingConfig):
    """Settings of generic training; the defaults suit two CPU cores."""

    initial: str = param("", doc="Weights to start from; without: random ones")
    teacher: str = param("", doc="Weights of a network whose correlation is learned, too; without: none")
    frozen: tuple[str, ...] = param((), doc="Modules of the network that keep their weights")
    learning_rate: float = param(5e-4, doc="Peak of the schedule", bounds=(1e-7, 1.0))
    warmup_share: float = param(0.02, doc="Share of the budget to warm up in", bounds=(1e-4, 0.5))
    weight_decay: float = param(1e-4, doc="On weight matrices", bounds=(0.0, 1.0))
    pose_ramp_steps: int = param(300, doc="Steps over which the pose loss grows to its weight", bounds=(1, 100000))
    mixed_precision: bool = param(True, doc="bfloat16 convolutions")
    network: NetworkConfig = NetworkConfig()
    losses: LossConfig = LossConfig()


@dataclass(frozen=True, slots=True)
class FinetuneConfig(GenericConfig):
    """Settings of fine-tuning to given objects."""

    initial: str = param("package://rnnpose_ros/models/weights/small.safetensors", doc="Weights to start from")
    frozen: tuple[str, ...] = param(_ENCODERS, doc="Modules of the network that keep their weights")
    minutes: float = param(15.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))
    stages: str = param(
        "1.0:240:1.25:2:4",
        doc="Parts of the run: share of the budget : crop px : margin : batch per stream : iterations",
    )
    learning_rate: float = param(2e-4, doc="Peak of the schedule", bounds=(1e-7, 1.0))
    pose_ramp_steps: int = param(1, doc="Steps over which the pose loss grows to its weight", bounds=(1, 100000))


@dataclass(frozen=True, slots=True)
class TinyConfig(GenericConfig):
    """Settings of the student that tracks: the crops and the starts of tracking, and ``small`` for a teacher."""

    teacher: str = param(
        "package://rnnpose_ros/models/weights/small.safetensors",
        doc="Weights of a network whose correlation is learned, too; without: none",
    )
    minutes: float = param(60.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))
    stages: str = param(
        "1.0:160:1.25:4:3",
        doc="Parts of the run: share of the budget : crop px : margin : batch per stream : iterations",
    )
    learning_rate: float = param(1e-3, doc="Peak of the schedule", bounds=(1e-7, 1.0))
    network: NetworkConfig = TINY
    scenes: SceneConfig = SceneConfig(view=ViewRanges(small_noise_share=0.7, small_noise_factor=(0.02, 0.6)))


class GenericRecipe:
    """Trains a network that encodes the rendered reference by 2D encoders.

    Args:
        config: See :class:`GenericConfig`.
        renderer: On the training device.

    Raises:
        CheckpointError: The initial weights cannot be used.
        ConfigError: The initial weights are another network's, the teacher is of a family that correlates otherwise,
            or no such module is there to freeze.
    """

    def __init__(self, config: GenericConfig, renderer: Renderer) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        self.network: RnnposeNetwork = _start_network(config).to(renderer.device)
        self.network.mixed_precision = config.mixed_precision
        freeze(self.network, config.frozen)
        if self.network.outline is not None:
            self.network.outline.requires_grad_(False)  # a recipe of its own trains it
        self._teacher = _teacher(config, renderer.device)
        self._renderer = renderer
        self._features = pool_features(config, renderer)

    def losses(self, batch: TrainingBatch, *, iterations: int, step: int, random: torch.Generator) -> Losses:
        """Renders the references, runs one cycle, and compares it with the truth."""
        inputs = cycle_inputs(batch, self._features, self._renderer)
        output = refine_cycle(
            self.network,
            inputs,
            iterations=iterations,
            solver=SolverConfig(robust_steps=0),
            weighting=_weighting(random),
        )
        targets = field_targets(batch, output.depth, output.cell_uv, inputs.diameter)
        points = torch.stack([_loss_points(model.mesh.vertices, random) for model in batch.objects])
        return refinement_losses(
            output,
            targets,
            batch.T_camera_object,
            points.to(batch.photo.device),
            inputs.diameter,
            config=self.config.losses,
            pose_ramp=min(1.0, (step + 1) / self.config.pose_ramp_steps),
            taught=None if self._teacher is None else taught_correlation(self._teacher, inputs),
        )

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW for what is not frozen."""
        return make_adamw(self.network, learning_rate=self.config.learning_rate, weight_decay=self.config.weight_decay)

    def schedule(self, optimizer: torch.optim.Optimizer, share: float) -> None:
        """A short warm-up, then half a cosine."""
        set_rate(optimizer, half_cosine(share, peak=self.config.learning_rate, warmup_share=self.config.warmup_share))

    def describe(self, network: Network, provenance: dict[str, Any]) -> CheckpointInfo:
        """Weights for any mesh."""
        facts = {**provenance, "losses": flatten(self.config.losses)}
        return CheckpointInfo(network=describe(network), provenance=facts)


def pool_features(config: TrainingConfig, renderer: Renderer) -> FeatureCache:
    """Room for the objects of all streams' pools, and for those that are replaced meanwhile."""
    pool_size = config.scenes.objects.pool_size
    return FeatureCache(renderer, capacity=config.streams * (pool_size + pool_size // 4 + 1))


def cycle_inputs(batch: TrainingBatch, features: FeatureCache, renderer: Renderer) -> CycleInputs:
    """A batch as the network sees it: its references rendered at the initial poses."""
    own = [features.get(model) for model in batch.objects]
    T, device = batch.T_camera_object_initial, batch.photo.device
    return CycleInputs(
        photo=batch.photo.float() / 255.0,
        render=reference_view(renderer, [f.mesh for f in own], T, batch.camera),
        camera=batch.camera,
        T_render=T,
        centre_object=torch.stack([m.centre for m in batch.objects]).to(device, torch.float32),
        diameter=torch.tensor([m.diameter for m in batch.objects], device=device),
    )


def taught_correlation(teacher: RnnposeNetwork, inputs: CycleInputs) -> Float[Tensor, "M h w"]:
    """What a teacher correlates the render's cells (M of them, of all items) with."""
    with torch.no_grad():
        pair, _ = teacher.encode(
            inputs.render, inputs.photo, depth_centre=inputs.depth_centre, diameter=inputs.diameter
        )
    return pair.correlation.levels[0][:, 0]


def _teacher(config: GenericConfig, device: torch.device) -> RnnposeNetwork | None:
    if not config.teacher:
        return None
    network, _ = load_network(resolve_path(config.teacher), device=device)
    if not isinstance(network, RnnposeNetwork):
        raise ConfigError(f"teacher: {config.teacher} correlates otherwise: give weights of tiny, small or base")
    network.mixed_precision = config.mixed_precision
    return network.eval().requires_grad_(False)


def _start_network(config: GenericConfig) -> RnnposeNetwork:
    """With random weights, or those that the configuration names."""
    if not config.initial:
        return RnnposeNetwork(config.network)
    network, _ = load_network(resolve_path(config.initial))
    asked = None if config.network == NetworkConfig() else config.network
    if not isinstance(network, RnnposeNetwork) or asked not in (None, network.config):
        raise ConfigError(
            f"initial: {config.initial} holds another network than network.* describes; leave network.* out to take "
            "the file's, or give weights of the tiny, small or base family"
        )
    return network.train().requires_grad_()


def _loss_points(vertices: Tensor, random: torch.Generator) -> Tensor:
    """Vertices drawn with replacement: meshes may have few."""
    index = torch.randint(len(vertices), (_LOSS_POINTS,), generator=random)
    return vertices[index].float()


def _weighting(random: torch.Generator) -> str:
    draw = float(torch.rand((), generator=random))
    return "confidence" if draw < 0.25 else "similarity" if draw < 0.45 else "both"
