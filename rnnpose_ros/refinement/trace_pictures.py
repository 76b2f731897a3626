"""Pictures of what happens inside a refinement: its fields, the warped photograph, similarity and pose boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from rnnpose_ros.geometry.camera import pixel_grid
from rnnpose_ros.objects.symmetry import nearest_symmetric
from rnnpose_ros.refinement.pictures import INITIAL_RGB, colorize
from rnnpose_ros.refinement.pose_boxes import BoxView, PoseBox
from rnnpose_ros.types import ImageFrame, IterationTrace, ObjectModel

ESTIMATE_RGB = (255, 60, 50)
TRUTH_RGB = (60, 130, 255)
_BACKDROP = 0.35
_LEAST_SCALE_PX = 1.0
_LARGEST_SHARE = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class IterationPictures:
    """One iteration, RGB. All but the boxes are on the crop, pixel by pixel."""

    field: UInt8[np.ndarray, "S S 3"]
    """What the network answered: motion from the render to the photograph as colours."""
    rectified: UInt8[np.ndarray, "S S 3"]
    """The motion that the pose after the iteration's solver step makes of it."""
    warped: UInt8[np.ndarray, "S S 3"]
    """The photograph fetched back along the network's field: the better, the more it looks like the render."""
    similarity: UInt8[np.ndarray, "S S 3"]
    """How alike render and photograph are, turbo colours from 0 to 1."""
    boxes: UInt8[np.ndarray, "D D 3"]
    """The object's box in the photograph: white initial, red after this iteration, blue truth."""


def draw_trace(
    trace: Sequence[IterationTrace],
    frame: ImageFrame,
    model: ObjectModel,
    T_camera_object_initial: Float[Tensor, "4 4"],
    *,
    T_camera_object_truth: Float[Tensor, "4 4"] | None = None,
) -> list[IterationPictures]:
    """Draws every iteration of a refinement.

    Args:
        trace: Of one result, at least one iteration.
        frame: The picture that was refined.
        model: The object.
        T_camera_object_initial: Where the refinement began.
        T_camera_object_truth: Of all poses that look like it, the nearest to each estimate is drawn.
    """
    truth = T_camera_object_truth
    poses = [T_camera_object_initial, *(step.T_camera_object for step in trace)]
    poses += [] if truth is None else [nearest_symmetric(truth, model.symmetries, poses[-1])]
    view = BoxView(frame, model, poses)
    scales_px = field_scales(trace)
    pictures = []
    for step in trace:
        boxes = [PoseBox(T_camera_object_initial, INITIAL_RGB, 1)]
        if truth is not None:
            boxes.append(PoseBox(nearest_symmetric(truth, model.symmetries, step.T_camera_object), TRUTH_RGB, 4))
        boxes.append(PoseBox(step.T_camera_object, ESTIMATE_RGB, 2))
        pictures.append(_draw_iteration(step, scales_px[step.cycle], view.draw(boxes)))
    return pictures


def field_scales(trace: Sequence[IterationTrace]) -> dict[int, float]:
    """Motion in crop pixels that each cycle's fields show in the fullest colour; longer ones look alike."""
    return {cycle: _field_scale([s for s in trace if s.cycle == cycle]) for cycle in {s.cycle for s in trace}}


def flow_colors(flow_px: Float[np.ndarray, "*S 2"], scale_px: float) -> UInt8[np.ndarray, "*S 3"]:
    """Motions as colours: the hue says the direction, the saturation the length.

    No motion is white. Full colours from ``scale_px`` on: right red, down yellow-green, left cyan, up violet.

    Args:
        flow_px: Right and down.
        scale_px: Above 0.
    """
    u, v = flow_px[..., 0].astype(np.float32), flow_px[..., 1].astype(np.float32)
    hue_deg = np.degrees(np.arctan2(v, u)) % 360.0
    saturation = np.minimum(np.hypot(u, v) / scale_px, 1.0)
    hsv = np.stack([hue_deg, saturation, np.ones_like(saturation)], -1).astype(np.float32)
    rgb = cv2.cvtColor(hsv.reshape(-1, 1, 3), cv2.COLOR_HSV2RGB).reshape(hsv.shape)
    return np.rint(255.0 * rgb).astype(np.uint8)


def color_wheel(size: int) -> UInt8[np.ndarray, "S S 3"]:
    """The key to :func:`flow_colors`: each pixel has the colour of the motion from the middle to it."""
    ticks = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(ticks, ticks), -1)
    wheel = flow_colors(flow, 1.0)
    wheel[np.hypot(flow[..., 0], flow[..., 1]) > 1.0] = 255
    return wheel


