"""The trainer: it learns, it saves, it resumes where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rnnpose_ros.checkpoints.checkpoint import load_network
from rnnpose_ros.config import build
from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.experiment import TrainingConfig, parse_stages
from rnnpose_ros.training.optimizer import learning_rate
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
    return Trainer(build(TrainingConfig, TINY), WarpRenderer("cpu"), tmp_path)


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
    again = Trainer(trainer.config, trainer.renderer, tmp_path)
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
    again = Trainer(trainer.config, trainer.renderer, tmp_path)
    again.run()
    assert again.progress.step >= 3
    assert "cannot be read" in caplog.text


def test_schedule_warms_up_and_ends_low() -> None:
    config = TrainingConfig()
    assert learning_rate(config, 0.001) < 0.2 * config.learning_rate
    assert learning_rate(config, config.warmup_share) == pytest.approx(config.learning_rate)
    assert learning_rate(config, 1.0) == pytest.approx(0.01 * config.learning_rate)


def test_stages_that_do_not_reach_the_end_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rise to 1\.0"):
        parse_stages("0.5:160:1.3:4:4")
    with pytest.raises(ConfigError, match="share:px:margin"):
        parse_stages("1.0:160")
