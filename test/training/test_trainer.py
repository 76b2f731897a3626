"""The trainer: it learns, it saves, it resumes where it was."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from rnnpose_ros.checkpoints.checkpoint import load_network
from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.experiment import parse_stages
from rnnpose_ros.training.optimizer import half_cosine
from rnnpose_ros.training.recipe import Recipe
from rnnpose_ros.training.recipes import make_recipe
from rnnpose_ros.training.trainer import Trainer

TINY = {
    "minutes": 10.0,
    "stages": "1.0:64:1.3:2:2",
    "learning_rate": 2e-3,
    "pose_ramp_steps": 1,
    "mixed_precision": False,
    "network.feature_widths": (8, 8, 16, 16),
    "network.feature_channels": 32,
    "network.context_widths": (8, 8, 8, 16),
    "network.context_channels": 16,
    "network.hidden_channels": 16,
    "network.correlation_levels": 2,
}


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return _trainer(tmp_path)


def _trainer(directory: Path, **settings: object) -> Trainer:
    renderer = WarpRenderer("cpu")
    return Trainer(make_recipe("generic", {**TINY, **settings}, renderer), renderer, directory)


def test_training_on_one_batch_lowers_its_loss(trainer: Trainer) -> None:
    batch = SceneGenerator(trainer.renderer, seed=5).batch(2, size=64, margin=1.3)
    stage = trainer.config.stage_at(0.0)
    losses = [trainer.train_step(batch, 0.1, stage)["matching"] for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]


def test_run_resumes_with_the_same_weights_and_step(trainer: Trainer, tmp_path: Path) -> None:
    batch = SceneGenerator(trainer.renderer, seed=5).batch(2, size=64, margin=1.3)
    trainer.train_step(batch, 0.5, trainer.config.stage_at(0.0))
    trainer.progress.seconds = 1e6
    trainer.save()
    again = _trainer(tmp_path)
    again.run()
    assert again.progress.step == 1
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])
    loaded, info = load_network(tmp_path / "weights.safetensors")
    assert info.provenance["step"] == 1
    assert loaded.config == trainer.config.network


def test_damaged_last_checkpoint_falls_back_to_the_one_before(
    trainer: Trainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer.progress.step, trainer.progress.seconds = 3, 1e6
    trainer.save()
    trainer.progress.step = 4
    trainer.save()
    (tmp_path / "last.pt").write_bytes(b"PK damaged")
    again = _trainer(tmp_path)
    again.run()
    assert again.progress.step >= 3
    assert "cannot be read" in caplog.text


def test_schedule_warms_up_and_ends_low() -> None:
    rate = partial(half_cosine, peak=2.0, warmup_share=0.1)
    assert rate(0.01) == pytest.approx(0.2)
    assert rate(0.1) == pytest.approx(2.0)
    assert rate(0.55) == pytest.approx(0.505 * 2.0)
    assert rate(1.0) == pytest.approx(0.01 * 2.0)


def test_stages_that_do_not_reach_the_end_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rise to 1\.0"):
        parse_stages("0.5:160:1.3:4:4")
    with pytest.raises(ConfigError, match="share:px:margin"):
        parse_stages("1.0:160")


def test_fine_tuning_leaves_the_encoders_and_changes_the_rest(trainer: Trainer, tmp_path: Path) -> None:
    trainer.save()
    weights = str(tmp_path / "weights.safetensors")
    renderer = trainer.renderer
    settings = {"initial": weights, "stages": "1.0:64:1.3:2:2", "mixed_precision": False}
    recipe = make_recipe("finetune", settings, renderer)
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    tuned = Trainer(recipe, renderer, tmp_path / "tuned")
    batch = SceneGenerator(renderer, seed=5).batch(2, size=64, margin=1.3)
    for _ in range(2):
        tuned.train_step(batch, 0.5, recipe.config.stage_at(0.5))
    changed = {n.split(".")[0] for n, t in recipe.network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"descriptor", "update_block", "log_sigma"}


def test_a_module_that_cannot_be_frozen_is_named() -> None:
    with pytest.raises(ConfigError, match="no module 'encoder'; it has features, context"):
        make_recipe("generic", {**TINY, "frozen": "encoder"}, WarpRenderer("cpu"))


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'best': expected one of generic, finetune"):
        make_recipe("best", {}, WarpRenderer("cpu"))


def test_recipes_are_what_the_trainer_takes(trainer: Trainer) -> None:
    assert isinstance(trainer.recipe, Recipe)
