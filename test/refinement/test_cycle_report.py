"""The numbers of a cycle, against a cycle whose numbers are known."""

from __future__ import annotations

import torch

from rnnpose_ros.refinement.cycle import CycleOutput, IterationOutput
from rnnpose_ros.refinement.cycle_report import report_cycle
from rnnpose_ros.refinement.solver import SolverStep

SIDE, STRIDE = 5, 8


def iteration(scale: float, ok: list[bool]) -> IterationOutput:
    """Of two objects; everything of it times the scale."""
    T = torch.eye(4).repeat(2, 1, 1) * scale
    T[1, 0, 3] = 7.0 * scale
    step = SolverStep(
        T_camera_object=T,
        step=scale * torch.arange(12.0).double().view(2, 6),
        normal_matrix=scale * torch.arange(72.0).double().view(2, 6, 6),
        residual_px=scale * torch.tensor([0.5, 0.25]).double(),
        weight_sum=scale * torch.tensor([3.0, 4.0]).double(),
        ok=torch.tensor(ok),
    )
    weights = scale * torch.ones(2, SIDE, SIDE) * torch.tensor([0.5, 0.1])[:, None, None]
    uv = torch.zeros(2, SIDE, SIDE, 2)
    return IterationOutput(T, uv, uv, None, weights, weights, step)


def output() -> CycleOutput:
    at = STRIDE * torch.arange(float(SIDE))
    cell_uv = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    depth = torch.ones(2, SIDE, SIDE)
    depth[1, 1:] = 0.0
    iterations = (iteration(2.0, [True, False]), iteration(1.0, [True, True]))
    return CycleOutput(iterations, cell_uv, depth, torch.zeros(1, 1, 2, 2), (cell_uv, cell_uv), STRIDE)


def test_each_object_has_the_last_iterations_numbers() -> None:
    affine = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]]).double().repeat(2, 1, 1)
    first, second = report_cycle(output(), affine, (480, 640))
    assert torch.equal(first.T_camera_object, torch.eye(4).double())
    assert float(second.T_camera_object[0, 3]) == 7.0
    assert second.step.tolist() == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    assert torch.equal(second.normal_matrix, torch.arange(36.0, 72.0).double().view(6, 6))
    assert (first.residual_px, first.weight_sum, first.scale) == (0.5, 3.0, 2.0)
    assert (first.ok, second.ok) == (True, False), "no iteration may have failed"
    assert first.mean_weight == 0.5
    assert abs(second.mean_weight - 25 * 0.1 / SIDE) < 1e-6, "over the cells of the object alone"


def test_cells_are_counted_where_object_and_photograph_are() -> None:
    # Crop pixel = 2 x image pixel + shift: the photograph of 12 x 10 pixels (h x w) ends inside the crop.
    affine = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [[2.0, 0.0, 8.0], [0.0, 2.0, 0.0]]]).double()
    first, second = report_cycle(output(), affine, (12, 10))
    # u of the cells in the image: 0 4 8 | 12 16, v: 0 4 8 | 12 16 below 9.5 and 11.5; shifted, u: -4 | 0 4 8 | 12.
    assert (first.cells_in_image, second.cells_in_image) == (9, 3)
    (fine, _) = report_cycle(
        CycleOutput(
            output().iterations, output().cell_uv, output().depth, torch.zeros(1, 1, 2, 2), (affine, affine), 1
        ),
        affine,
        (12, 10),
    )
    assert fine.cells_in_image == 1, "9 cells of one pixel are less than one of 8 x 8"
