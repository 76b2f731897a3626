"""What direct alignment compares: pixels of a render and the photograph around them, freed of light.

Both pictures lose the brightness and contrast of the window around each pixel (zero-mean normalised windows), over the
object only. The render has its outline at hand; in the photograph it lies where the network's pose puts it. After that
nothing depends on the pose but where the photograph is looked at, so a step reads some thousand pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.camera import backproject, project
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.types import CameraIntrinsics

_LUMA = (0.299, 0.587, 0.114)
_MOST_PIXELS = 6000
_LEAST_PIXELS = 150
_LEAST_WEIGHT = 1e-3
_RIM_PX = 3
"""Pixels next to the outline mix with the background."""
_MOST_MOTION_PX = 12
"""The photograph is looked at so far around the render."""


@dataclass(frozen=True, slots=True)
class AlignmentConfig:
    """How the pictures are compared."""

    steps: int = param(
        6, doc="Most steps of direct alignment after each cycle; 0 for none", bounds=(0, 50), dynamic=True
    )
    smoothing_px: float = param(1.0, doc="Gaussian blur of both pictures", unit="px", bounds=(0.3, 10.0))
    window_px: int = param(
        8, doc="Half side of the window that brightness and contrast are taken from", unit="px", bounds=(2, 64)
    )
    contrast: float = param(0.03, doc="Contrast (0..1) under which a window says little", bounds=(0.001, 1.0))
    correlated_px: float = param(30.0, doc="Pixels that count as one measurement", unit="px", bounds=(1.0, 1e4))
    least_agreement: float = param(
        0.4, doc="Correlation of render and photograph under which the network's solution stays", bounds=(-1.0, 1.0)
    )
    prior_variance: float = param(
        600.0,
        doc="Variance of the network's solution over what its independent residuals predict",
        bounds=(1.0, 1e6),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a cycle compared, of one object."""

    photo: Float[Tensor, "3 S S"]
    render: Float[Tensor, "3 S S"]
    depth: Float[Tensor, "S S"]
    """Of the render, metres; 0 = no object."""
    camera: CameraIntrinsics
    T_render: Float[Tensor, "4 4"]
    weights: Float[Tensor, "h w"]
    """Of the network's correspondences."""
    stride: int
    """Pixels from cell to cell."""
    centre_object: Float[Tensor, "3"]
    diameter: float


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The pixels of the render that are looked for, and the photograph to find them in."""

    photo: Float[Tensor, "3 h w"]
    """Normalised, and its derivatives in u and in v, around the object."""
    corner_uv: tuple[int, int]
    """Of that part of the crop."""
    points_render: Float[Tensor, "N 3"]
    """Surface points, camera frame of the render, metres."""
    render: Float[Tensor, "N"]
    """Normalised."""
    render_gradient: Float[Tensor, "2 N"]
    weights: Float[Tensor, "N"]
    """Of the pixels; under :attr:`least_weight` they only say how alike the pictures look."""
    pixels_each: int
    """Pixels of the render that each stands for."""
    K: Float[Tensor, "3 3"]
    T_object_render: Float[Tensor, "4 4"]
    """float64"""
    centre_object: Float[Tensor, "3"]
    diameter: float
    least_weight: float = _LEAST_WEIGHT


def compare(look: Look, T_camera_object: Float[Tensor, "4 4"], *, config: AlignmentConfig) -> Comparison | None:
    """Prepares the pictures for steps from a pose; None where too little of the object can be compared.

    Args:
        look: Pictures of the cycle.
        T_camera_object: Where the object about is, float64.
        config: See :class:`AlignmentConfig`.
    """
    size = look.camera.height
    box = _box_around(look.depth, margin=config.window_px + _MOST_MOTION_PX)
    depth, corner_uv = look.depth[box], (box[1].start, box[0].start)
    covered = (depth > 0).float()
    inner = _eroded(covered, _RIM_PX)
    weights = _spread_over_pixels(look.weights, look.stride, size)[box] * _eroded(inner, 1)
    count = int((weights > _LEAST_WEIGHT).sum())
    if count < _LEAST_PIXELS:
        return None
    step = max(1, math.ceil(math.sqrt(count / _MOST_PIXELS)))
    v, u = (step * i for i in inner[::step, ::step].nonzero(as_tuple=True))
    K = look.camera.K[0].to(depth)
    uv = torch.stack([u + corner_uv[0], v + corner_uv[1]], -1).to(depth)
    points = backproject(depth[v, u][None], uv[None], K[None])[0]
    T_object_render = inverse(look.T_render.to(T_camera_object))
    move = (T_camera_object @ T_object_render).to(depth)
    outline = _moved_mask(inner, uv - uv.new_tensor(corner_uv), project(transform(move, points)[None], K[None])[0] - uv)
    luma = depth.new_tensor(_LUMA)[:, None, None]
    render, photo = ((picture[:, *box] * luma).sum(0) for picture in (look.render, look.photo))
    blurred = _blurred(torch.stack([covered, render * covered, photo]), config.smoothing_px)
    pictures = torch.stack([blurred[1] / blurred[0].clamp_min(1e-3), blurred[2]])
    render, photo = _normalised(pictures, torch.stack([inner, outline]), config)
    return Comparison(
        photo=torch.cat([photo[None], _gradient(photo)]),
        corner_uv=corner_uv,
        points_render=points,
        render=render[v, u],
        render_gradient=_gradient(render * inner)[:, v, u],
        weights=weights[v, u],
        pixels_each=step * step,
        K=K,
        T_object_render=T_object_render,
        centre_object=look.centre_object.to(T_camera_object),
        diameter=look.diameter,
    )


def _box_around(depth: Float[Tensor, "S S"], *, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold the object, and the margin."""
    rows, columns = ((depth.amax(dim) > 0).nonzero()[:, 0].tolist() or [0, 1] for dim in (1, 0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _moved_mask(
    mask: Float[Tensor, "h w"], uv: Float[Tensor, "N 2"], motion: Float[Tensor, "N 2"]
) -> Float[Tensor, "h w"]:
    """A mask whose pixels ``uv`` moved so: by the affine map that fits best, which is near enough for a window."""
    there = torch.cat([uv + motion, torch.ones_like(uv[:, :1])], 1).double()
    back = torch.linalg.solve(
        there.T @ there + 1e-3 * torch.eye(3, dtype=there.dtype, device=there.device), -there.T @ motion.double()
    ).to(uv)
    h, w = mask.shape
    columns, rows = torch.arange(w, device=mask.device).to(uv), torch.arange(h, device=mask.device).to(uv)[:, None]
    from_u = columns + columns * back[0, 0] + (rows * back[1, 0] + back[2, 0])
    from_v = rows + rows * back[1, 1] + (columns * back[0, 1] + back[2, 1])
    at = (from_v.round().clamp(0, h - 1) * w + from_u.round().clamp(0, w - 1)).long()
    return mask.flatten()[at.flatten()].view(h, w)


def _normalised(
    pictures: Float[Tensor, "N h w"], masks: Float[Tensor, "N h w"], config: AlignmentConfig
) -> Float[Tensor, "N h w"]:
    """Zero mean and unit contrast in the window around each pixel, of what the mask shows of it."""
    inside = pictures * masks
    share, mean, square = _window_sums(torch.cat([masks, inside, inside * pictures]), config.window_px).chunk(3)
    share = share.clamp_min(0.5)
    mean = mean / share
    variance = (square / share - mean * mean).clamp_min(0.0)
    return (pictures - mean) / (variance + config.contrast**2).sqrt()


def _window_sums(pictures: Float[Tensor, "N h w"], reach: int) -> Float[Tensor, "N h w"]:
    """Sums over the square window around each pixel, zeros beyond the border, as differences of running sums."""
    side = 2 * reach + 1
    rows = F.pad(pictures, (reach + 1, reach)).cumsum(-1)
    rows = F.pad(rows[..., side:] - rows[..., :-side], (0, 0, reach + 1, reach)).cumsum(-2)
    return rows[:, side:] - rows[:, :-side]


def _blurred(pictures: Float[Tensor, "N h w"], sigma_px: float) -> Float[Tensor, "N h w"]:
    """By a Gaussian, zeros beyond the border."""
    reach = math.ceil(3 * sigma_px)
    half = [math.exp(-0.5 * (distance / sigma_px) ** 2) for distance in range(reach + 1)]
    total = 2 * sum(half) - 1
    for dim in (-1, -2):
        size = pictures.shape[dim]
        found = pictures * (half[0] / total)
        for distance in range(1, min(reach, size - 1) + 1):
            near, far, length = half[distance] / total, distance, size - distance
            found.narrow(dim, 0, length).add_(pictures.narrow(dim, far, length), alpha=near)
            found.narrow(dim, far, length).add_(pictures.narrow(dim, 0, length), alpha=near)
        pictures = found
    return pictures


def _eroded(mask: Float[Tensor, "h w"], by_px: int) -> Float[Tensor, "h w"]:
    """Without the pixels that have one outside within a square; beyond the border nothing is outside."""
    return (_window_sums((1 - mask)[None], by_px)[0] < 0.5).to(mask)


def _spread_over_pixels(cells: Float[Tensor, "h w"], stride: int, size: int) -> Float[Tensor, "S S"]:
    """Cell values between the cells, whose centres are the pixels ``stride`` times their index; 0 beyond the last."""
    h, w = cells.shape
    span = ((h - 1) * stride + 1, (w - 1) * stride + 1)
    fine = F.interpolate(cells[None, None].float(), size=span, mode="bilinear", align_corners=True)[0, 0]
    return F.pad(fine[:size, :size], (0, max(0, size - span[1]), 0, max(0, size - span[0])))


def _gradient(picture: Float[Tensor, "h w"]) -> Float[Tensor, "2 h w"]:
    """Central differences in u and v per pixel; 0 at the border."""
    gradient = torch.zeros(2, *picture.shape, device=picture.device, dtype=picture.dtype)
    gradient[0, :, 1:-1] = 0.5 * (picture[:, 2:] - picture[:, :-2])
    gradient[1, 1:-1] = 0.5 * (picture[2:] - picture[:-2])
    return gradient
