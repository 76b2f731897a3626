"""The published code's two crops (``CropConvention.OFFICIAL``), with every disagreement its weights have learned.

The first crop, once per refinement, is 320 pixels wide: resampled with pixel centres at ``i + 0.5``, its
intrinsics without. The zoom, once per cycle, is 240 wide: its picture is sampled at
``x + (i + 0.5) S / 240 - 0.5``, its intrinsics say ``x + i S / 239``. The published renderer puts pixel
centres at ``i + 0.5`` (see :func:`render_camera`), everything else at ``i``. Pinned by
``test/networks/test_official_parity.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M, project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.types import CameraIntrinsics

FIRST_SIZE = 320
ZOOM_SIZE = 240

_FIRST_MARGIN = 0.85
_ZOOM_MARGIN = 1.4
_RESIZE_BITS = 11


@dataclass(frozen=True, slots=True)
class FirstWindow:
    """A square of whole pixels of the full image; the part outside of the image is black."""

    left: int
    top: int
    side: int


@dataclass(frozen=True, slots=True)
class ZoomWindow:
    """A square of the first crop, in its pixels."""

    left: float
    top: float
    side: float


def splat_box(
    vertices: Float[Tensor, "V 3"], T_camera_object: Float[Tensor, "4 4"], camera: CameraIntrinsics
) -> Int[Tensor, "4"] | None:
    """Smallest and largest pixel (u0, v0, u1, v1) that a vertex falls on, vertices outside moved to the border.

    None where no vertex is before the camera.

    Args:
        vertices: Metres.
        T_camera_object: Pose.
        camera: One camera (B = 1).
    """
    points = transform(T_camera_object.double(), vertices.double())
    points = points[points[:, 2] > NEAR_M]
    if len(points) == 0:
        return None
    uv = project(points[None], camera.K.double())[0].round()
    last = uv.new_tensor([camera.width - 1, camera.height - 1])
    uv = uv.clamp(min=torch.zeros_like(last), max=last)
    return torch.cat([uv.amin(0), uv.amax(0)]).long()


def first_window(box: Int[Tensor, "4"]) -> FirstWindow:
    """2.7 times the longer side of the box, about its middle; pushed right and down at the left and top border."""
    u0, v0, u1, v1 = box.tolist()
    width, height = u1 - u0 + 1, v1 - v0 + 1
    side = int(max(width, height) * (1 + 2 * _FIRST_MARGIN))
    left, top = int(u0 + width / 2 - side / 2), int(v0 + height / 2 - side / 2)
    return FirstWindow(left=max(0, left), top=max(0, top), side=side)


def cut_first(image: UInt8[Tensor, "H W 3"], window: FirstWindow) -> Float[Tensor, "3 320 320"]:
    """The window resampled to 320 x 320, 0..1, bit for bit as OpenCV's bilinear ``resize`` of 8-bit pictures."""
    bottom, right = window.top + window.side, window.left + window.side
    part = image[window.top : bottom, window.left : right].long()
    part = F.pad(part, (0, 0, 0, window.side - part.shape[1], 0, window.side - part.shape[0]))
    low, high, weight_low, weight_high = _taps(window.side, part.device)
    # OpenCV moves columns beyond the border to it before it weighs them, rows after.
    outside = (low < 0) | (low >= window.side - 1)
    at_left, at_right = low.clamp(0, window.side - 1), high.clamp(0, window.side - 1)
    full = 1 << _RESIZE_BITS
    a = torch.where(outside, full, weight_low)[:, None]
    b = torch.where(outside, 0, weight_high)[:, None]
    across = part[:, at_left] * a + part[:, at_right] * b
    above = (weight_low[:, None, None] * (across[at_left] >> 4)) >> 16
    below = (weight_high[:, None, None] * (across[at_right] >> 4)) >> 16
    return ((above + below + 2) >> 2).clamp(0, 255).permute(2, 0, 1).float() / 255.0


def _taps(side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lower and upper pixel of each output pixel, and their weights in 1/2048."""
    position = (
        (torch.arange(FIRST_SIZE, device=device, dtype=torch.float64) + 0.5) * (side / FIRST_SIZE) - 0.5
    ).float()
    low = position.floor()
    fraction = position - low
    weight_low, weight_high = (((x) * (1 << _RESIZE_BITS)).round().long() for x in (1.0 - fraction, fraction))
    return low.long(), low.long() + 1, weight_low, weight_high


def first_camera(camera: CameraIntrinsics, window: FirstWindow) -> CameraIntrinsics:
    """Intrinsics of the first crop: scaled about pixel 0, without the half pixel that its picture has."""
    K = camera.K.clone()
    K[:, 0, 2] -= window.left
    K[:, 1, 2] -= window.top
    K[:, :2] *= FIRST_SIZE / window.side
    return CameraIntrinsics(K=K, height=FIRST_SIZE, width=FIRST_SIZE)


def zoom_window(
    box: Int[Tensor, "4"] | None, T_camera_object: Float[Tensor, "4 4"], camera: CameraIntrinsics
) -> ZoomWindow:
    """The square about the projected origin of the object, 1.4 times as far as the splatted vertices reach.

    Args:
        box: :func:`splat_box` in the first crop; None counts as the pixel 0, 0.
        T_camera_object: Pose.
        camera: Of the first crop, B = 1.
    """
    u, v = project(T_camera_object.double()[None, :3, 3][None], camera.K.double())[0, 0].tolist()
    u0, v0, u1, v1 = (0, 0, 0, 0) if box is None else box.tolist()
    side = 2 * _ZOOM_MARGIN * max(u - u0, u1 - u, v - v0, v1 - v)
    return ZoomWindow(left=u - side / 2, top=v - side / 2, side=side)


def zoom_camera(camera: CameraIntrinsics, window: ZoomWindow) -> CameraIntrinsics:
    """Intrinsics of the zoom, which say that its pixel i lies at ``x + i S / 239`` of the first crop."""
    K = camera.K.clone()
    K[:, 0, 2] -= window.left
    K[:, 1, 2] -= window.top
    K[:, :2] *= (ZOOM_SIZE - 1) / window.side
    return CameraIntrinsics(K=K, height=ZOOM_SIZE, width=ZOOM_SIZE)


def render_camera(camera: CameraIntrinsics) -> CameraIntrinsics:
    """The camera that lets a renderer with integer pixel centres draw what the published one does."""
    K = camera.K.clone()
    K[:, :2, 2] -= 0.5
    return CameraIntrinsics(K=K, height=camera.height, width=camera.width)


def cut_zoom(values: Float[Tensor, "C 320 320"], window: ZoomWindow) -> Float[Tensor, "C 240 240"]:
    """A map of the first crop sampled at the zoom's pixels, bilinear, black outside."""
    ticks = (torch.arange(ZOOM_SIZE, device=values.device, dtype=torch.float64) + 0.5) * (window.side / ZOOM_SIZE) - 0.5
    u, v = ticks + window.left, ticks + window.top
    grid = torch.stack(torch.meshgrid((2 * u + 1) / FIRST_SIZE - 1, (2 * v + 1) / FIRST_SIZE - 1, indexing="xy"), -1)
    return F.grid_sample(values[None], grid[None].to(values.dtype), align_corners=False, padding_mode="zeros")[0]
