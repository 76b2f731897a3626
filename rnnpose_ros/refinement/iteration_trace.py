"""What one cycle did to one object, kept for pictures."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import backproject, project
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput
from rnnpose_ros.types import CorrespondenceField, IterationTrace


def describe_iterations(
    row: int, cycle: int, inputs: CycleInputs, output: CycleOutput, affine: Float[Tensor, "2 3"]
) -> list[IterationTrace]:
    """The trace of one batch item for one cycle."""
    camera = inputs.camera.one(row)
    mask = output.depth[row] > 0
    return [
        IterationTrace(
            cycle=cycle,
            iteration=i,
            T_camera_object=it.T_camera_object[row].double().cpu(),
            camera=camera,
            affine_crop_image=affine,
            induced_uv=it.induced_uv[row],
            field=CorrespondenceField(target_uv=it.target_uv[row : row + 1], confidence=it.weights[row : row + 1]),
            similarity=it.similarity[row] * mask,
            cell_uv=output.cell_uv,
            rectified_uv=_rectified_uv(row, inputs, output, it.T_camera_object[row]),
            depth=inputs.render.depth[row],
            photo=inputs.photo[row],
            render=inputs.render.color[row],
        )
        for i, it in enumerate(output.iterations)
    ]


def _rectified_uv(
    row: int, inputs: CycleInputs, output: CycleOutput, T_camera_object: Float[Tensor, "4 4"]
) -> Float[Tensor, "h w 2"]:
    """Where a pose puts the render's cells."""
    K, T_render = inputs.camera.K[row : row + 1].double(), inputs.T_render[row].double()
    depth, cell_uv = output.depth[row : row + 1].double(), output.cell_uv[None].double()
    points_render = backproject(depth, cell_uv, K).flatten(1, 2)
    points = transform((T_camera_object.double() @ inverse(T_render))[None], points_render)
    return project(points, K)[0].unflatten(0, output.cell_uv.shape[:2]).to(output.depth.dtype)
