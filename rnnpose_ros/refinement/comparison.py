"""What direct alignment compares: a render and the photograph fetched back to its pixels, freed of light.

Both pictures lose the brightness and contrast of the window around each pixel (zero-mean normalised windows), over the
object only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.se3 import inverse
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
    """A render ready to be compared with the photograph under different poses, around the object."""

    photo: Float[Tensor, "h w"]
    """Blurred brightness."""
    corner_uv: tuple[int, int]
    """First pixel of what is compared, in the crop."""
    points_render: Float[Tensor, "3 h w"]
    """Surface points, camera frame of the render, metres."""
    inner: Float[Tensor, "h w"]
    """1 on the object, its rim left out."""
    share: Float[Tensor, "h w"]
    """Pixels of :attr:`inner` in the window around each."""
    render: Float[Tensor, "h w"]
    """Normalised; 0 outside of :attr:`inner`."""
    used: Int64[Tensor, "2 N"]
    """Rows and columns of the pixels that steps are computed from."""
    weights: Float[Tensor, "N"]
    """Of these."""
    render_gradient: Float[Tensor, "2 N"]
    pixels_each: int
    """Pixels that each of these stands for."""
    K: Float[Tensor, "3 3"]
    T_object_render: Float[Tensor, "4 4"]
    """float64"""
    centre_object: Float[Tensor, "3"]
    """float64"""
    diameter: float
    config: AlignmentConfig


def compare(look: Look, *, config: AlignmentConfig) -> Comparison | None:
    """Prepares the pictures; None where too little of the object can be compared."""
    size = look.camera.height
    box = _box_around(look.depth, margin=config.window_px + _MOST_MOTION_PX)
    depth, corner = look.depth[box], (box[1].start, box[0].start)
    covered = (depth > 0).float()
    inner = eroded(covered, _RIM_PX)
    weights = _spread_over_pixels(look.weights, look.stride, size)[box] * eroded(inner, 1)
    weights = F.pad(weights[1:-1, 1:-1], (1, 1, 1, 1))  # where both neighbours are there
    count = int((weights > _LEAST_WEIGHT).sum())
    if count < _LEAST_PIXELS:
        return None
    step = max(1, math.ceil(math.sqrt(count / _MOST_PIXELS)))
    used = step * (weights[::step, ::step] > _LEAST_WEIGHT).nonzero().T
    rows, columns = used
    luma = depth.new_tensor(_LUMA)[:, None, None]
    render, photo = ((picture[(slice(None), *box)] * luma).sum(0) for picture in (look.render, look.photo))
    smooth = blurred(torch.stack([covered, render * covered, photo]), config.smoothing_px)
    share = window_sums(inner[None], config.window_px)[0].clamp_min(0.5)
    render = normalised(smooth[1] / smooth[0].clamp_min(1e-3), inner, share, config)
    K = look.camera.K[0].to(depth)
    return Comparison(
        photo=smooth[2],
        corner_uv=corner,
        points_render=_points(depth, corner, K),
        inner=inner,
        share=share,
        render=render,
        used=used,
        weights=weights[rows, columns],
        render_gradient=gradient_at(render, used),
        pixels_each=step * step,
        K=K,
        T_object_render=inverse(look.T_render.double()).cpu(),
        centre_object=look.centre_object.double().cpu(),
        diameter=look.diameter,
        config=config,
    )


def normalised(
    picture: Float[Tensor, "h w"], inner: Float[Tensor, "h w"], share: Float[Tensor, "h w"], config: AlignmentConfig
) -> Float[Tensor, "h w"]:
    """Zero mean and unit contrast in the window around each pixel, of what is ``inner``; 0 elsewhere."""
    inside = picture * inner
    mean, square = window_sums(torch.stack([inside, inside * picture]), config.window_px) / share
    variance = (square - mean * mean).clamp_min_(0.0)
    return (picture - mean).mul_(variance.add_(config.contrast**2).rsqrt_()).mul_(inner)


def window_sums(pictures: Float[Tensor, "N h w"], reach: int) -> Float[Tensor, "N h w"]:
    """Sums over the square window around each pixel, zeros beyond the border, as differences of running sums."""
    side = 2 * reach + 1
    rows = F.pad(pictures, (reach + 1, reach)).cumsum(-1)
    rows = F.pad(rows[..., side:] - rows[..., :-side], (0, 0, reach + 1, reach)).cumsum(-2)
    return rows[:, side:] - rows[:, :-side]


def gradient_at(picture: Float[Tensor, "h w"], pixels: Int64[Tensor, "2 N"]) -> Float[Tensor, "2 N"]:
    """Central differences in u and v at some rows and columns, none of them at the border."""
    width = picture.shape[1]
    at, values = pixels[0] * width + pixels[1], picture.flatten()
    return 0.5 * torch.stack([values[at + 1] - values[at - 1], values[at + width] - values[at - width]])


def _box_around(depth: Float[Tensor, "S S"], *, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold the object, and the margin."""
    rows, columns = ((depth.amax(dim) > 0).nonzero()[:, 0].tolist() or [0, 1] for dim in (1, 0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _points(depth: Float[Tensor, "h w"], corner: tuple[int, int], K: Float[Tensor, "3 3"]) -> Float[Tensor, "3 h w"]:
    """The surface at each pixel, metres."""
    h, w = depth.shape
    columns, rows = (torch.arange(n, device=depth.device, dtype=depth.dtype) for n in (w, h))
    x, y = (columns + corner[0] - K[0, 2]) / K[0, 0], (rows + corner[1] - K[1, 2]) / K[1, 1]
    return torch.stack([x * depth, y[:, None] * depth, depth])


def blurred(pictures: Float[Tensor, "N h w"], sigma_px: float) -> Float[Tensor, "N h w"]:
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


def eroded(mask: Float[Tensor, "h w"], by_px: int) -> Float[Tensor, "h w"]:
    """Without the pixels that have one outside within a square; beyond the border nothing is outside."""
    return (window_sums((1 - mask)[None], by_px)[0] < 0.5).to(mask)


def _spread_over_pixels(cells: Float[Tensor, "h w"], stride: int, size: int) -> Float[Tensor, "S S"]:
    """Cell values between the cells, whose centres are the pixels ``stride`` times their index; 0 beyond the last."""
    h, w = cells.shape
    span = ((h - 1) * stride + 1, (w - 1) * stride + 1)
    fine = F.interpolate(cells[None, None].float(), size=span, mode="bilinear", align_corners=True)[0, 0]
    return F.pad(fine[:size, :size], (0, max(0, size - span[1]), 0, max(0, size - span[0])))
