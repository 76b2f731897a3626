"""Training runs of a few seconds: a tiny network, tiny pictures, tiny pools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.generic_recipe import GenericRecipe
from rnnpose_ros.training.outline_recipe import OutlineRecipe
from rnnpose_ros.training.recipes import make_recipe
from rnnpose_ros.training.trainer import Trainer

_TINY: dict[str, Any] = {
    "stages": "0.5:48:1.3:1:2, 1.0:56:1.3:1:2",
    "learning_rate": 2e-3,
    "pose_ramp_steps": 1,
    "mixed_precision": False,
    "network.feature_widths": (8, 8, 16, 16),
    "network.feature_channels": 32,
    "network.context_widths": (8, 8, 8, 16),
    "network.context_channels": 16,
    "network.hidden_channels": 16,
    "network.correlation_levels": 2,
    "scenes.objects.pool_size": 5,
    "scenes.objects.samples_per_object": 3,
    "scenes.objects.tile_px": 32,
    "scenes.objects.large_tile_px": 32,
    "scenes.look.cutouts": 3,
    "scenes.look.backgrounds": 4,
}


@pytest.fixture(scope="session")
def tiny_recipe() -> Callable[..., GenericRecipe]:
    """Makes the generic recipe of a tiny network; settings by dotted name."""

    def make(settings: dict[str, Any] | None = None, *, name: str = "generic", device: str = "cpu") -> GenericRecipe:
        recipe = make_recipe(name, {**_TINY, **(settings or {})}, WarpRenderer(device))
        assert isinstance(recipe, GenericRecipe)
        return recipe

    return make


@pytest.fixture(scope="session")
def tiny_outline_recipe() -> Callable[..., OutlineRecipe]:
    """Makes the outline's recipe upon given weights; settings by dotted name."""
    loop = {n: v for n, v in _TINY.items() if not n.startswith(("network.", "pose_"))}

    def make(initial: Path) -> OutlineRecipe:
        settings = {**loop, "initial": str(initial), "widths": (8, 8, 8, 8)}
        recipe = make_recipe("outline", settings, WarpRenderer("cpu"))
        assert isinstance(recipe, OutlineRecipe)
        return recipe

    return make


@pytest.fixture(scope="session")
def make_trainer(tiny_recipe: Callable[..., GenericRecipe]) -> Callable[..., Trainer]:
    """Makes a tiny run in this process; settings by dotted name."""

    def make(
        directory: Path, settings: dict[str, Any] | None = None, *, device: str = "cpu", **options: Any
    ) -> Trainer:
        return Trainer(tiny_recipe(settings, device=device), WarpRenderer(device), directory, **options)

    return make


@pytest.fixture(scope="session")
def train_arguments() -> Callable[..., list[str]]:
    """The arguments of ``rnnpose`` for a tiny run."""

    def arguments(directory: Path, settings: dict[str, Any]) -> list[str]:
        command = ["train", "--out", str(directory)]
        for name, value in {**_TINY, **settings}.items():
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()
            command += ["--set", f"{name}={text}"]
        return command

    return arguments
