"""Fitting poses to outlines that are known exactly."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import intrinsics, project
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3, transform
from rnnpose_ros.networks.outline import STRIDE
from rnnpose_ros.networks.rnnpose_network import NetworkConfig, RnnposeNetwork
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.comparison import Look
from rnnpose_ros.refinement.exact_views import reference_view
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.refinement.outline import OutlineConfig, find_outline, fit_outline, outline_lines
from rnnpose_ros.refinement.pose_step import moved_by, step_between
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import ObjectModel, RenderBuffers

SIZE = 160
CAMERA = intrinsics(420.0, 420.0, 80.0, 80.0, width=SIZE, height=SIZE)
UNSURE = torch.diag(torch.tensor([1 / 0.1**2] * 3 + [1 / 0.2**2] * 3, dtype=torch.float64))
CONFIG = OutlineConfig(steps=4)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return WarpRenderer("cpu")


@pytest.fixture(scope="module")
def box() -> ObjectModel:
    return load_object("package://rnnpose_ros/models/objects/demo/tea_box")


@pytest.fixture(scope="module")
def truth(box: ObjectModel) -> Tensor:
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = exp_so3(torch.tensor([[0.5, -0.7, 0.2]], dtype=torch.float64))[0]
    T[:3, 3] = torch.tensor([0.0, 0.0, 0.55]) - T[:3, :3] @ box.centre.double()
    return T


def view(renderer: Renderer, model: ObjectModel, T: Tensor) -> RenderBuffers:
    return reference_view(renderer, [renderer.upload(model.mesh)], T[None], CAMERA)


def exact_logits(depth: Float[Tensor, "1 S S"]) -> Float[Tensor, "h w"]:
    """What a perfect network would say: how much of a pixel's surroundings lies within, as a logit."""
    line = torch.tensor([0.25, 0.5, 0.25])
    padded = F.pad((depth > 0).float()[:, None], (1, 1, 1, 1))
    return F.conv2d(padded, (line[:, None] * line)[None, None], stride=STRIDE)[0, 0].clamp(0.002, 0.998).logit()


def look_at(renderer: Renderer, model: ObjectModel, T: Tensor) -> Look:
    buffers = view(renderer, model, T)
    return Look(
        photo=torch.zeros(3, SIZE, SIZE), render=buffers.color[0], depth=buffers.depth[0], camera=CAMERA, T_render=T,
        weights=torch.ones(20, 20), stride=8, centre_object=model.centre, diameter=model.diameter,
    )  # fmt: skip


def off(model: ObjectModel, T: Tensor, step: list[float]) -> Tensor:
    return moved_by(T, torch.tensor(step).double(), centre_object=model.centre.double(), diameter=model.diameter)


def error_px(model: ObjectModel, T: Tensor, truth: Tensor) -> float:
    points = model.mesh.vertices.double()
    uv, uv_true = (project(transform(pose, points)[None], CAMERA.K.double()) for pose in (T, truth))
    return float((uv - uv_true).norm(dim=-1).mean())


def fitted(renderer: Renderer, model: ObjectModel, T: Tensor, logits: Tensor, prior: Tensor, times: int = 1) -> Tensor:
    for _ in range(times):
        lines = outline_lines(look_at(renderer, model, T), logits, config=CONFIG)
        assert lines is not None
        fit = fit_outline(lines, T, prior, config=CONFIG)
        assert fit is not None
        T = fit.T_camera_object
    return T


