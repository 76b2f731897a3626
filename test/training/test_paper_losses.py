"""The published losses against brute force and cases with known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from rnnpose_ros.geometry.camera import intrinsics, project
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, transform
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.training.circle_loss import CircleConfig, circle_loss
from rnnpose_ros.training.descriptor_pairs import VertexSearch
from rnnpose_ros.training.paper_losses import (
    alignment_loss,
    cell_targets,
    dense_targets,
    endpoint_error,
    flow_loss,
)
from rnnpose_ros.types import Mesh

SIZE = 64
CAMERA = intrinsics(300.0, 310.0, 31.0, 33.0, width=SIZE, height=SIZE)


def ball(subdivisions: int = 4) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions, radius=0.05)
    vertices, faces = torch.tensor(shape.vertices).float(), torch.tensor(shape.faces).long()
    return Mesh(vertices=vertices, faces=faces, corner_normals=torch.tensor(shape.vertex_normals).float()[faces])


def pose(x: float, turn: float = 0.0) -> Tensor:
    R = exp_so3(torch.tensor([[0.0, turn, 0.0]], dtype=torch.float64))
    return from_rotation_translation(R, torch.tensor([[x, 0.0, 0.6]], dtype=torch.float64))


@pytest.fixture(scope="module")
def depth() -> Tensor:
    renderer = WarpRenderer("cpu")
    return renderer.render([renderer.upload(ball())], pose(0.0), CAMERA).depth


@pytest.fixture(scope="module")
def search() -> VertexSearch:
    return VertexSearch(ball(), config=CircleConfig(), name="ball")


def test_alignment_of_a_shift_is_the_sum_of_its_coordinates() -> None:
    moved = pose(0.0).clone()
    moved[0, :3, 3] += torch.tensor([0.01, -0.02, 0.05])
    assert float(alignment_loss(moved, pose(0.0), torch.rand(50, 3).double())) == pytest.approx(0.08, abs=1e-9)


def test_cells_are_visible_where_a_photograph_of_another_camera_shows_their_points(depth: Tensor) -> None:
    truth = pose(0.01, turn=0.5)
    photo_camera = intrinsics(450.0, 465.0, 47.0, 50.0, width=96, height=96)
    renderer = WarpRenderer("cpu")
    photo_depth = renderer.render([renderer.upload(ball())], truth, photo_camera).depth
    targets = dense_targets(depth, CAMERA, T_render=pose(0.0), T_true=truth)

    def cells(photo: Tensor):
        return cell_targets(targets, CAMERA, stride=8, photo_depth=photo, photo_camera=photo_camera, diameter=0.1)

    at_cells = cells(photo_depth)
    assert torch.equal(at_cells.covered, (depth > 0)[:, ::8, ::8])
    assert torch.equal(at_cells.target_uv, targets.target_uv[:, ::8, ::8])
    # On a convex body a point is seen where its normal looks at the camera. Turned by 0.5 about y, those
    # on the side that turns away are hidden; cells whose normal is all but level are left out.
    rows, columns = at_cells.covered[0].nonzero(as_tuple=True)
    z = depth[0, ::8, ::8][rows, columns]
    points = torch.stack([(8 * columns - 31.0) / 300 * z, (8 * rows - 33.0) / 310 * z, z], -1).double()
    moved = transform(truth @ torch.linalg.inv(pose(0.0)), points[None])[0]
    normals = (moved - truth[0, :3, 3]) / 0.05
    facing = -(normals * moved / moved.norm(dim=-1, keepdim=True)).sum(-1)
    clear = facing.abs() > 0.1
    visible = at_cells.visible[0, rows, columns]
    assert torch.equal(visible[clear], (facing > 0)[clear])
    assert 0 < int(visible.sum()) < len(visible)
    left_half_hidden = photo_depth.clone()
    left_half_hidden[:, :, :48] = 0
    left = at_cells.target_uv[..., 0] < (47.5 - 47.0) / 450 * 300 + 31.0
    assert torch.equal(cells(left_half_hidden).visible, at_cells.visible & ~left)


def test_dense_targets_of_a_shift_follow_the_pinhole(depth: Tensor) -> None:
    targets = dense_targets(depth, CAMERA, T_render=pose(0.0), T_true=pose(0.01))
    rows, columns = targets.counted[0].nonzero(as_tuple=True)
    assert torch.equal(targets.counted, depth > 0)
    moved = targets.target_uv[0, rows, columns] - torch.stack([columns, rows], -1)
    torch.testing.assert_close(moved[:, 0], 300.0 * 0.01 / depth[0, rows, columns], rtol=1e-4, atol=1e-4)
    assert float(moved[:, 1].abs().max()) < 1e-3


def test_flow_loss_is_the_mean_over_all_pixels_of_the_crop(depth: Tensor) -> None:
    targets = dense_targets(depth, CAMERA, T_render=pose(0.0), T_true=pose(0.01, 0.2))
    guess = targets.target_uv + torch.tensor([3.0, -4.0])
    share = float((depth > 0).float().mean())
    assert float(flow_loss(guess, targets)) == pytest.approx(3.5 * share, rel=1e-4)
    assert float(endpoint_error(guess, targets)) == pytest.approx(5.0, rel=1e-4)


def test_points_that_the_truth_puts_behind_the_camera_or_far_away_do_not_count(depth: Tensor) -> None:
    behind = pose(0.0).clone()
    behind[0, 2, 3] = -0.6
    for T_true in (behind, pose(1.5)):
        targets = dense_targets(depth, CAMERA, T_render=pose(0.0), T_true=T_true)
        assert not bool(targets.counted.any())
        guess = torch.zeros_like(targets.target_uv, requires_grad=True)
        loss = flow_loss(guess, targets)
        loss.backward()
        assert loss.item() == 0
        assert bool((guess.grad == 0).all())


def brute_force_circle(rows: np.ndarray, columns: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """The definition, pair by pair."""
    d = np.array([[math.sqrt(max(2 - 2 * float(a @ b), 1e-8)) for b in columns] for a in rows])
    halves = []
    for distances, p, n in ((d, positive, negative), (d.T, positive.T, negative.T)):
        costs = []
        for i in range(len(distances)):
            pulls = [math.exp(16 * max(0.0, x - 0.1) * (x - 0.1)) for x in distances[i][p[i]]]
            pushes = [math.exp(16 * max(0.0, 1.4 - x) * (1.4 - x)) for x in distances[i][n[i]]]
            if pulls and pushes:
                costs.append(math.log1p(sum(pulls) * sum(pushes)) / 16)
        halves.append(sum(costs) / max(len(costs), 1))
    return 0.5 * sum(halves)


def unit(*shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_circle_loss_equals_its_definition_pair_by_pair() -> None:
    rows, columns = unit(12, 8), unit(9, 8)
    draw = torch.rand(12, 9)
    positive, negative = draw < 0.2, draw > 0.5
    negative[3] = False  # a row with positives alone does not count
    loss = circle_loss(rows, columns, positive, negative, config=CircleConfig())
    assert float(loss) == pytest.approx(
        brute_force_circle(rows.numpy(), columns.numpy(), positive.numpy(), negative.numpy()), rel=1e-9
    )


def test_circle_loss_falls_as_pairs_agree_and_its_gradient_is_right() -> None:
    same = torch.eye(6, dtype=torch.bool)
    columns = torch.eye(6, dtype=torch.float64)
    agreeing = circle_loss(columns, columns, same, ~same, config=CircleConfig())
    swapped = circle_loss(columns.roll(1, 0), columns, same, ~same, config=CircleConfig())
    assert float(agreeing) < 0.15 * float(swapped)
    # Weights carry no gradient: compare with the quadratic's half, which has the same slope.
    rows = unit(6, 6).requires_grad_()
    circle_loss(rows, columns, same, ~same, config=CircleConfig()).backward()
    step = 1e-4 * rows.grad / rows.grad.norm()
    with torch.no_grad():
        assert float(circle_loss(rows - step, columns, same, ~same, config=CircleConfig())) < float(
            circle_loss(rows, columns, same, ~same, config=CircleConfig())
        )


@pytest.mark.parametrize("count", [0, 1])
def test_circle_loss_without_partners_is_zero_with_finite_gradients(count: int) -> None:
    rows = unit(count, 8).requires_grad_()
    columns = rows.detach().clone().requires_grad_()
    nothing = torch.zeros(count, count, dtype=torch.bool)
    loss = circle_loss(rows, columns, ~nothing, nothing, config=CircleConfig())
    loss.backward()
    assert loss.item() == 0
    assert bool(torch.isfinite(rows.grad).all())
    assert bool(torch.isfinite(columns.grad).all())


def test_gradients_are_finite_where_descriptors_agree_exactly() -> None:
    rows = unit(4, 8).requires_grad_()
    same = torch.eye(4, dtype=torch.bool)
    circle_loss(rows, rows.detach(), same, ~same, config=CircleConfig()).backward()
    assert bool(torch.isfinite(rows.grad).all())


def test_pairs_join_pixels_with_vertices_that_project_to_them(depth: Tensor, search: VertexSearch) -> None:
    random = torch.Generator().manual_seed(2)
    pairs = search.draw(depth[0], pose(0.0)[0], CAMERA.K[0], random=random)
    count = len(pairs.vertex)
    assert count > 50
    assert len(pairs.uv) - count == round(0.1 * count)
    uv = project(transform(pose(0.0), ball().vertices[pairs.vertex][None].double()), CAMERA.K)[0]
    radius_px = search.config.pair_radius * 0.1 * 310.0 / 0.55
    assert float((uv - pairs.uv[:count]).norm(dim=-1).max()) < radius_px + 0.05
    u, v = pairs.uv.long().unbind(-1)
    assert torch.equal(depth[0, v, u] > 0, torch.arange(len(u)) < count)


def test_positive_and_negative_sets_follow_the_radii(depth: Tensor, search: VertexSearch) -> None:
    pairs = search.draw(depth[0], pose(0.0)[0], CAMERA.K[0], random=torch.Generator().manual_seed(3))
    count = len(pairs.vertex)
    assert bool(pairs.positive[:count, :count].diagonal().all())
    assert not bool((pairs.positive & pairs.negative).any())
    assert bool(pairs.positive[count:, count:].all())
    assert bool(pairs.negative[:count, count:].all())
    vertices = ball().vertices[pairs.vertex].double() / 0.1
    gap = (vertices[:, None] - vertices[None]).norm(dim=-1)
    reach = search.config.pair_radius
    assert bool((gap[pairs.positive[:count, :count]] < search.config.positive_radius + reach).all())
    assert bool((gap[pairs.negative[:count, :count]] > search.config.negative_radius - reach).all())


def test_coarse_meshes_widen_the_radii_and_very_coarse_ones_are_named(caplog: pytest.LogCaptureFixture) -> None:
    fine = VertexSearch(ball(6), config=CircleConfig(), name="fine").config
    coarse = VertexSearch(ball(1), config=CircleConfig(), name="coarse ball").config
    assert fine == CircleConfig()
    assert coarse.pair_radius > 0.15
    assert coarse.negative_radius / coarse.pair_radius == pytest.approx(2.0)
    assert "coarse ball: its vertices lie" in caplog.text


def test_a_photograph_that_shows_nothing_gives_no_pairs(search: VertexSearch) -> None:
    random = torch.Generator().manual_seed(0)
    pairs = search.draw(torch.zeros(SIZE, SIZE), pose(0.0)[0], CAMERA.K[0], random=random)
    assert len(pairs.vertex) == len(pairs.uv) == 0
    assert pairs.positive.shape == (0, 0)
