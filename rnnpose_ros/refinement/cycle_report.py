"""What a cycle did to its objects, in numbers: one transfer from the device a cycle, however many objects there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.refinement.cycle import CycleOutput

_CELL_PX = 8
"""Side of the cells that are counted in, whatever the network's stride."""


@dataclass(frozen=True, slots=True, eq=False)
class CycleReport:
    """Of one object; tensors in float64 on the CPU, all of the last iteration but ``ok``."""

    T_camera_object: Float[Tensor, "4 4"]
    step: Float[Tensor, "6"]
    """Of the solver, in (v / D, omega)."""
    normal_matrix: Float[Tensor, "6 6"]
    residual_px: float
    """Crop pixels."""
    weight_sum: float
    mean_weight: float
    """Over the cells that show the object."""
    cells_in_image: int
    """Cells of 8 x 8 crop pixels that show the object and lie inside the photograph."""
    ok: bool
    """Every iteration could be solved."""
    scale: float
    """Crop pixels per image pixel."""


def report_cycle(
    output: CycleOutput, affine_crop_image: Float[Tensor, "B 2 3"], image_size: tuple[int, int]
) -> list[CycleReport]:
    """One report for each object.

    Args:
        output: Of the cycle.
        affine_crop_image: From the image's pixels to the crops'.
        image_size: Height and width of the image.
    """
    last = output.iterations[-1]
    shown = output.depth > 0
    inside = shown & _in_image(output.cell_uv, affine_crop_image, image_size)
    columns = [
        last.step.T_camera_object.flatten(1),
        last.step.step,
        last.step.normal_matrix.flatten(1),
        last.step.residual_px,
        last.step.weight_sum,
        last.weights.double().sum((1, 2)),
        shown.sum((1, 2)),
        inside.sum((1, 2)),
        torch.stack([iteration.step.ok for iteration in output.iterations]).all(0),
        affine_crop_image[:, 0, 0],
    ]
    table = torch.cat([column.double().reshape(len(shown), -1) for column in columns], 1).cpu()
    return [_report(row, output.stride) for row in table]


def _report(row: Float[Tensor, "n"], stride: int) -> CycleReport:
    T, step, normal_matrix, numbers = row.split([16, 6, 36, len(row) - 58])
    residual_px, weight_sum, weights, shown, inside, ok, scale = numbers.tolist()
    return CycleReport(
        T_camera_object=T.view(4, 4),
        step=step,
        normal_matrix=normal_matrix.view(6, 6),
        residual_px=residual_px,
        weight_sum=weight_sum,
        mean_weight=weights / max(shown, 1.0),
        cells_in_image=math.ceil(inside * (stride / _CELL_PX) ** 2),
        ok=bool(ok),
        scale=scale,
    )


def _in_image(cell_uv: Float[Tensor, "h w 2"], affine: Float[Tensor, "B 2 3"], size: tuple[int, int]) -> Tensor:
    """Which cells of each crop lie inside the photograph."""
    scale, shift = affine[:, 0, 0, None, None, None], affine[:, None, None, :, 2]
    u, v = ((cell_uv.to(affine) - shift) / scale).unbind(-1)
    height, width = size
    return (u > -0.5) & (v > -0.5) & (u < width - 0.5) & (v < height - 0.5)
