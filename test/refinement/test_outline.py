"""Fitting poses to outlines that are known exactly."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import intrinsics, project
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3, transform
from rnnpose_ros.networks.outline import STRIDE, OutlineField
from rnnpose_ros.networks.rnnpose_network import NetworkConfig, RnnposeNetwork
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.exact_views import reference_view
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.refinement.outline import OutlineConfig, find_outline, fit_outline, fit_to_outline, outline_lines
from rnnpose_ros.refinement.pose_step import moved_by, step_between
from rnnpose_ros.refinement.solution import Solution
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import ObjectModel, RenderBuffers

SIZE = 160
CAMERA = intrinsics(420.0, 420.0, 80.0, 80.0, width=SIZE, height=SIZE)
UNSURE = torch.diag(torch.tensor([1 / 0.1**2] * 3 + [1 / 0.2**2] * 3, dtype=torch.float64))
CONFIG = OutlineConfig(steps=4, evidence=1.0, correlated=1.0)
"""For a network that is never wrong."""


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


def looking(renderer: Renderer, model: ObjectModel, T: Tensor) -> CycleInputs:
    return CycleInputs(
        photo=torch.zeros(1, 3, SIZE, SIZE), render=view(renderer, model, T), camera=CAMERA, T_render=T[None],
        centre_object=model.centre[None].float(), diameter=torch.tensor([model.diameter]),
    )  # fmt: skip


def known(T: Tensor, information: Tensor, **rest: Any) -> Solution:
    """A pose with its information, as cycles find it."""
    nothing = {"covariance": None, "mean_weight": 0.5, "residual_cells": 0.1, "residual_px": 0.5, "step_cells": 0.0}
    more = {"step_px": 0.0, "spread_diameters": 0.1, "motion_px": 0.0}
    return Solution(T, information, **{**nothing, **more, **rest})


def off(model: ObjectModel, T: Tensor, step: list[float]) -> Tensor:
    return moved_by(T, torch.tensor(step).double(), centre_object=model.centre.double(), diameter=model.diameter)


def error_px(model: ObjectModel, T: Tensor, truth: Tensor) -> float:
    points = model.mesh.vertices.double()
    uv, uv_true = (project(transform(pose, points)[None], CAMERA.K.double()) for pose in (T, truth))
    return float((uv - uv_true).norm(dim=-1).mean())


def fitted(renderer: Renderer, model: ObjectModel, T: Tensor, logits: Tensor, prior: Tensor, times: int = 1) -> Tensor:
    start = T
    for _ in range(times):
        lines = outline_lines(looking(renderer, model, T), logits, config=CONFIG)
        assert lines is not None
        fit = fit_outline(lines, T, prior=known(start, prior), config=CONFIG)
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
    assert error_px(box, fitted(renderer, box, start, logits, 1e8 * UNSURE), start) < 0.05


def test_a_hidden_side_does_not_pull(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    logits = exact_logits(view(renderer, box, truth).depth)
    logits[:, 45:] = 0.0
    start = off(box, truth, [0.0, 0.0, 0.1, 0.0, 0.0, 0.0])
    T = fitted(renderer, box, start, logits, UNSURE, times=2)
    assert error_px(box, T, truth) < 0.5 * error_px(box, start, truth)


def test_the_outline_adds_to_what_is_known(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    lines = outline_lines(looking(renderer, box, truth), exact_logits(view(renderer, box, truth).depth), config=CONFIG)
    assert lines is not None
    fit = fit_outline(lines, truth, prior=known(truth, UNSURE), config=CONFIG)
    assert fit is not None
    assert float(torch.linalg.eigvalsh(fit.information - UNSURE).min()) > -1e-6
    assert float(fit.information[2, 2]) > 2 * float(UNSURE[2, 2])


def test_a_render_without_outline_gives_no_lines(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    inputs = looking(renderer, box, truth)
    depth = inputs.render.depth
    for bare_depth in (torch.zeros_like(depth), torch.full_like(depth, 0.5)):
        bare = dataclasses.replace(inputs, render=dataclasses.replace(inputs.render, depth=bare_depth))
        assert outline_lines(bare, torch.zeros(SIZE // 2, SIZE // 2), config=CONFIG) is None


def test_overlap_and_what_is_seen_are_shares(renderer: Renderer, box: ObjectModel, truth: Tensor) -> None:
    network = RnnposeNetwork(NetworkConfig(outline_widths=(8, 8, 16, 16))).eval()
    assert network.outline is not None
    inputs = looking(renderer, box, truth)
    covered = float((inputs.render.depth[:, ::STRIDE, ::STRIDE] > 0).float().mean())
    with torch.inference_mode():
        for logit, overlap, seen in ((20.0, covered, 1.0), (-20.0, 0.0, 0.0)):
            network.outline.head.weight.zero_()
            network.outline.head.bias.fill_(logit)
            outline = find_outline(network, inputs)
            assert outline is not None
            assert outline.overlap == pytest.approx(overlap, abs=1e-4)
            assert outline.seen == pytest.approx(seen, abs=1e-4)
        assert find_outline(RnnposeNetwork().eval(), inputs) is None


def test_a_step_between_two_poses_leads_from_one_to_the_other(box: ObjectModel, truth: Tensor) -> None:
    step = torch.tensor([0.1, -0.2, 0.05, 0.3, -0.1, 0.2], dtype=torch.float64)
    there = moved_by(truth, step, centre_object=box.centre.double(), diameter=box.diameter)
    torch.testing.assert_close(step_between(truth, there, centre_object=box.centre, diameter=box.diameter), step)
    turn = rotation_angle(truth[:3, :3].T @ there[:3, :3])
    assert float(turn) == pytest.approx(float(step[3:].norm()))


class Knowing(RnnposeNetwork):
    """Says where the outline lies, and counts how often it is asked."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.asked = logits, 0

    def find_outline(self, *args: Any, **kwargs: Any) -> OutlineField:
        self.asked += 1
        return OutlineField(self.logits[None], self.logits[None])


