"""The kernel takes the steps of alignment that the tensors take."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from rnnpose_ros.acceleration.alignment_kernel import fused_descend
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import increment_about, transform
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.refinement.alignment import AlignmentConfig, Look, align, descend
from rnnpose_ros.refinement.comparison import Comparison, compare
from rnnpose_ros.refinement.exact_views import reference_view
from rnnpose_ros.rendering.warp_renderer import WarpRenderer

SIZE = 128
PRIOR = torch.diag(torch.tensor([1 / 0.05**2] * 3 + [1 / 0.1**2] * 3, dtype=torch.float64))
BOX = load_object("package://rnnpose_ros/models/objects/demo/tea_box")


def pose(*xi: float) -> Tensor:
    """The box before the camera, turned about its centre to show three sides, moved by (v / D, omega)."""
    centre = BOX.centre.double()
    turn = torch.tensor([[0.0, 0.0, 0.0, 0.5, -0.7, 0.2]], dtype=torch.float64)
    T = increment_about(torch.eye(4, dtype=torch.float64)[None], turn, torch.zeros(1, 3).double())[0]
    T[:3, 3] = torch.tensor([0.0, 0.0, 0.55]) - T[:3, :3] @ centre
    metric = torch.tensor([xi or (0.0,) * 6], dtype=torch.float64)
    metric[:, :3] *= BOX.diameter
    return increment_about(T[None], metric, transform(T, centre[None]))[0]


def look(T_render: Tensor, T_photo: Tensor, *, middle: float = 64.0) -> Look:
    camera = intrinsics(330.0, 330.0, middle, 64.0, width=SIZE, height=SIZE)
    renderer = WarpRenderer("cpu")
    mesh = renderer.upload(BOX.mesh)
    drawn, seen = (reference_view(renderer, [mesh], T[None], camera) for T in (T_render, T_photo))
    weights = torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
    return Look(
        photo=seen.color[0] * 0.7 + 0.1, render=drawn.color[0], depth=drawn.depth[0], camera=camera, T_render=T_render,
        weights=weights, stride=8, centre_object=BOX.centre, diameter=BOX.diameter,
    )  # fmt: skip


def prepared(seen: Look, *, steps: int = 4) -> Comparison:
    comparison = compare(seen, config=AlignmentConfig(steps=steps))
    assert comparison is not None
    return comparison


@pytest.mark.parametrize("middle", [64.0, 20.0], ids=["whole", "cut by the crop's border"])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_steps_equal_those_of_the_tensors(steps: int, middle: float) -> None:
    seen = look(pose(), pose(0.01, -0.008, 0.02, 0.02, -0.03, 0.02), middle=middle)
    comparison = prepared(seen, steps=steps)
    start = pose(0.002, 0.0, 0.0, 0.01, 0.0, 0.02)
    kernel, tensors = (way(comparison, start, PRIOR) for way in (fused_descend, descend))
    assert kernel is not None
    assert tensors is not None
    assert steps == 0 or float(tensors.moved.norm()) > 0.01, "there is a way to go"
    torch.testing.assert_close(kernel.moved, tensors.moved, rtol=2e-3, atol=2e-6)
    torch.testing.assert_close(kernel.T_camera_object, tensors.T_camera_object, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        kernel.information, tensors.information, rtol=2e-3, atol=1e-3 * float(tensors.information.max())
    )
    assert (kernel.before, kernel.after) == pytest.approx((tensors.before, tensors.after), abs=1e-4)


def test_it_serves_alignment() -> None:
    seen = look(pose(), pose(0.002, 0.0, 0.002, 0.02, -0.02, 0.0))
    start = pose()
    kernel, tensors = (
        align(seen, start, PRIOR, config=AlignmentConfig(), descend=way) for way in (fused_descend, descend)
    )
    assert kernel is not None
    assert tensors is not None
    assert (kernel.taken, tensors.taken) == (True, True)
    torch.testing.assert_close(kernel.T_camera_object, tensors.T_camera_object, rtol=0, atol=1e-5)


def test_what_cannot_be_solved_is_said() -> None:
    comparison = prepared(look(pose(), pose(0, 0, 0, 0, 0.02, 0)))
    broken = torch.full_like(PRIOR, math.nan)
    assert fused_descend(comparison, pose(), broken) is None
    assert descend(comparison, pose(), broken) is None


def test_two_runs_give_the_same_bits() -> None:
    comparison = prepared(look(pose(), pose(0.001, 0.001, 0, 0.01, 0.02, 0)))
    first, second = (fused_descend(comparison, pose(), PRIOR) for _ in range(2))
    assert first is not None
    assert second is not None
    assert torch.equal(first.T_camera_object, second.T_camera_object)
    assert torch.equal(first.information, second.information)


def test_threads_do_not_disturb_each_other() -> None:
    starts = [pose(0.001 * n, 0.0, 0.0, 0.005 * n, 0.0, 0.0) for n in range(4)]
    comparisons = [prepared(look(pose(), pose(0.004 * n, 0.0, 0.0, 0.01 * n, -0.01, 0.0)), steps=5) for n in range(4)]
    alone = [fused_descend(c, T, PRIOR) for c, T in zip(comparisons, starts, strict=True)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(fused_descend, comparisons * 10, starts * 10, [PRIOR] * 40))
    for expected, found in zip(alone * 10, together, strict=True):
        assert expected is not None
        assert found is not None
        assert torch.equal(found.T_camera_object, expected.T_camera_object)