def test_a_wrong_distance_is_mended_by_the_outline_alone(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    logits = exact_logits(view(renderer, box, truth).depth)
    start = off(box, truth, [0.01, -0.01, 0.15, 0.0, 0.0, 0.0])
    assert error_px(box, start, truth) > 2.0
    T = fitted(renderer, box, start, logits, UNSURE, times=2)
    assert abs(float(T[2, 3] - truth[2, 3])) < 0.01 * box.diameter
    assert error_px(box, T, truth) < 0.4


def test_small_turns_are_mended_too(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    logits = exact_logits(view(renderer, box, truth).depth)
    start = off(box, truth, [0.02, 0.01, -0.05, 0.08, -0.06, 0.1])
    T = fitted(renderer, box, start, logits, UNSURE, times=3)
    assert error_px(box, T, truth) < 0.25 * error_px(box, start, truth)


def test_at_the_truth_nothing_moves(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    T = fitted(renderer, box, truth, exact_logits(view(renderer, box, truth).depth), UNSURE)
    assert error_px(box, T, truth) < 0.15


def test_where_nothing_is_known_of_the_outline_the_prior_decides(
    renderer: Renderer, box: ObjectModel, truth: Tensor
) -> None:
    start = off(box, truth, [0.02, 0.0, 0.1, 0.0, 0.0, 0.0])
    T = fitted(renderer, box, start, torch.zeros(SIZE // 2, SIZE // 2), UNSURE)
    torch.testing.assert_close(T, start, rtol=0, atol=1e-9)
    logits = exact_logits(view(renderer, box, truth).depth)
    assert error_px(box, fitted(renderer, box, start, logits, 1e6 * UNSURE), start) < 0.05


def test_a_hidden_side_does_not_pull(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    logits = exact_logits(view(renderer, box, truth).depth)
    logits[:, 45:] = 0.0
    start = off(box, truth, [0.0, 0.0, 0.1, 0.0, 0.0, 0.0])
    T = fitted(renderer, box, start, logits, UNSURE, times=2)
    assert error_px(box, T, truth) < 0.5 * error_px(box, start, truth)


def test_the_outline_adds_to_what_is_known(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    lines = outline_lines(look_at(renderer, box, truth), exact_logits(view(renderer, box, truth).depth), config=CONFIG)
    assert lines is not None
    fit = fit_outline(lines, truth, UNSURE, config=CONFIG)
    assert fit is not None
    assert float(torch.linalg.eigvalsh(fit.information - UNSURE).min()) > -1e-6
    assert float(fit.information[2, 2]) > 2 * float(UNSURE[2, 2])


def test_a_render_without_outline_gives_no_lines(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    look = look_at(renderer, box, truth)
    nothing, everything = torch.zeros_like(look.depth), torch.full_like(look.depth, 0.5)
    for depth in (nothing, everything):
        bare = dataclasses.replace(look, depth=depth)
        assert outline_lines(bare, torch.zeros(SIZE // 2, SIZE // 2), config=CONFIG) is None


def test_overlap_and_what_is_seen_are_shares(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    network = RnnposeNetwork(NetworkConfig(outline_widths=(8, 8, 16, 16))).eval()
    assert network.outline is not None
    buffers = view(renderer, box, truth)
    inputs = CycleInputs(
        torch.zeros(1, 3, SIZE, SIZE),
        buffers,
        CAMERA,
        truth[None],
        box.centre[None].float(),
        torch.tensor([box.diameter]),
    )
    covered = float((buffers.depth[:, ::STRIDE, ::STRIDE] > 0).float().mean())
    with torch.inference_mode():
        for logit, overlap, seen in ((20.0, covered, 1.0), (-20.0, 0.0, 0.0)):
            network.outline.head.weight.zero_()
            network.outline.head.bias.fill_(logit)
            outline = find_outline(network, inputs, 0)
            assert outline is not None
            assert outline.overlap == pytest.approx(overlap, abs=1e-4)
            assert outline.seen == pytest.approx(seen, abs=1e-4)
        assert find_outline(RnnposeNetwork().eval(), inputs, 0) is None


def test_a_step_between_two_poses_leads_from_one_to_the_other(box: ObjectModel, truth: Tensor) -> None:
    step = torch.tensor([0.1, -0.2, 0.05, 0.3, -0.1, 0.2], dtype=torch.float64)
    there = moved_by(truth, step, centre_object=box.centre.double(), diameter=box.diameter)
    torch.testing.assert_close(step_between(truth, there, centre_object=box.centre, diameter=box.diameter), step)
    turn = rotation_angle(truth[:3, :3].T @ there[:3, :3])
    assert float(turn) == pytest.approx(float(step[3:].norm()))
