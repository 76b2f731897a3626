"""The recipes by name, and what fine-tuning leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, describe, save_checkpoint
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.experiment import Stage
from rnnpose_ros.training.generic_recipe import GenericRecipe
from rnnpose_ros.training.optimizer import half_cosine
from rnnpose_ros.training.outline_recipe import OutlineRecipe
from rnnpose_ros.training.recipe import Recipe
from rnnpose_ros.training.recipes import make_recipe
from rnnpose_ros.training.trainer import Trainer

TinyRecipe = Callable[..., GenericRecipe]
STAGE = Stage(until=1.0, size=64, margin=1.3, batch=2, iterations=2)


def test_fine_tuning_leaves_the_encoders_and_changes_the_rest(
    tiny_recipe: TinyRecipe, make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    make_trainer(tmp_path, {"seed": 9}).save()
    initial = str(tmp_path / "weights.safetensors")
    recipe = tiny_recipe({"initial": initial}, name="finetune")
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    random = tiny_recipe({"seed": 9}).network.state_dict()
    assert all(torch.equal(tensor, random[name]) for name, tensor in before.items())
    trainer = Trainer(recipe, WarpRenderer("cpu"), tmp_path / "tuned")
    for _ in range(2):
        trainer.train_step(0.5, STAGE)
    changed = {n.split(".")[0] for n, t in recipe.network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"descriptor", "update_block", "log_sigma"}


def test_initial_weights_of_another_network_are_refused(
    tiny_recipe: TinyRecipe, make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    make_trainer(tmp_path).save()
    with pytest.raises(ConfigError, match=r"holds another network than network\.\* describes"):
        tiny_recipe({"initial": str(tmp_path / "weights.safetensors"), "network.hidden_channels": 32})


def test_a_student_learns_its_teachers_correlation(
    tiny_recipe: TinyRecipe, make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    make_trainer(tmp_path, {"seed": 9}).save()
    taught = {"teacher": str(tmp_path / "weights.safetensors"), "losses.matching": 0.0, "learning_rate": 1e-2}
    alone = {name: 0.0 for name in ("losses.flow", "losses.pose", "losses.confidence", "losses.descriptor")}
    recipe = tiny_recipe({**taught, **alone, "losses.teaching": 1.0}, name="tiny")
    trainer = Trainer(recipe, WarpRenderer("cpu"), tmp_path / "student")
    batch = trainer.streams[0].batch(STAGE)
    random = torch.Generator().manual_seed(0)

    def teaching() -> float:
        return recipe.losses(batch, iterations=1, step=0, random=random).parts["teaching"]

    before = teaching()
    for _ in range(8):
        trainer.train_step(0.5, STAGE)
    assert teaching() < 0.8 * before
    assert not any("teacher" in name for name in recipe.network.state_dict())
    with pytest.raises(ConfigError, match="correlates otherwise: give weights of tiny, small or base"):
        tiny_recipe({"teacher": str(_paper_weights(tmp_path))}, name="tiny")


def _paper_weights(folder: Path) -> Path:
    network = PaperNetwork()
    save_checkpoint(folder / "paper.safetensors", network, CheckpointInfo(network=describe(network), provenance={}))
    return folder / "paper.safetensors"


def test_a_module_that_cannot_be_frozen_is_named(tiny_recipe: TinyRecipe) -> None:
    with pytest.raises(ConfigError, match="no module 'encoder'; it has features, context"):
        tiny_recipe({"frozen": "encoder"})


def test_an_unknown_recipe_is_named() -> None:
    known = "generic, tiny, paper, paper-short, finetune, outline"
    with pytest.raises(ConfigError, match=f"unknown recipe 'best': expected one of {known}"):
        make_recipe("best", {}, WarpRenderer("cpu"))


def test_the_generic_recipe_is_a_recipe(tiny_recipe: TinyRecipe) -> None:
    assert isinstance(tiny_recipe(), Recipe)


def test_the_schedule_warms_up_and_ends_low() -> None:
    rate = partial(half_cosine, peak=2.0, warmup_share=0.1)
    assert rate(0.01) == pytest.approx(0.2)
    assert rate(0.1) == pytest.approx(2.0)
    assert rate(0.55) == pytest.approx(0.505 * 2.0)
    assert rate(1.0) == pytest.approx(0.01 * 2.0)


def test_the_outline_is_trained_beside_a_network_that_stays(
    tiny_outline_recipe: Callable[..., OutlineRecipe], make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    make_trainer(tmp_path, {"seed": 9}).save()
    recipe = tiny_outline_recipe(tmp_path / "weights.safetensors")
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    trainer = Trainer(recipe, WarpRenderer("cpu"), tmp_path / "outline")
    losses = [trainer.train_step(0.1, STAGE)["loss"] for _ in range(25)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    changed = {n.split(".")[0] for n, t in recipe.network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"outline"}
    trainer.save()
    again = tiny_outline_recipe(tmp_path / "outline" / "weights.safetensors")
    assert again.network.config == recipe.network.config
    averaged = trainer.average.network.state_dict()
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in again.network.state_dict().items())


def test_networks_without_a_place_for_the_outline_are_refused(
    tiny_outline_recipe: Callable[..., OutlineRecipe], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="family without outline"):
        tiny_outline_recipe(_paper_weights(tmp_path))
