"""Puts a refiner together from a weights file: the few lines every verb that refines shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnpose_ros.refinement.refiner import Refiner


def load_refiner(weights: Path | None, *, device: str = "cpu", settings: Sequence[str] = ()) -> Refiner:
    """A refiner with trained weights.

    Args:
        weights: A safetensors file; the packaged ``small`` network when None.
        device: "cpu" or "cuda".
        settings: ``name=value`` entries for :class:`RefinerConfig`.

    Raises:
        CheckpointError: The weights cannot be used.
        BackendUnavailableError: The device is not here.
        ConfigError: A setting is unknown or out of bounds.
    """
    from rnnpose_ros.checkpoints.checkpoint import default_weights, load_network
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
    from rnnpose_ros.refinement.status import Calibration
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer

    config = build(RefinerConfig, parse_settings(settings))
    renderer = WarpRenderer(device)
    network, info = load_network(weights or default_weights(), device=device)
    return Refiner(network, renderer, config, calibration=Calibration.from_mapping(info.calibration))
