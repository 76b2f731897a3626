"""Where a run's samples come from: a fixed number of streams, however many processes share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import Stage, TrainingConfig
from rnnpose_ros.types import ObjectModel, TrainingBatch

_SEEDS_APART = 1_000_003
_LOSS_SEED = 1 << 40
"""Keeps what losses draw apart from what scenes draw."""


class SampleStream:
    """One of a run's streams: its scenes, and the random numbers that its losses draw.

    Args:
        config: Of the run.
        renderer: Draws the scenes.
        objects: To show; without, random ones.
        index: Which of the run's streams.
    """

    def __init__(
        self, config: TrainingConfig, renderer: Renderer, *, objects: Sequence[ObjectModel] = (), index: int
    ) -> None:
        seed = config.seed * _SEEDS_APART + index
        self.random = torch.Generator().manual_seed(seed + _LOSS_SEED)
        self._scenes = SceneGenerator(renderer, config=config.scenes, seed=seed, models=objects)
        self._device = renderer.device

    def batch(self, stage: Stage) -> TrainingBatch:
        """The next samples, on the training device."""
        batch = self._scenes.batch(stage.batch, size=stage.size, margin=stage.margin)
        return _on_device(batch, self._device)

    def state(self) -> dict[str, Any]:
        """All that the next batches and losses depend on, in tensors and plain types."""
        return {"random": self.random.get_state(), "scenes": self._scenes.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state` was taken, in a stream made with the same arguments."""
        self.random.set_state(state["random"])
        self._scenes.restore(state["scenes"])


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
