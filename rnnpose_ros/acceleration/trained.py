"""A refiner from a weights file."""

from __future__ import annotations

from pathlib import Path

from rnnpose_ros.acceleration.engines import accelerate, kernels_of
from rnnpose_ros.checkpoints.checkpoint import load_network
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.refinement.status import Calibration
from rnnpose_ros.rendering.renderer import Renderer


def trained_refiner(
    weights: Path, renderer: Renderer, config: RefinerConfig, *, precision: str, engine: str, threads: int
) -> Refiner:
    """A refiner with trained weights and their calibration, on the renderer's device.

    Args:
        weights: A safetensors file.
        renderer: Draws the reference views.
        config: See :class:`~rnnpose_ros.refinement.refiner.RefinerConfig`.
        precision: "auto", "float32" or "bfloat16", see ``networks.precision``.
        engine: "auto", "eager", "openvino" or "cuda_graph", see ``acceleration.engines``.
        threads: Of a compiled network; 0 for as many as torch has.

    Raises:
        CheckpointError: The weights cannot be used.
        BackendUnavailableError: The engine is not here.
    """
    plain, info = load_network(weights, device=renderer.device, precision=precision)
    network = accelerate(plain, engine, threads=threads, precision=precision)
    calibration = Calibration.from_mapping(info.calibration)
    return Refiner(network, renderer, config, calibration=calibration, kernels=kernels_of(network))