def warp_photo(photo: Float[Tensor, "C H W"], target_uv: Float[Tensor, "h w 2"]) -> Float[Tensor, "C h w"]:
    """The photograph sampled at a field's targets, bilinear, 0 outside.

    Args:
        photo: The crop.
        target_uv: Crop pixels.
    """
    return _sample(photo, target_uv, outside="zeros")


def at_pixels(values: Float[Tensor, "h w C"], step: IterationTrace) -> Float[Tensor, "S S C"]:
    """Values of the cells at every pixel of the crop that shows the object, 0 elsewhere.

    Bilinear between the cells that show the object; beyond them, as their nearest ones.

    Args:
        values: At the cells; anything where there is no object.
        step: Whose cells.
    """
    mask = cell_mask(step)[..., None].to(values.dtype)
    known = torch.cat([torch.where(mask > 0, torch.nan_to_num(values), torch.zeros_like(values)), mask], -1)
    known = known.permute(2, 0, 1)
    around = F.avg_pool2d(known[None], 3, stride=1, padding=1)[0]
    known = torch.where(known[-1:] > 0, known, around / around[-1:].clamp_min(1e-6))
    spacing = float(step.cell_uv[0, 1, 0] - step.cell_uv[0, 0, 0])
    cell = _pixel_uv(step, values) / spacing
    spread = _sample(known, cell, outside="border").permute(1, 2, 0)
    return spread[..., :-1] / spread[..., -1:].clamp_min(1e-6) * (step.depth > 0)[..., None]


def cell_mask(step: IterationTrace) -> Bool[Tensor, "h w"]:
    """Which cells show the object."""
    column, row = step.cell_uv.round().long().unbind(-1)
    return step.depth[row, column] > 0


def as_rgb(picture: Float[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture of 0..1 as 8 bits."""
    return (255.0 * picture.clamp(0, 1)).round().byte().permute(1, 2, 0).cpu().contiguous().numpy()


def _draw_iteration(step: IterationTrace, scale_px: float, boxes: UInt8[np.ndarray, "D D 3"]) -> IterationPictures:
    answered = at_pixels(step.field.target_uv[0] - step.cell_uv, step)
    rectified = at_pixels(step.rectified_uv - step.cell_uv, step)
    alike = at_pixels(step.similarity[..., None], step)[..., 0]
    warped = warp_photo(step.photo, _pixel_uv(step, answered) + answered)
    return IterationPictures(
        field=_on_crop(answered, step, scale_px),
        rectified=_on_crop(rectified, step, scale_px),
        warped=as_rgb(warped * (step.depth > 0)),
        similarity=colorize(alike.float().cpu().numpy()),
        boxes=boxes,
    )


def _pixel_uv(step: IterationTrace, like: Tensor) -> Float[Tensor, "S S 2"]:
    return pixel_grid(*step.photo.shape[-2:], device=like.device, dtype=like.dtype)


def _field_scale(trace: Sequence[IterationTrace]) -> float:
    lengths = [
        (uv - step.cell_uv)[cell_mask(step)].norm(dim=-1)
        for step in trace
        for uv in (step.field.target_uv[0], step.rectified_uv)
    ]
    known = torch.cat(lengths).double().cpu()
    known = _thinned(known[torch.isfinite(known)])
    return max(_LEAST_SCALE_PX, float(torch.quantile(known, _LARGEST_SHARE))) if len(known) else _LEAST_SCALE_PX


def _on_crop(flow_px: Float[Tensor, "S S 2"], step: IterationTrace, scale_px: float) -> UInt8[np.ndarray, "S S 3"]:
    """A field's colours where there is an object, the darkened grey photograph elsewhere."""
    grey = cv2.cvtColor(as_rgb(_BACKDROP * step.photo), cv2.COLOR_RGB2GRAY)
    shown = (step.depth > 0).cpu().numpy()
    return np.where(shown[..., None], flow_colors(flow_px.cpu().numpy(), scale_px), grey[..., None])


def _sample(values: Float[Tensor, "C H W"], uv: Float[Tensor, "h w 2"], *, outside: str) -> Float[Tensor, "C h w"]:
    height, width = values.shape[-2:]
    size = torch.tensor([width, height], device=uv.device, dtype=torch.float64)
    grid = (2 * uv.double() + 1) / size - 1
    return F.grid_sample(values[None].double(), grid[None], align_corners=False, padding_mode=outside)[0].to(
        values.dtype
    )


def _thinned(values: Float[Tensor, "N"], *, most: int = 1_000_000) -> Float[Tensor, "_"]:
    """Evenly left out down to what a quantile takes."""
    return values[:: max(1, -(-len(values) // most))]