def test_what_the_cycles_found_is_fitted_where_the_surface_does_not_tell(
    renderer: Renderer, box: ObjectModel, truth: Tensor
) -> None:
    network = Knowing(exact_logits(view(renderer, box, truth).depth))
    start = off(box, truth, [0.0, 0.01, 0.12, 0.0, 0.0, 0.0])

    def end(found: Solution) -> Solution:
        return fit_to_outline(found, box, lambda T: looking(renderer, box, T), network, config=CONFIG)

    clear = known(start, UNSURE, aligned=True, agreement=0.7)
    assert end(clear) is clear
    assert network.asked == 0
    fitted = end(known(start, UNSURE, aligned=True, agreement=0.5))
    assert error_px(box, fitted.T_camera_object, truth) < 0.2 * error_px(box, start, truth)
    assert fitted.overlap > 0.95
    assert fitted.covariance is not None
    assert network.asked <= 1 + CONFIG.rounds


def test_a_fit_that_covers_less_of_the_outline_is_not_taken(
    renderer: Renderer, box: ObjectModel, truth: Tensor
) -> None:
    there = exact_logits(view(renderer, box, truth).depth)
    farther = exact_logits(view(renderer, box, off(box, truth, [0.0, 0.0, 0.4, 0.0, 0.0, 0.0])).depth)
    network = Knowing(there)

    def look(T: Tensor) -> CycleInputs:
        # The first answer leads away from where the second sees the object.
        network.logits = there if network.asked else farther
        return looking(renderer, box, T)

    found = known(truth, 1e-3 * UNSURE)
    assert torch.equal(fit_to_outline(found, box, look, network, config=CONFIG).T_camera_object, found.T_camera_object)
    assert network.asked == 2


def test_an_outline_that_the_render_hardly_covers_is_left_alone(
    renderer: Renderer, box: ObjectModel, truth: Tensor
) -> None:
    elsewhere = off(box, truth, [0.5, 0.3, 0.0, 0.0, 0.0, 0.0])
    network = Knowing(exact_logits(view(renderer, box, elsewhere).depth))
    found = known(truth, 1e3 * UNSURE)
    left = fit_to_outline(found, box, lambda T: looking(renderer, box, T), network, config=CONFIG)
    assert torch.equal(left.T_camera_object, found.T_camera_object)
    assert left.overlap < 0.65
