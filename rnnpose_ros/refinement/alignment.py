"""Direct alignment: the last tenths of a pixel, from the pictures themselves.

The network finds each render cell's place to a few tenths of a pixel, with errors that neighbours share. Where
object and photograph have contrast, comparing them pixel by pixel says more: the photograph, fetched back along
the pose, should look like the render. Both are freed of local brightness and contrast, so light matters little
(zero-mean normalised windows), and Gauss-Newton with the mean of both pictures' gradients (efficient second-order
minimisation, Benhimane and Malis 2004) moves the pose. The network's own solution stays in as a prior with its
uncertainty: where there is no contrast, it decides. This step is ours; the RNNPose papers end with the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.camera import NEAR_M, backproject, pixel_grid
from rnnpose_ros.geometry.se3 import increment_about, inverse, transform
from rnnpose_ros.refinement.solver import projection_jacobian, solve_marked
from rnnpose_ros.types import CameraIntrinsics

_LUMA = (0.299, 0.587, 0.114)
_MOST_PIXELS = 6000
_LEAST_PIXELS = 150
_RIM_PX = 3
"""Pixels next to the outline mix with the background."""
_MOST_MOTION_PX = 12
"""The photograph is looked at so far around the render."""
_SETTLED = 1e-4
_FARTHEST = 4.0
"""Standard deviations of the network's solution that the alignment may move it by."""


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
    """What the last cycle compared, of one object."""

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
class Alignment:
    """The aligned pose, and how well the pictures agree there."""

    T_camera_object: Float[Tensor, "4 4"]
    information: Float[Tensor, "6 6"]
    """Of prior and pictures together, in (v / D, omega) about the object's centre."""
    agreement: float
    """Normalised correlation of render and photograph over the object, -1..1."""
    taken: bool
    """False where the pictures agree little, or not better than before, or the way led out of the prior: the pose is
    the given one."""


