"""Training targets against the renderer, and losses against cases with known values."""

from __future__ import annotations

import math

import pytest
import torch

from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.geometry.camera import pixel_grid
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.losses import divergence, matching_entropy, point_alignment
from rnnpose_ros.training.targets import FieldTargets, field_targets
from rnnpose_ros.types import TrainingBatch

SIZE = 64


@pytest.fixture(scope="module")
def renderer() -> WarpRenderer:
    return WarpRenderer("cpu")


@pytest.fixture(scope="module")
def batch(renderer: WarpRenderer) -> TrainingBatch:
    return SceneGenerator(renderer, seed=11).batch(6, size=SIZE, margin=1.3)


def targets_at(batch: TrainingBatch, renderer: WarpRenderer, T: torch.Tensor) -> FieldTargets:
    meshes = [renderer.upload(m.mesh) for m in batch.objects]
    depth = renderer.render(meshes, T, batch.camera).depth[:, ::8, ::8]
    diameter = torch.tensor([m.diameter for m in batch.objects])
    return field_targets(batch, depth, pixel_grid(SIZE, SIZE, stride=8), diameter)


def test_truth_as_start_asks_for_no_motion(batch: TrainingBatch, renderer: WarpRenderer) -> None:
    import dataclasses

    same = dataclasses.replace(batch, T_camera_object_initial=batch.T_camera_object)
    targets = targets_at(same, renderer, same.T_camera_object)
    motion = (targets.target_uv - pixel_grid(SIZE, SIZE, stride=8))[targets.covered]
    assert len(motion) > 0
    assert motion.abs().max() < 2e-3


def test_visible_cells_are_where_the_photograph_shows_the_object(batch: TrainingBatch, renderer: WarpRenderer) -> None:
    targets = targets_at(batch, renderer, batch.T_camera_object_initial)
    assert not bool((targets.visible & ~targets.covered).any())
    rows, v, u = torch.nonzero(targets.visible, as_tuple=True)
    seen_u, seen_v = targets.target_uv[rows, v, u].round().long().unbind(-1)
    assert len(rows) > 0
    assert (batch.photo_depth[rows, seen_v, seen_u] > 0).all()


def test_alignment_of_a_shift_is_the_shift_in_diameters() -> None:
    points = torch.rand(2, 10, 3)
    shifted = points + torch.tensor([0.02, 0.0, 0.05])
    loss = point_alignment(shifted, points, torch.tensor([0.2, 0.2]), depth=0.4)
    assert math.isclose(float(loss), 0.1 + 0.4 * 0.25, rel_tol=1e-4)


def test_matching_entropy_of_the_right_answer_is_zero_and_of_no_idea_is_log_of_the_cells() -> None:
    target = torch.tensor([16.0, 24.0]).expand(1, 8, 8, 2)
    everything = torch.ones(1, 8, 8, dtype=torch.bool)
    targets = FieldTargets(target_uv=target, covered=everything, visible=everything)
    sure = torch.full((64, 8, 8), -50.0)
    sure[:, 3, 2] = 50.0
    assert float(matching_entropy(sure, targets, stride=8)) < 1e-4
    undecided = matching_entropy(torch.zeros(64, 8, 8), targets, stride=8)
    assert math.isclose(float(undecided), math.log(64), rel_tol=1e-5)


def test_the_divergence_from_a_teacher_counts_covered_cells_and_ends_where_they_agree() -> None:
    taught = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(0))
    covered = torch.tensor([[[True, False], [True, False]]])
    elsewhere = torch.where(covered.flatten()[:, None, None], taught + 5.0, -taught)
    assert float(divergence(elsewhere, taught, covered)) == pytest.approx(0.0, abs=1e-6), "a constant is no opinion"
    p = taught[[0, 2]].flatten(1).softmax(1)
    by_hand = float((p * (4.0 * p).log()).sum(1).mean())
    assert float(divergence(torch.zeros(4, 2, 2), taught, covered)) == pytest.approx(by_hand, rel=1e-5)
    assert float(divergence(taught, taught, covered & False)) == 0.0
