"""The published recipe: it learns, it resumes, its weights refine, and what must stay frozen stays."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from rnnpose_ros.checkpoints.checkpoint import load_network
from rnnpose_ros.data.synthetic.randomization import ViewRanges
from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.data.synthetic.views import start_poses
from rnnpose_ros.errors import AssetError, ConfigError, InputError
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.objects.symmetry import expand_symmetries
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.optimizer import one_cycle
from rnnpose_ros.training.paper_recipe import PaperRecipe
from rnnpose_ros.training.paper_settings import PaperTrainingConfig
from rnnpose_ros.training.recipes import make_recipe
from rnnpose_ros.training.trainer import Trainer
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, Mesh, ObjectModel, PoseHypothesis, TrainingBatch

SIZE = 88
TINY: dict[str, Any] = {"stages": f"1.0:{SIZE}:1.6:1:2", "cycles": 1, "scenes.look.occluder_share": 0.0}


def make_object(label: str, shape: trimesh.Trimesh, symmetries: torch.Tensor | None = None) -> ObjectModel:
    vertices, faces = torch.tensor(shape.vertices).float(), torch.tensor(shape.faces).long()
    normals = torch.tensor(shape.face_normals).float()[:, None].expand(-1, 3, -1).contiguous()
    colors = (255 * torch.rand(len(vertices), 3, generator=torch.Generator().manual_seed(0))).byte()
    mesh = Mesh(vertices=vertices, faces=faces, corner_normals=normals, vertex_colors=colors)
    model = object_from_mesh(mesh, label=label)
    return model if symmetries is None else dataclasses.replace(model, symmetries=symmetries)


def egg_shape() -> trimesh.Trimesh:
    """Round about x; around there its vertices are near enough to see each other."""
    return trimesh.creation.icosphere(3, radius=0.05).apply_scale((1.0, 0.5, 0.5))


@pytest.fixture(scope="module")
def egg() -> ObjectModel:
    return make_object("egg", egg_shape())


@pytest.fixture(scope="module")
def renderer() -> WarpRenderer:
    return WarpRenderer("cpu")


@pytest.fixture
def recipe(renderer: WarpRenderer, egg: ObjectModel) -> PaperRecipe:
    return make_recipe("paper", TINY, renderer, objects=[egg])


def make_batch(recipe: PaperRecipe, renderer: WarpRenderer, model: ObjectModel, count: int = 1) -> TrainingBatch:
    scenes = SceneGenerator(renderer, config=recipe.config.scenes, seed=4, models=[model])
    return scenes.batch(count, size=SIZE, margin=1.6)


def losses_of(recipe: PaperRecipe, batch: TrainingBatch):
    return recipe.losses(batch, iterations=2, step=0, random=torch.Generator().manual_seed(1))


def test_gradients_reach_every_trained_part_and_are_finite(recipe, renderer, egg) -> None:
    losses = losses_of(recipe, make_batch(recipe, renderer, egg))
    losses.total.backward()
    weights = recipe.config.losses
    parts = losses.parts
    expected = weights.pose * parts["pose"] + weights.flow * parts["flow"] + weights.circle * parts["circle"]
    assert parts["loss"] == pytest.approx(expected, rel=1e-5)
    for name, module in recipe.network.named_children():
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        assert all(bool(torch.isfinite(g).all()) for g in gradients), name
        assert any(bool((g != 0).any()) for g in gradients), name
        assert float(torch.stack([g.norm() for g in gradients]).norm()) < 1e3, name
    assert math.isfinite(float(recipe.network.sigma.grad))
    assert float(recipe.network.sigma.grad) != 0.0


@pytest.mark.parametrize("counted", [True, False])
def test_a_sample_that_shows_nothing_does_no_harm(recipe, renderer, egg, counted: bool) -> None:
    batch = make_batch(recipe, renderer, egg)
    empty = dataclasses.replace(
        batch, photo_depth=torch.zeros_like(batch.photo_depth), valid=torch.full_like(batch.valid, counted)
    )
    losses = losses_of(recipe, empty)
    losses.total.backward()
    assert losses.parts["circle"] == 0
    for parameter in recipe.network.parameters():
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())


def test_a_start_that_sees_nothing_of_the_object_ends_the_sample(recipe, renderer, egg) -> None:
    batch = make_batch(recipe, renderer, egg)
    away = batch.T_camera_object_initial.clone()
    away[:, 2, 3] *= -1
    losses = losses_of(recipe, dataclasses.replace(batch, T_camera_object_initial=away))
    losses.total.backward()
    assert losses.parts["pose"] == 0
    assert math.isfinite(losses.parts["loss"])


def test_a_symmetric_object_is_held_against_the_nearest_truth(renderer) -> None:
    turns = expand_symmetries([], [{"axis": [1, 0, 0], "offset": [0, 0, 0]}], steps=4)
    model = make_object("egg", egg_shape(), turns)
    recipe = make_recipe("paper", TINY, renderer, objects=[model])
    batch = make_batch(recipe, renderer, model)
    turned = dataclasses.replace(batch, T_camera_object=batch.T_camera_object @ turns[1])
    assert losses_of(recipe, turned).parts["pose"] == pytest.approx(losses_of(recipe, batch).parts["pose"], rel=1e-4)


def test_start_noise_is_n1_for_objects_of_any_size_and_never_turns_beyond_45_degrees(egg) -> None:
    ranges = PaperTrainingConfig().scenes.view
    small = dataclasses.replace(egg, diameter=0.02)
    T = torch.eye(4, dtype=torch.float64).repeat(2000, 1, 1)
    T[:, 2, 3] = 2.0
    starts = start_poses(
        T, (small,) * 2000, ranges, rng=np.random.default_rng(0), generator=torch.Generator().manual_seed(0)
    )
    moved = starts[:, :3, 3] - T[:, :3, 3] - (T - starts)[:, :3, :3] @ small.centre.double()
    np.testing.assert_allclose(moved.std(0), [0.01, 0.01, 0.05], rtol=0.08)
    angles = torch.rad2deg(rotation_angle(starts[:, :3, :3]))
    assert float(angles.max()) <= 45.0
    assert 20.0 < float(angles.mean()) < 26.0
    proportional = start_poses(
        T, (small,) * 2000, ViewRanges(), rng=np.random.default_rng(0), generator=torch.Generator().manual_seed(0)
    )
    assert float((proportional - T)[:, 2, 3].std()) < 0.04


def test_the_published_cycle_rises_in_a_hundredth_and_falls_to_nothing() -> None:
    assert one_cycle(0.0, peak=1e-4) == pytest.approx((1e-5, 0.95))
    assert one_cycle(0.01, peak=1e-4) == pytest.approx((1e-4, 0.85))
    assert one_cycle(0.505, peak=1e-4) == pytest.approx((5e-5, 0.90), rel=1e-3)
    assert one_cycle(1.0, peak=1e-4) == pytest.approx((1e-9, 0.95))


def test_a_run_resumes_and_its_weights_refine_their_own_mesh_only(recipe, renderer, egg, tmp_path: Path) -> None:
    batch = make_batch(recipe, renderer, egg)
    trainer = Trainer(recipe, renderer, tmp_path, objects=[egg])
    trainer.train_step(0.5, recipe.config.stage_at(0.5))
    trainer.progress.step, trainer.progress.seconds = 1, 1e9
    trainer.save()
    again = Trainer(make_recipe("paper", TINY, renderer, objects=[egg]), renderer, tmp_path, objects=[egg])
    assert again.run()
    assert again.progress.step == 1
    network, info = load_network(tmp_path / "weights.safetensors")
    assert info.labels == ("egg",)
    assert info.convention == CropConvention.EXACT.value
    for name, tensor in recipe.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name
    for name, tensor in trainer.average.network.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name
    refiner = Refiner(network, renderer, RefinerConfig(cycles=1, iterations=1, crop_size=64))
    frame = ImageFrame(
        rgb=batch.photo[0].permute(1, 2, 0).contiguous(),
        camera=CameraIntrinsics(batch.camera.K, height=SIZE, width=SIZE),
    )
    start = PoseHypothesis("egg", batch.T_camera_object_initial[0])
    (result,) = refiner.refine(frame, [start], {"egg": egg})
    assert bool(torch.isfinite(result.T_camera_object).all())
    other = make_object("egg", trimesh.creation.icosphere(2, radius=0.05))
    with pytest.raises(AssetError, match="its mesh is not the one that these weights were made for"):
        refiner.refine(frame, [start], {"egg": other})


def test_fine_tuning_takes_the_family_of_its_weights_and_leaves_the_encoders(recipe, renderer, egg, tmp_path) -> None:
    Trainer(recipe, renderer, tmp_path, objects=[egg]).save()
    initial = str(tmp_path / "weights.safetensors")
    other = make_object("ring", trimesh.creation.torus(0.05, 0.02))
    tuned = make_recipe("finetune", {**TINY, "initial": initial}, renderer, objects=[other])
    assert isinstance(tuned, PaperRecipe)
    before = {name: tensor.clone() for name, tensor in tuned.network.state_dict().items()}
    optimizer = tuned.make_optimizer()
    losses_of(tuned, make_batch(tuned, renderer, other)).total.backward()
    optimizer.step()
    changed = {name.split(".")[0] for name, t in tuned.network.state_dict().items() if not torch.equal(before[name], t)}
    assert changed == {"descriptor2d", "descriptor3d", "update_block", "sigma"}
    assert tuple(tuned.describe(tuned.network, {}).meshes) == ("ring",)


def test_what_cannot_be_trained_is_refused(renderer, egg, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --mesh"):
        make_recipe("paper", TINY, renderer)
    coarse = make_object("die", trimesh.creation.box((0.1, 0.1, 0.1)).subdivide())
    with pytest.raises(InputError, match=r"'die': 100 % of its 26 vertices"):
        make_recipe("paper", TINY, renderer, objects=[egg, coarse])
    with pytest.raises(ConfigError, match="at least 88 px"):
        make_recipe("paper", {"stages": "1.0:64:1.6:1:4"}, renderer, objects=[egg])
    with pytest.raises(ConfigError, match="no module 'encoder'"):
        make_recipe("paper", {**TINY, "frozen": "encoder"}, renderer, objects=[egg])
