"""From light to a picture file: lens, shake, photosite noise behind a colour mosaic, tone curve, JPEG.

Every kernel is symmetric about its pixel and the mosaic is filled in symmetrically, so nothing moves.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from rnnpose_ros.data.path_traced.look import SensorLook

_FULL_SCALE = 65535.0


def photographed(
    radiance: Float[np.ndarray, "H W 3"],
    depth: Float[np.ndarray, "H W"],
    *,
    focus_m: float,
    meter: Float[np.ndarray, "N 3"],
    look: SensorLook,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture that a camera delivers.

    Args:
        radiance: Linear RGB, any scale.
        depth: Metres, 0 = very far; what is far from the focus is blurred.
        focus_m: Distance that the object stands at.
        meter: Light of the part that counts as much for the exposure as the whole picture.
        look: How far everything may go.
        rng: What it becomes.
    """
    bright = [max(float(np.percentile(part.mean(-1), 85)), 1e-6) for part in (meter, radiance)]
    light = radiance / math.sqrt(bright[0] * bright[1])
    light = light * (0.45 * 2.0 ** rng.normal(0, look.exposure_stops))
    if rng.random() < look.defocus_share:
        focus = focus_m * math.exp(rng.normal(0, look.focus_error))
        light = _defocused(light, depth, focus, aperture_px=_within(look.defocus_px, rng))
    if rng.random() < look.motion_share:
        light = _shaken(light, length_px=_within(look.motion_px, rng), direction=rng.uniform(0, math.pi))
    balance = np.exp(rng.normal(0, look.white_balance, 3))
    light = light * (balance / balance.mean())
    noisy = _noisy(light.clip(0, 1), gain=_within(look.noise, rng), rng=rng)
    picture = _developed(noisy, gamma=_within(look.gamma, rng), contrast=rng.uniform(0, look.contrast))
    if rng.random() < look.sharpen_share:
        blurred = cv2.GaussianBlur(picture, (0, 0), 1.0)
        picture = picture + rng.uniform(0.2, 0.8) * (picture - blurred)
    finished = (picture.clip(0, 1) * 255).round().astype(np.uint8)
    if rng.random() < look.jpeg_share:
        quality = int(rng.integers(look.jpeg_quality[0], look.jpeg_quality[1] + 1))
        finished = _compressed(finished, quality)
    return finished


def _defocused(light: np.ndarray, depth: np.ndarray, focus_m: float, *, aperture_px: float) -> np.ndarray:
    """Blurred by a disc whose radius grows with the distance from the focus; three discs stand for all."""
    far = np.where(depth > 0, depth, 1e3)
    radius = np.abs(aperture_px * (1 - focus_m / far)).clip(0, 6)
    levels = [0.0, 1.5, 3.0, 6.0]
    blurred = [light, *(cv2.filter2D(light, -1, _disc(r)) for r in levels[1:])]
    radius = cv2.GaussianBlur(radius.astype(np.float32), (0, 0), 1.5)
    weights = [np.maximum(0, 1 - np.abs(np.interp(radius, levels, range(4)) - i)) for i in range(4)]
    return np.asarray(sum(b * w[..., None] for b, w in zip(blurred, weights, strict=True)))


def _disc(radius: float) -> np.ndarray:
    """A kernel of sum 1, its edge soft by a pixel."""
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (radius + 0.5 - np.hypot(x, y)).clip(0, 1)
    return disc / disc.sum()


def _shaken(light: np.ndarray, *, length_px: float, direction: float) -> np.ndarray:
    """Averaged along a line whose middle is the pixel: the pose is that of the middle of the exposure."""
    reach = math.ceil(length_px / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for t in np.linspace(-0.5, 0.5, 8 * reach + 1):
        x, y = reach + t * length_px * math.cos(direction), reach + t * length_px * math.sin(direction)
        x0, y0 = math.floor(x), math.floor(y)
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
            kernel[min(y0 + dy, 2 * reach), min(x0 + dx, 2 * reach)] += share
    return cv2.filter2D(light, -1, kernel / kernel.sum())


def _noisy(light: np.ndarray, *, gain: float, rng: np.random.Generator) -> np.ndarray:
    """Shot and read noise at photosites that see one colour each, the two others filled in."""
    mosaic = light[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = light[::2, ::2, 0], light[1::2, 1::2, 2]
    deviation = gain * np.sqrt(mosaic + 0.01)
    mosaic = (mosaic + deviation * rng.normal(0, 1, mosaic.shape)).clip(0, 1)
    raw = (mosaic * _FULL_SCALE).round().astype(np.uint16)
    filled = cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB)
    return filled.astype(np.float32) / np.float32(_FULL_SCALE)


def _developed(light: np.ndarray, *, gamma: float, contrast: float) -> np.ndarray:
    """Display values: a power law, then an S-curve of the given strength."""
    display = np.asarray(light ** np.float32(1.0 / gamma))
    smooth = display * display * (3 - 2 * display)
    return display + np.float32(contrast) * (smooth - display)


def _compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1])


def _within(limits: tuple[float, ...], rng: np.random.Generator) -> float:
    return float(rng.uniform(limits[0], limits[1]))
