"""The published network learns in a few cheap steps: every loss falls, at first on one photograph, then on any."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trimesh

from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.paper_losses import alignment_loss
from rnnpose_ros.training.paper_recipe import PaperRecipe
from rnnpose_ros.training.recipes import make_recipe
from rnnpose_ros.training.trainer import Trainer
from rnnpose_ros.types import Mesh, ObjectModel, TrainingBatch

SIZE, MARGIN = 88, 1.6


@pytest.fixture(scope="module")
def renderer() -> WarpRenderer:
    return WarpRenderer("cpu")


@pytest.fixture(scope="module")
def painted_egg() -> ObjectModel:
    """Every vertex has a colour of its own, in waves that pictures of 64 px can show."""
    shape = trimesh.creation.icosphere(3, radius=1.0)
    waves = 3.0 * torch.randn(3, 3, generator=torch.Generator().manual_seed(2))
    phases = torch.tensor(shape.vertices).float() @ waves + torch.tensor([0.0, 2.0, 4.0])
    colors = (127.5 + 127.5 * torch.sin(phases)).byte()
    shape = shape.apply_scale((0.05, 0.035, 0.025))
    vertices, faces = torch.tensor(shape.vertices).float(), torch.tensor(shape.faces).long()
    normals = torch.tensor(shape.vertex_normals).float()[faces]
    mesh = Mesh(vertices=vertices, faces=faces, corner_normals=normals, vertex_colors=colors)
    return object_from_mesh(mesh, label="egg")


def views_of(
    model: ObjectModel, recipe: PaperRecipe, renderer: WarpRenderer, *, seed: int, count: int
) -> TrainingBatch:
    scenes = SceneGenerator(renderer, config=recipe.config.scenes, seed=seed, models=[model])
    return scenes.batch(count, size=SIZE, margin=MARGIN)


def losses_of(recipe: PaperRecipe, batch: TrainingBatch, *, seed: int = 1):
    return recipe.losses(batch, iterations=2, step=0, random=torch.Generator().manual_seed(seed))


def test_a_few_steps_on_one_photograph_lower_every_loss(renderer, painted_egg) -> None:
    settings = {"mixed_precision": False, "starts": 4, "learning_rate": 1e-3}
    recipe = make_recipe("paper-short", settings, renderer, objects=[painted_egg])
    batch, optimizer = views_of(painted_egg, recipe, renderer, seed=4, count=1), recipe.make_optimizer()
    recipe.schedule(optimizer, 0.01)
    parts = []
    for _ in range(10):
        optimizer.zero_grad()
        losses = losses_of(recipe, batch)
        losses.total.backward()
        optimizer.step()
        parts.append(losses.parts)
    before, after = parts[0], parts[-1]
    assert after["matching"] < 0.5 * before["matching"]
    assert after["circle"] < 0.8 * before["circle"]
    assert after["flow"] < 0.9 * before["flow"]
    assert after["final_pose"] < 0.85 * before["final_pose"]


def test_more_starts_are_drawn_around_the_truth_from_the_batch_s_own_random_numbers(renderer, painted_egg) -> None:
    recipe = make_recipe("paper-short", {"starts": 3, "mixed_precision": False}, renderer, objects=[painted_egg])
    batch = views_of(painted_egg, recipe, renderer, seed=4, count=1)
    starts = recipe._starts(batch, 0, torch.Generator().manual_seed(1))
    assert starts.shape == (3, 4, 4)
    assert torch.equal(starts[:1], batch.T_camera_object_initial)
    assert float((starts[1] - starts[2]).abs().max()) > 1e-3
    assert torch.equal(starts, recipe._starts(batch, 0, torch.Generator().manual_seed(1)))


def test_sigma_moves_by_its_own_rate(renderer, painted_egg) -> None:
    settings = {"learning_rate": 1e-3, "sigma_rate": 10.0, "schedule": "half-cosine", "weight_decay": 0.0}
    recipe = make_recipe("paper-short", settings, renderer, objects=[painted_egg])
    optimizer = recipe.make_optimizer()
    for parameter in recipe.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = recipe.network.features.head.weight.detach().clone()
    recipe.schedule(optimizer, 0.0)
    optimizer.step()
    assert float(recipe.network.sigma.detach()) == pytest.approx(1.0 - 1e-2, abs=1e-5)
    torch.testing.assert_close(recipe.network.features.head.weight.detach(), before - 1e-3, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_short_run_lowers_the_pose_error_on_views_that_were_not_trained_on(
    renderer, painted_egg, tmp_path: Path
) -> None:
    recipe = make_recipe("paper-short", {}, renderer, objects=[painted_egg])
    judge = make_recipe("paper-short", {"starts": 1}, renderer, objects=[painted_egg])
    views = views_of(painted_egg, judge, renderer, seed=999, count=32)
    T_start, T_true = views.T_camera_object_initial.float(), views.T_camera_object.float()
    start = float(alignment_loss(T_start, T_true, painted_egg.mesh.vertices))

    def judged() -> dict[str, float]:
        judge.network.load_state_dict(recipe.network.state_dict())
        with torch.no_grad():
            return losses_of(judge, views).parts

    before = judged()
    assert Trainer(recipe, renderer, tmp_path, objects=[painted_egg]).run()
    after, sigma = judged(), float(recipe.network.sigma.detach())
    figures = f"start {start}, before {before}, after {after}, sigma {sigma}"
    print(figures)
    assert after["final_pose"] < 0.75 * min(start, before["final_pose"]), figures
    assert after["epe_cells"] < 0.6 * before["epe_cells"], figures
    assert after["circle"] < 0.6 * before["circle"], figures
    assert sigma < 0.5, figures