def align(
    look: Look,
    T_camera_object: Float[Tensor, "4 4"],
    prior_information: Float[Tensor, "6 6"],
    *,
    config: AlignmentConfig,
) -> Alignment | None:
    """Moves a pose to where the photograph looks most like the render.

    Args:
        look: Pictures of the last cycle.
        T_camera_object: The network's solution, float64.
        prior_information: Inverse covariance of that solution, float64, in (v / D, omega) about the centre.
        config: See :class:`AlignmentConfig`.

    Returns:
        None where too little of the object can be compared.
    """
    comparison = _Comparison(look, config)
    if comparison.pixel_count < _LEAST_PIXELS:
        return None
    T, moved = T_camera_object, prior_information.new_zeros(6)
    before = now = comparison.at(T)
    information = prior_information
    for _ in range(config.steps):
        information = prior_information + now.information
        step, ok = solve_marked(
            information[None], (now.gradient - prior_information @ moved)[None], usable=torch.ones(1, dtype=torch.bool)
        )
        if not bool(ok[0]):
            return None
        moved = moved + step[0]
        T = comparison.moved(T, step[0])
        now = comparison.at(T)
        if float(step.norm()) < _SETTLED:
            break
    far = math.sqrt(max(0.0, float(moved @ prior_information @ moved))) > _FARTHEST
    if far or not now.agreement >= max(before.agreement, config.least_agreement):
        return Alignment(T_camera_object, prior_information, before.agreement, taken=False)
    return Alignment(T, information, now.agreement, taken=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Normal:
    """Normal equations of one pose."""

    information: Float[Tensor, "6 6"]
    gradient: Float[Tensor, "6"]
    agreement: float


class _Comparison:
    """Compares the photograph with the render under different poses."""

    def __init__(self, look: Look, config: AlignmentConfig) -> None:
        self._look, self._config = look, config
        size = look.camera.height
        box = _box_around(look.depth > 0, margin=config.window_px + _MOST_MOTION_PX)
        luma = torch.tensor(_LUMA, device=look.photo.device)[:, None, None]
        covered = (look.depth > 0).float()[box]
        self._inner = _eroded(covered, _RIM_PX)
        mean_of_window = torch.ones(config.window_px + 1, device=covered.device) / (2 * config.window_px + 1)
        self._window = _bands(mean_of_window, covered)
        self._share = _filtered(self._inner, self._window).clamp_min(1e-3)
        render, photo = ((picture * luma).sum(0)[box] for picture in (look.render, look.photo))
        blurred = _filtered(torch.stack([covered, render * covered, photo]), _bands(_gaussian(config), covered))
        render, self._photo = blurred[1] / blurred[0].clamp_min(1e-3), blurred[2]
        self._render = self._normalised(render)
        self._render_gradient = _gradient(self._render)
        weights = _spread_over_pixels(look.weights, look.stride, size)[box] * _eroded(self._inner, 1)
        usable = weights > 1e-3
        self.pixel_count = int(usable.sum())
        self._step = max(1, math.ceil(math.sqrt(self.pixel_count / _MOST_PIXELS)))
        self._pixels = _every(usable, self._step).flatten().nonzero()[:, 0]
        self._weights = weights.flatten()[self._pixels]
        self._K = look.camera.K.to(look.depth)
        grid = pixel_grid(size, size, stride=1, device=look.depth.device, dtype=look.depth.dtype)[box]
        self._corner = grid[0, 0]
        self._points_render = backproject(look.depth[box][None], grid[None], self._K).flatten(1, 2)
        self._axes = self._points_render[0].T.contiguous()

    def at(self, T_camera_object: Float[Tensor, "4 4"]) -> _Normal:
        """The equations for a step from this pose."""
        look = self._look
        move = (T_camera_object @ inverse(look.T_render.to(T_camera_object)))[None].to(self._points_render)
        photo = self._normalised(self._fetched(self._places(move)))
        residual = (photo - self._render).flatten()[self._pixels]
        gradient = 0.5 * (self._render_gradient + _gradient(photo)).flatten(0, 1)[self._pixels]
        centre = transform(T_camera_object, look.centre_object.to(T_camera_object)[None]).to(self._points_render)
        diameter = torch.tensor([look.diameter], device=residual.device, dtype=residual.dtype)
        points = transform(move, self._points_render[:, self._pixels])
        J_uv = projection_jacobian(points, centre, self._K, diameter)[0]
        J = (gradient[:, None] @ J_uv)[:, 0].double()
        scale = (1.5 * 1.48 * residual.abs().median()).clamp_min(0.15)
        weights = (self._weights / (1 + (residual / scale) ** 2)).double()
        variance = (weights * residual.double() ** 2).sum() / weights.sum()
        weights = weights * (self._step**2 / (variance.clamp_min(0.01) * self._config.correlated_px))
        products = (J * weights[:, None]).T @ torch.cat([J, residual.double()[:, None]], 1)
        # One transfer from the device for all that the processor needs.
        information, gradient, agreement = (
            torch.cat([products[:, :6].flatten(), products[:, 6], self._agreement(photo).double()[None]])
            .cpu()
            .split([36, 6, 1])
        )
        return _Normal(information=information.view(6, 6), gradient=-gradient, agreement=float(agreement))

    def moved(self, T_camera_object: Float[Tensor, "4 4"], step: Float[Tensor, "6"]) -> Float[Tensor, "4 4"]:
        """The pose after an increment about the object's centre."""
        look = self._look
        metric = torch.cat([step[:3] * look.diameter, step[3:]])
        centre = transform(T_camera_object, look.centre_object.to(T_camera_object)[None])
        return increment_about(T_camera_object[None], metric[None], centre)[0]

    def _places(self, move: Float[Tensor, "1 4 4"]) -> Float[Tensor, "1 N 2"]:
        """Where a motion puts the render's points: ``project(transform(move, points))``, coordinate by coordinate."""
        onto_image = self._K[0] @ move[0, :3]
        u, v, z = onto_image[:, :3] @ self._axes + onto_image[:, 3:]
        return (torch.stack([u, v], -1) / z.clamp_min(NEAR_M)[:, None])[None]

    def _fetched(self, uv: Float[Tensor, "1 N 2"]) -> Float[Tensor, "h w"]:
        """The photograph at these places, bilinear."""
        height, width = self._photo.shape
        grid = ((uv - self._corner) / uv.new_tensor([width - 1, height - 1]) * 2 - 1).view(1, height, width, 2)
        return F.grid_sample(self._photo[None, None], grid, align_corners=True, padding_mode="border")[0, 0]

    def _normalised(self, picture: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        """Zero mean and unit contrast in the window around each pixel, over the object only."""
        floor, inside = self._config.contrast, picture * self._inner
        mean, square = _filtered(torch.stack([inside, inside * picture]), self._window) / self._share
        variance = (square - mean * mean).clamp_min(0.0)
        return (picture - mean) / (variance + floor * floor).sqrt() * self._inner

    def _agreement(self, photo: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
        product, square = (photo * self._render).sum(), (photo * photo).sum() * (self._render * self._render).sum()
        return product / square.sqrt().clamp_min(1e-6)


def _box_around(covered: Bool[Tensor, "S S"], *, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold what is covered, and the margin."""
    rows, columns = (covered.any(dim).nonzero()[:, 0].tolist() or [0, 1] for dim in (1, 0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _every(usable: Bool[Tensor, "h w"], step: int) -> Bool[Tensor, "h w"]:
    """One pixel of each square of ``step`` pixels."""
    thin = torch.zeros_like(usable)
    thin[::step, ::step] = usable[::step, ::step]
    return thin


def _spread_over_pixels(cells: Float[Tensor, "h w"], stride: int, size: int) -> Float[Tensor, "S S"]:
    """Cell values between the cells, whose centres are the pixels ``stride`` times their index; 0 beyond the last."""
    h, w = cells.shape
    span = ((h - 1) * stride + 1, (w - 1) * stride + 1)
    fine = F.interpolate(cells[None, None].float(), size=span, mode="bilinear", align_corners=True)[0, 0]
    return F.pad(fine[:size, :size], (0, max(0, size - span[1]), 0, max(0, size - span[0])))


def _gradient(picture: Float[Tensor, "h w"]) -> Float[Tensor, "h w 2"]:
    """Central differences per pixel; 0 at the border."""
    du, dv = torch.zeros_like(picture), torch.zeros_like(picture)
    du[:, 1:-1] = 0.5 * (picture[:, 2:] - picture[:, :-2])
    dv[1:-1] = 0.5 * (picture[2:] - picture[:-2])
    return torch.stack([du, dv], -1)


def _eroded(mask: Float[Tensor, "h w"], by_px: int) -> Float[Tensor, "h w"]:
    side = 2 * by_px + 1
    rows = F.max_pool2d((1 - mask)[None, None], (side, 1), 1, (by_px, 0))
    return 1 - F.max_pool2d(rows, (1, side), 1, (0, by_px))[0, 0]


def _gaussian(config: AlignmentConfig) -> Float[Tensor, "d"]:
    """The blur's weights by distance in pixels."""
    half = torch.exp(-0.5 * (torch.arange(math.ceil(3 * config.smoothing_px) + 1) / config.smoothing_px) ** 2)
    return half / (2 * half.sum() - 1)


def _bands(by_distance: Float[Tensor, "d"], like: Float[Tensor, "h w"]) -> tuple[Tensor, Tensor]:
    """A separable filter with zeros beyond the border, as matrices over the rows and over the columns.

    Two products of matrices are quicker than windows of this size that slide, and are the same on any device.
    """
    reach = len(by_distance) - 1
    weights = torch.cat([by_distance.to(like), like.new_zeros(1)])
    places = (torch.arange(size, device=like.device) for size in like.shape)
    rows, columns = (weights[(at - at[:, None]).abs().clamp_max(reach + 1)] for at in places)
    return rows, columns


def _filtered(pictures: Float[Tensor, "*N h w"], bands: tuple[Tensor, Tensor]) -> Float[Tensor, "*N h w"]:
    return bands[0] @ pictures @ bands[1]
