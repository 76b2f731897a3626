"""The loop with an oracle for a network: exact correspondences must give the exact pose."""

from __future__ import annotations

import math

import torch
from torch import nn

from rnnpose_ros.geometry.camera import backproject, intrinsics, pixel_grid, project
from rnnpose_ros.geometry.perturbation import perturb
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, inverse, transform
from rnnpose_ros.networks.correlation import correlate
from rnnpose_ros.networks.rnnpose_network import EncodedPair, FieldUpdate
from rnnpose_ros.networks.update_block import HeldInput
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput, refine_cycle
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import Mesh

SIZE = 240
CAMERA = intrinsics(1500.0, 1490.0, 130.0, 90.0, width=SIZE, height=SIZE)
TRUTH = from_rotation_translation(
    exp_so3(torch.tensor([[0.4, -0.8, 0.3]], dtype=torch.float64)),
    torch.tensor([[-0.01, 0.02, 0.9]], dtype=torch.float64),
)


class Oracle(nn.Module):
    """Answers with the true correspondences instead of estimating them."""

    stride = 8
    T_render: torch.Tensor

    def __init__(self, *, wrong_share: float = 0.0) -> None:
        super().__init__()
        self.wrong_share = wrong_share

    def encode(self, render, photo, *, depth_centre, diameter):
        depth = render.depth[:, ::8, ::8]
        cell_uv = pixel_grid(SIZE, SIZE, stride=8)
        K = CAMERA.K.float()
        points = backproject(depth, cell_uv[None], K).flatten(1, 2)
        moved = transform((TRUTH @ inverse(self.T_render)).float(), points)
        self.target = project(moved, K).view(1, *depth.shape[1:], 2) / 8
        blank = torch.zeros(1, 4, *depth.shape[1:])
        held = HeldInput(blank, blank, blank, blank, channels=1)
        return EncodedPair(correlate(blank, blank, levels=1, radius=1), held, blank, blank), blank

    def update(self, pair, hidden, cells, flow):
        delta = self.target - cells - flow
        logit = torch.full(delta.shape[:3], 20.0)
        if self.wrong_share:
            wrong = torch.rand(delta.shape[:3], generator=torch.Generator().manual_seed(0)) < self.wrong_share
            delta = torch.where(wrong[..., None], delta + 6.0, delta)
            logit = torch.where(wrong, -20.0, logit)
        return FieldUpdate(hidden, delta, logit, torch.ones(delta.shape[:3]))


def box() -> Mesh:
    """A 12 x 8 x 6 cm box, off its origin."""
    corners = torch.tensor([[x, y, z] for x in (-0.05, 0.07) for y in (-0.04, 0.04) for z in (-0.03, 0.03)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = torch.tensor([[q[i] for i in t] for q in quads for t in ((0, 1, 2), (0, 2, 3))])
    normals = torch.linalg.cross(
        corners[faces[:, 1]] - corners[faces[:, 0]], corners[faces[:, 2]] - corners[faces[:, 0]]
    )
    normals = nn.functional.normalize(normals, dim=-1)[:, None].expand(-1, 3, -1).contiguous()
    return Mesh(vertices=corners, faces=faces, corner_normals=normals)


def run(oracle: Oracle, T: torch.Tensor, *, iterations: int) -> torch.Tensor:
    return cycle(oracle, T, iterations=iterations).iterations[-1].T_camera_object.double()


def cycle(oracle: Oracle, T: torch.Tensor, *, iterations: int, settled_step: float = 0.0) -> CycleOutput:
    renderer = WarpRenderer("cpu")
    render = renderer.render([renderer.upload(box())], T, CAMERA)
    oracle.T_render = T
    inputs = CycleInputs(
        photo=torch.zeros(1, 3, SIZE, SIZE),
        render=render,
        camera=CAMERA,
        T_render=T,
        centre_object=torch.tensor([[0.01, 0.0, 0.0]]),
        diameter=torch.tensor([0.155]),
    )
    return refine_cycle(oracle, inputs, iterations=iterations, solver=SolverConfig(), settled_step=settled_step)


def error_px(T: torch.Tensor) -> float:
    corners = box().vertices.double()[None]
    return float(
        (project(transform(T, corners), CAMERA.K) - project(transform(TRUTH, corners), CAMERA.K)).norm(dim=-1).max()
    )


def test_exact_correspondences_give_the_exact_pose_in_four_iterations() -> None:
    start = perturb(TRUTH, generator=torch.Generator().manual_seed(4))
    assert error_px(start) > 10.0
    T = run(Oracle(), start, iterations=4)
    assert error_px(T) < 0.02
    assert float(rotation_angle((T @ inverse(TRUTH))[:, :3, :3])) < math.radians(0.02)


def test_correspondences_that_are_not_trusted_do_no_harm() -> None:
    start = perturb(TRUTH, generator=torch.Generator().manual_seed(4))
    assert error_px(run(Oracle(wrong_share=0.4), start, iterations=6)) < 0.05


def test_a_short_step_is_the_last() -> None:
    start = perturb(TRUTH, generator=torch.Generator().manual_seed(4))
    whole = cycle(Oracle(), start, iterations=10).iterations
    lengths = [float(one.step.step.norm()) for one in whole]
    last = next(i for i, length in enumerate(lengths) if length < 0.01)
    assert 0 < last < 9
    short = cycle(Oracle(), start, iterations=10, settled_step=0.01).iterations
    assert len(short) == last + 1
    assert torch.equal(short[-1].T_camera_object, whole[last].T_camera_object)
