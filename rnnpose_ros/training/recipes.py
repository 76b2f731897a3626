"""The recipes by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnpose_ros.checkpoints.checkpoint import read_info
from rnnpose_ros.config import build
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.experiment import TrainingConfig
from rnnpose_ros.training.generic_recipe import FinetuneConfig, GenericConfig, GenericRecipe, TinyConfig
from rnnpose_ros.training.outline_recipe import OutlineConfig, OutlineRecipe
from rnnpose_ros.training.paper_recipe import PaperRecipe
from rnnpose_ros.training.paper_settings import PaperFinetuneConfig, PaperShortConfig, PaperTrainingConfig
from rnnpose_ros.training.recipe import Recipe
from rnnpose_ros.types import ObjectModel

RECIPES = ("generic", "tiny", "paper", "paper-short", "finetune", "outline")


@dataclass(frozen=True, slots=True)
class _Entry:
    config: TrainingConfig
    """The defaults."""
    make: Callable[[Any, Renderer, Sequence[ObjectModel]], Recipe]


def _make_generic(config: GenericConfig, renderer: Renderer, objects: Sequence[ObjectModel]) -> Recipe:
    del objects  # its weights serve any
    return GenericRecipe(config, renderer)


def _make_outline(config: OutlineConfig, renderer: Renderer, objects: Sequence[ObjectModel]) -> Recipe:
    del objects
    return OutlineRecipe(config, renderer)


def make_recipe(
    name: str, settings: Mapping[str, Any], renderer: Renderer, *, objects: Sequence[ObjectModel] = ()
) -> Recipe:
    """A recipe with its network allocated.

    Args:
        name: ``generic`` (any mesh, from the start), ``tiny`` (the same of the student that tracks, taught by
            ``small``), ``paper`` (the published network, for given objects), ``paper-short`` (the same in a few
            hundred cheap steps, to see that it learns), ``finetune`` (from given weights of either family, encoders
            frozen), ``outline`` (adds the outline's network to given weights of the 2D families).
        settings: Dotted names to values, of the loop and of the recipe.
        renderer: On the training device.
        objects: To train for; none means any.

    Raises:
        CheckpointError: The initial weights cannot be used.
        ConfigError: No such recipe or setting.
        InputError: The recipe needs objects.
    """
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}: expected one of {', '.join(RECIPES)}")
    entry = _entry(name, settings.get("initial"))
    return entry.make(build(type(entry.config), settings, base=entry.config), renderer, objects)


def _entry(name: str, initial: Any) -> _Entry:
    """What a name means; for fine-tuning the weights' family decides."""
    if name == "paper":
        return _Entry(PaperTrainingConfig(), PaperRecipe)
    if name == "paper-short":
        return _Entry(PaperShortConfig(), PaperRecipe)
    if name == "outline":
        return _Entry(OutlineConfig(), _make_outline)
    if name == "tiny":
        return _Entry(TinyConfig(), _make_generic)
    if name == "generic":
        return _Entry(GenericConfig(), _make_generic)
    if initial and read_info(resolve_path(initial)).network.get("family") == "paper":
        return _Entry(PaperFinetuneConfig(), PaperRecipe)
    return _Entry(FinetuneConfig(), _make_generic)
