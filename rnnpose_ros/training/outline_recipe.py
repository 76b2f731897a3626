"""The outline's network of ``small`` and ``base``, trained beside a correspondence network that stays as it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, Network, describe, load_network
from rnnpose_ros.config import param
from rnnpose_ros.data.synthetic.randomization import SceneConfig, ViewRanges
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.networks.outline import STRIDE
from rnnpose_ros.networks.rnnpose_network import RnnposeNetwork
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import TrainingConfig
from rnnpose_ros.training.generic_recipe import cycle_inputs, pool_features
from rnnpose_ros.training.optimizer import half_cosine, make_adamw, set_rate
from rnnpose_ros.training.recipe import Losses
from rnnpose_ros.types import TrainingBatch

_SMOOTHING = (0.25, 0.5, 0.25)
"""Across the pixels around an answer's, along both axes: where the outline passes, the goal lies between 0 and 1."""
_NEAR = 4
"""Answers around the outline that count more, to each side."""


@dataclass(frozen=True, slots=True)
class OutlineConfig(TrainingConfig):
    """Settings of the outline's training; the defaults suit two CPU cores."""

    initial: str = param("package://rnnpose_ros/models/weights/small.safetensors", doc="Weights that it is added to")
    widths: tuple[int, ...] = param(
        (16, 32, 64, 96), doc="Channels at the four resolutions, where the weights have no outline's network yet"
    )
    minutes: float = param(60.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))
    stages: str = param(
        "1.0:240:1.25:4:1",
        doc="Parts of the run: share of the budget : crop px : margin : batch per stream : iterations (none here)",
    )
    learning_rate: float = param(2e-3, doc="Peak of the schedule", bounds=(1e-7, 1.0))
    warmup_share: float = param(0.02, doc="Share of the budget to warm up in", bounds=(1e-4, 0.5))
    weight_decay: float = param(1e-4, doc="On weight matrices", bounds=(0.0, 1.0))
    near: float = param(4.0, doc="How much more the surroundings of the outline count", bounds=(0.0, 100.0))
    absent_share: float = param(
        0.06, doc="Share of samples that are shown the photograph of another object", bounds=(0.0, 0.9)
    )
    mixed_precision: bool = param(True, doc="bfloat16 convolutions")
    scenes: SceneConfig = SceneConfig(view=ViewRanges(small_noise_share=0.75, small_noise_factor=(0.02, 0.6)))


class OutlineRecipe:
    """Trains the outline's network alone: its answers are wanted near the right pose, so starts lie there.

    Args:
        config: See :class:`OutlineConfig`.
        renderer: On the training device.

    Raises:
        CheckpointError: The initial weights cannot be used.
        ConfigError: They are of a network that estimates no outline.
    """

    def __init__(self, config: OutlineConfig, renderer: Renderer) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        self.network, self._initial = _with_outline(config)
        self.network.to(renderer.device).train()
        self.network.mixed_precision = config.mixed_precision
        self._renderer = renderer
        self._features = pool_features(config, renderer)

    def losses(self, batch: TrainingBatch, *, iterations: int, step: int, random: torch.Generator) -> Losses:
        """Cross-entropy of both probabilities."""
        del iterations, step
        inputs = cycle_inputs(batch, self._features, self._renderer)
        absent = torch.rand(len(batch.objects), generator=random) < self.config.absent_share
        present = (~absent).to(batch.photo.device)
        photo = torch.where(present[:, None, None, None], inputs.photo, inputs.photo.roll(1, 0))
        field = self.network.find_outline(
            inputs.render, photo, depth_centre=inputs.depth_centre, diameter=inputs.diameter
        )
        assert field is not None
        meshes = [self._features.get(model).mesh for model in batch.objects]
        whole = self._renderer.render(meshes, batch.T_camera_object, batch.camera).depth > 0
        within, visible = (_goal(mask & present[:, None, None]) for mask in (whole, batch.photo_depth > 0))
        counts = batch.valid.to(within)[:, None, None]
        parts = {
            "within": _entropy(field.within, within, counts, near=self.config.near),
            "visible": _entropy(field.visible, visible, counts, near=self.config.near),
        }
        total = parts["within"] + parts["visible"]
        figures = {name: float(value.detach()) for name, value in parts.items()}
        return Losses(total=total, parts={"loss": float(total.detach()), **figures})

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW for the outline's network."""
        return make_adamw(self.network, learning_rate=self.config.learning_rate, weight_decay=self.config.weight_decay)

    def schedule(self, optimizer: torch.optim.Optimizer, share: float) -> None:
        """A short warm-up, then half a cosine."""
        set_rate(optimizer, half_cosine(share, peak=self.config.learning_rate, warmup_share=self.config.warmup_share))

    def describe(self, network: Network, provenance: dict[str, Any]) -> CheckpointInfo:
        """The initial weights with their record, and this run's beside it; score and covariance need calibration."""
        facts = {**self._initial.provenance, "outline": provenance}
        return dataclasses.replace(self._initial, network=describe(network), provenance=facts, calibration={})


def _with_outline(config: OutlineConfig) -> tuple[RnnposeNetwork, CheckpointInfo]:
    """The initial network, nothing of it to be trained but its outline's, which is made where there is none."""
    network, info = load_network(resolve_path(config.initial))
    if not isinstance(network, RnnposeNetwork):
        raise ConfigError(f"initial: {config.initial} is of a family without outline: give weights of small or base")
    if network.outline is None:
        bare = network.state_dict()
        network = RnnposeNetwork(dataclasses.replace(network.config, outline_widths=config.widths))
        network.load_state_dict({**network.state_dict(), **bare})
    assert network.outline is not None
    network.requires_grad_(False)
    network.outline.requires_grad_()
    return network, info


def _goal(mask: Tensor) -> Float[Tensor, "B h w"]:
    """How much of the surroundings of each answer's pixel a mask (B S S) covers."""
    line = torch.tensor(_SMOOTHING, device=mask.device)
    kernel = (line[:, None] * line)[None, None]
    padded = F.pad(mask[:, None].float(), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernel, stride=STRIDE)[:, 0]


def _entropy(
    logits: Float[Tensor, "B h w"], goal: Float[Tensor, "B h w"], counts: Float[Tensor, "B 1 1"], *, near: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy, more of it from near the outline."""
    side = 2 * _NEAR + 1
    most, least = (F.max_pool2d(sign * goal[:, None], side, stride=1, padding=_NEAR)[:, 0] for sign in (1.0, -1.0))
    weight = counts * (1.0 + near * (most + least > 0))
    entropy = F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    return (weight * entropy).sum() / weight.sum().clamp_min(1.0)
