"""The zoomed crop around an object: which window, how the image is cut, which camera it has.

One affine map per crop cuts the image *and* makes its camera, so the two cannot drift apart.
``CropConvention`` names how that map relates pixels; it is stored in every checkpoint.
"""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.types import CameraIntrinsics

_LEAST_IMAGE_PX = 8.0


class CropConvention(Enum):
    """How crop pixels relate to image pixels."""

    EXACT = "exact"
    """Integer pixel centres; image and intrinsics cropped by one and the same map."""
    OFFICIAL = "official"
    """The published code's: image and intrinsics disagree by about half a pixel. Converted weights only."""


def object_window(
    corners_object: Float[Tensor, "B N 3"],
    centre_object: Float[Tensor, "B 3"],
    T_camera_object: Float[Tensor, "B 4 4"],
    camera: CameraIntrinsics,
    *,
    margin: float,
    size: int,
) -> Float[Tensor, "B 2 3"]:
    """The affine map ``image pixel -> crop pixel`` of a square window around each object.

    The projected ``centre_object`` lands on crop pixel ``size // 2``; the window's half side is
    ``margin`` times the largest horizontal or vertical distance of a projected corner from it.

    Args:
        corners_object: Points that span the object (vertices or the corners of their box), metres.
        centre_object: Metres.
        T_camera_object: Poses.
        camera: The full images' cameras, or one for all.
        margin: At least 1.
        size: Side of the crop in pixels.
    """
    dtype = camera.K.dtype
    T = T_camera_object.to(dtype)
    K = camera.K.expand(T.shape[0], 3, 3)
    uv = project(transform(T, corners_object.to(dtype)), K)
    centre = project(transform(T, centre_object.to(dtype)[:, None]), K)[:, 0]
    half = (uv - centre[:, None]).abs().flatten(1).amax(1).clamp(min=1.0) * margin
    scale = size / (2.0 * half)
    shift = size // 2 - scale[:, None] * centre
    zero = torch.zeros_like(scale)
    rows = [torch.stack([scale, zero, shift[:, 0]], -1), torch.stack([zero, scale, shift[:, 1]], -1)]
    return torch.stack(rows, -2)


def crop_camera(camera: CameraIntrinsics, affine_crop_image: Float[Tensor, "B 2 3"], *, size: int) -> CameraIntrinsics:
    """The cameras of the crops: each affine map applied to its image plane (or to the one they share)."""
    A = camera.K.new_zeros(affine_crop_image.shape[0], 3, 3)
    A[:, :2] = affine_crop_image.to(camera.K.dtype)
    A[:, 2, 2] = 1.0
    return CameraIntrinsics(K=A @ camera.K, height=size, width=size)


def crop_image(
    image: Shaped[Tensor, "N C H W"], affine_crop_image: Float[Tensor, "B 2 3"], *, size: int
) -> Float[Tensor, "B C S S"]:
    """The windows cut out of the images (N = B, or one image for all windows), bilinear, zero outside; floats.

    Images of bytes, 0..255, become floats from 0 to 1.

    Where the window is shrunk, the image is blurred first by a Gaussian of standard deviation
    ``0.5 sqrt(s^2 - 1)`` image pixels, s = image pixels per crop pixel, against aliasing. A window in which the whole
    image would be smaller than 8 crop pixels shows nothing: it is black, as is one that is not finite.
    """
    image = image.expand(affine_crop_image.shape[0], -1, -1, -1)
    return torch.cat([_crop_one(image[i : i + 1], affine, size=size) for i, affine in enumerate(affine_crop_image)])


def _crop_one(image: Tensor, affine: Tensor, *, size: int) -> Tensor:
    """Crop by first slicing the window's pixels (cheap for large images), then blur, then sample."""
    height, width = image.shape[-2:]
    scale = float(affine[0, 0])
    # A pose right before the lens asks for this; blurring by its scale would take all memory.
    if not (scale * max(height, width) >= _LEAST_IMAGE_PX and bool(torch.isfinite(affine).all())):
        return _black(image, size)
    s = 1.0 / scale
    u0, v0 = -float(affine[0, 2]) * s, -float(affine[1, 2]) * s
    sigma = 0.5 * max(s * s - 1.0, 0.0) ** 0.5
    pad = int(3 * sigma) + 2
    left, right = max(0, int(u0) - pad), min(width, int(u0 + s * size) + pad + 2)
    top, bottom = max(0, int(v0) - pad), min(height, int(v0 + s * size) + pad + 2)
    if left >= right or top >= bottom:
        return _black(image, size)
    window = image[:, :, top:bottom, left:right]
    if window.dtype == torch.uint8:
        window = window.float() / 255.0
    if sigma > 0.3:
        window = _gaussian_blur(window, sigma)
    ticks = torch.arange(size, device=image.device, dtype=torch.float64) * s
    u, v = ticks + (u0 - left), ticks + (v0 - top)
    h, w = window.shape[-2:]
    grid = torch.stack(torch.meshgrid((2 * u + 1) / w - 1, (2 * v + 1) / h - 1, indexing="xy"), -1)
    return F.grid_sample(window, grid[None].to(window.dtype), align_corners=False, padding_mode="zeros")


def _black(image: Tensor, size: int) -> Tensor:
    dtype = torch.float32 if image.dtype == torch.uint8 else image.dtype
    return image.new_zeros(1, image.shape[1], size, size, dtype=dtype)


def _gaussian_blur(image: Float[Tensor, "1 C H W"], sigma: float) -> Float[Tensor, "1 C H W"]:
    """Beyond the border the outermost pixels are repeated."""
    radius = max(1, int(3 * sigma + 0.5))
    x = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    if image.device.type == "cpu" and not image.requires_grad:
        return _blurred_by_opencv(image, kernel)
    channels = image.shape[1]
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    row = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    column = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    return F.conv2d(F.conv2d(padded, row, groups=channels), column, groups=channels)


def _blurred_by_opencv(image: Float[Tensor, "1 C H W"], kernel: Float[Tensor, "n"]) -> Float[Tensor, "1 C H W"]:
    """The same several times quicker, channel by channel: OpenCV takes no more than four at once."""
    taps = kernel.numpy()
    channels = [
        cv2.sepFilter2D(channel.contiguous().numpy(), -1, taps, taps, borderType=cv2.BORDER_REPLICATE)
        for channel in image[0]
    ]
    return torch.from_numpy(np.stack(channels))[None]
