"""The recipes by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnpose_ros.config import build
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import TrainingConfig
from rnnpose_ros.training.generic_recipe import FinetuneConfig, GenericConfig, GenericRecipe
from rnnpose_ros.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class _Entry:
    config: type[TrainingConfig]
    make: Callable[[Any, Renderer], Recipe]


_RECIPES: Mapping[str, _Entry] = {
    "generic": _Entry(GenericConfig, GenericRecipe),
    "finetune": _Entry(FinetuneConfig, GenericRecipe),
}


def make_recipe(name: str, settings: Mapping[str, Any], renderer: Renderer) -> Recipe:
    """A recipe with its network allocated.

    Args:
        name: ``generic`` (any mesh, from the start), ``finetune`` (from given weights, encoders frozen).
        settings: Dotted names to values, of the loop and of the recipe.
        renderer: On the training device.

    Raises:
        ConfigError: No such recipe or setting.
    """
    entry = _RECIPES.get(name)
    if entry is None:
        raise ConfigError(f"unknown recipe {name!r}: expected one of {', '.join(_RECIPES)}")
    return entry.make(build(entry.config, settings), renderer)
