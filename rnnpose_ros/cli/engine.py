"""Puts a refiner together from a weights file: the few lines every verb that refines shares."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnpose_ros.errors import InputError
from rnnpose_ros.rendering.backends import RENDERERS, make_renderer

if TYPE_CHECKING:
    from rnnpose_ros.refinement.refiner import Refiner


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that :func:`load_refiner` takes."""
    parser.add_argument(
        "--weights", type=Path, help="safetensors file (default: the object's own, or the packaged small network)"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--renderer", default=RENDERERS[0], choices=RENDERERS, help="what draws the references (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="of the convolutions; auto is bfloat16 where the processor computes in it",
    )
    parser.add_argument(
        "--engine",
        default="auto",
        choices=("auto", "eager", "openvino", "cuda_graph"),
        help="what computes the network; auto is openvino on a CPU where it is installed, else eager",
    )
    parser.add_argument("--threads", type=int, default=0, help="of a compiled network (default: as many as torch has)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, e.g. cycles=2")


def refiner_of(args: argparse.Namespace, *, own_weights: Path | None = None) -> Refiner:
    """The refiner that the arguments of :func:`add_engine_arguments` ask for; see :func:`load_refiner`.

    Args:
        args: Parsed.
        own_weights: The object's, taken where the arguments name none.
    """
    return load_refiner(
        args.weights or own_weights,
        device=args.device,
        renderer=args.renderer,
        precision=args.precision,
        engine=args.engine,
        threads=args.threads,
        settings=args.set,
    )


def load_refiner(
    weights: Path | None,
    *,
    device: str = "cpu",
    renderer: str = RENDERERS[0],
    precision: str = "auto",
    engine: str = "auto",
    threads: int = 0,
    settings: Sequence[str] = (),
) -> Refiner:
    """A refiner with trained weights.

    Args:
        weights: A safetensors file; the packaged ``small`` network when None.
        device: "cpu" or "cuda".
        renderer: One of ``rendering.backends.RENDERERS``.
        precision: "auto", "float32" or "bfloat16", see ``networks.precision``.
        engine: "auto", "eager", "openvino" or "cuda_graph", see ``acceleration.engines``.
        threads: Of a compiled network; 0 for as many as torch has.
        settings: ``name=value`` entries for :class:`RefinerConfig`.

    Raises:
        CheckpointError: The weights cannot be used.
        BackendUnavailableError: The device, the engine or the renderer is not here.
        ConfigError: A setting is unknown or out of bounds.
    """
    from rnnpose_ros.acceleration.engines import choose_engine
    from rnnpose_ros.acceleration.trained import trained_refiner
    from rnnpose_ros.checkpoints.checkpoint import default_weights
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.refinement.refiner import RefinerConfig

    config = build(RefinerConfig, parse_settings(settings))
    backend = make_renderer(renderer, device)
    choose_engine(engine, device)  # before anything is loaded
    return trained_refiner(
        weights or default_weights(), backend, config, precision=precision, engine=engine, threads=threads
    )


def make_paper_refiner(
    weights: Path | None,
    *,
    device: str = "cpu",
    renderer: str = RENDERERS[0],
    precision: str = "auto",
    engine: str = "auto",
    threads: int = 0,
    settings: Sequence[str] = (),
) -> Refiner:
    """A refiner of the published layout and conventions that takes any mesh: for measuring time, not for poses.

    Args:
        weights: A safetensors file of the ``paper`` family; random weights when None.
        device: "cpu" or "cuda".
        renderer: One of ``rendering.backends.RENDERERS``.
        precision: As :func:`load_refiner`.
        engine: As :func:`load_refiner`.
        threads: As :func:`load_refiner`.
        settings: ``name=value`` entries for :class:`RefinerConfig`.

    Raises:
        InputError: The weights are of another family.
        CheckpointError, BackendUnavailableError, ConfigError: As :func:`load_refiner`.
    """
    import torch

    from rnnpose_ros.acceleration.engines import accelerate, choose_engine
    from rnnpose_ros.checkpoints.checkpoint import load_network
    from rnnpose_ros.cli.settings import parse_settings
    from rnnpose_ros.config import build
    from rnnpose_ros.geometry.crop import CropConvention
    from rnnpose_ros.networks.paper_network import PaperConfig, PaperNetwork, TrainedFor
    from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig

    config = build(RefinerConfig, parse_settings(settings))
    backend = make_renderer(renderer, device)
    choose_engine(engine, device)  # before anything is loaded
    if weights is None:
        torch.manual_seed(0)
        network = PaperNetwork(PaperConfig(input_scaling="published")).to(device).eval()
        network.trained_for = TrainedFor(convention=CropConvention.OFFICIAL)
    else:
        loaded, _ = load_network(weights, device=device, precision=precision)
        if not isinstance(loaded, PaperNetwork):
            raise InputError(f"{weights} holds a network of family {loaded.config.family!r}, not 'paper'")
        network = loaded
        network.trained_for = TrainedFor(convention=loaded.trained_for.convention)
    return Refiner(accelerate(network, engine, threads=threads, precision=precision), backend, config)
