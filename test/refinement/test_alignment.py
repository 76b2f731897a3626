"""Direct alignment against pictures with a known answer."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import intrinsics, project
from rnnpose_ros.geometry.se3 import increment_about, transform
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.alignment import AlignmentConfig, Look, align
from rnnpose_ros.refinement.exact_views import reference_view
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import ObjectModel

SIZE = 160
CAMERA = intrinsics(420.0, 420.0, 80.0, 80.0, width=SIZE, height=SIZE)
UNSURE = torch.diag(torch.tensor([1 / 0.05**2] * 3 + [1 / 0.1**2] * 3, dtype=torch.float64))
"""A prior of a twentieth of the diameter and a tenth of a radian."""


@pytest.fixture(scope="module")
def box() -> ObjectModel:
    return load_object("package://rnnpose_ros/models/objects/demo/tea_box")


@pytest.fixture(scope="module")
def truth(box: ObjectModel) -> Tensor:
    turn = torch.tensor([[0.0, 0.0, 0.0, 0.5, -0.7, 0.2]], dtype=torch.float64)
    T = increment_about(torch.eye(4, dtype=torch.float64)[None], turn, torch.zeros(1, 3, dtype=torch.float64))[0]
    T[:3, 3] = torch.tensor([0.0, 0.0, 0.55]) - T[:3, :3] @ box.centre.double()
    return T


def picture(model: ObjectModel, T: Tensor) -> tuple[Tensor, Tensor]:
    renderer = WarpRenderer("cpu")
    buffers = reference_view(renderer, [renderer.upload(model.mesh)], T[None], CAMERA)
    return buffers.color[0], buffers.depth[0]


def look_at(model: ObjectModel, T_render: Tensor, photo: Float[Tensor, "3 S S"]) -> Look:
    render, depth = picture(model, T_render)
    return Look(
        photo=photo, render=render, depth=depth, camera=CAMERA, T_render=T_render, weights=torch.ones(20, 20),
        stride=8, centre_object=model.centre, diameter=model.diameter,
    )  # fmt: skip


def off(model: ObjectModel, T: Tensor, xi: list[float]) -> Tensor:
    """A pose off by (v / D, omega) about the centre."""
    metric = torch.tensor(xi, dtype=torch.float64)
    metric[:3] *= model.diameter
    return increment_about(T[None], metric[None], transform(T, model.centre.double()[None]))[0]


def error_px(model: ObjectModel, T: Tensor, truth: Tensor) -> float:
    points = model.mesh.vertices.double()
    uv, uv_true = (project(transform(pose, points)[None], CAMERA.K.double()) for pose in (T, truth))
    return float((uv - uv_true).norm(dim=-1).mean())


def test_a_pose_some_pixels_off_is_brought_within_a_tenth(box: ObjectModel, truth: Tensor) -> None:
    photo, _ = picture(box, truth)
    T = off(box, truth, [0.01, -0.008, 0.02, 0.02, -0.03, 0.02])
    assert error_px(box, T, truth) > 1.5
    aligned = align(look_at(box, T, photo), T, UNSURE, config=AlignmentConfig(steps=10))
    assert aligned is not None
    assert aligned.taken
    assert error_px(box, aligned.T_camera_object, truth) < 0.1
    assert aligned.agreement > 0.95
    assert bool((torch.linalg.eigvalsh(aligned.information - UNSURE) > -1e-6).all())


def test_the_render_may_be_of_another_pose_than_the_start(box: ObjectModel, truth: Tensor) -> None:
    photo, _ = picture(box, truth)
    look = look_at(box, off(box, truth, [0.0, 0.01, 0.0, 0.02, 0.0, 0.0]), photo)
    start = off(box, truth, [-0.01, 0.0, 0.01, 0.0, 0.02, 0.0])
    aligned = align(look, start, UNSURE, config=AlignmentConfig(steps=10))
    assert aligned is not None
    assert error_px(box, aligned.T_camera_object, truth) < 0.15


def test_light_and_exposure_do_not_move_it(box: ObjectModel, truth: Tensor) -> None:
    photo, _ = picture(box, truth)
    lit = (0.15 + 0.5 * photo) * torch.linspace(0.6, 1.2, SIZE)
    aligned = align(look_at(box, truth, lit), truth, UNSURE, config=AlignmentConfig())
    assert aligned is not None
    assert error_px(box, aligned.T_camera_object, truth) < 0.15


def test_what_hides_the_object_is_outvoted(box: ObjectModel, truth: Tensor) -> None:
    photo, _ = picture(box, truth)
    noise = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    photo[:, 70:110, 50:90] = noise
    T = off(box, truth, [0.008, 0.0, 0.01, 0.015, 0.0, 0.0])
    aligned = align(look_at(box, T, photo), T, UNSURE, config=AlignmentConfig(steps=10))
    assert aligned is not None
    assert error_px(box, aligned.T_camera_object, truth) < 0.4 * error_px(box, T, truth)


def test_without_contrast_or_with_a_sure_prior_the_network_decides(box: ObjectModel, truth: Tensor) -> None:
    photo, _ = picture(box, truth)
    T = off(box, truth, [0.01, 0.0, 0.01, 0.0, 0.02, 0.0])
    blank = align(look_at(box, T, torch.full_like(photo, 0.5)), T, UNSURE, config=AlignmentConfig())
    assert blank is not None
    assert error_px(box, blank.T_camera_object, T) < 0.05
    sure = align(look_at(box, T, photo), T, UNSURE * 1e6, config=AlignmentConfig())
    assert sure is not None
    assert error_px(box, sure.T_camera_object, T) < 0.05


def test_too_little_to_compare_is_said(box: ObjectModel, truth: Tensor) -> None:
    photo, _ = picture(box, truth)
    look = dataclasses.replace(look_at(box, truth, photo), weights=torch.zeros(20, 20))
    assert align(look, truth, UNSURE, config=AlignmentConfig()) is None


def test_another_picture_agrees_little(box: ObjectModel, truth: Tensor) -> None:
    photo, _ = picture(box, truth)
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(1))
    other = align(look_at(box, truth, noise), truth, UNSURE, config=AlignmentConfig())
    assert other is not None
    assert other.agreement < 0.3
