"""What a real camera does to a picture: blur, exposure, colour, noise, compression."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.layers import shaded
from rnnpose_ros.data.synthetic.randomization import LookRanges

Array = NDArray[Any]
"""float32."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def photographed(picture: Array, ranges: LookRanges, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A linear RGB picture (0..1 and above) as a camera would deliver it.

    Every kernel is symmetric about its pixel, so that nothing moves.
    """
    height, width = picture.shape[:2]
    picture = _blurred(picture, ranges, rng)
    picture = cv2.multiply(picture, np.array([*_exposure(picture, rng), 0.0]))
    if rng.random() < 0.3:
        picture = shaded(picture, _vignette(rng, height, width))
    if rng.random() < ranges.noise_share:
        picture = _noisy(picture, ranges, rng)
    np.clip(picture, 0, 1, out=picture)
    picture = _toned(picture, rng)
    picture = _colored(picture, ranges, rng)
    finished = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() >= ranges.jpeg_share:
        return finished
    return _compressed(finished, quality=int(rng.integers(ranges.jpeg_quality[0], ranges.jpeg_quality[1] + 1)))


def _blurred(picture: Array, ranges: LookRanges, rng: np.random.Generator) -> Array:
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.4))
    if rng.random() < ranges.motion_share:
        length = int(rng.choice([3, 5, 7]))
        kernel = np.zeros((length, length), np.float32)
        middle = length // 2
        step = middle * np.array([math.cos(angle := rng.uniform(0, math.pi)), math.sin(angle)])
        ends = np.round(np.stack([middle - step, middle + step])).astype(int)
        cv2.line(kernel, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1.0)
        kernel = kernel + kernel[::-1, ::-1]
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return picture


def _exposure(picture: Array, rng: np.random.Generator) -> list[float]:
    """Gain of each channel: mostly what an automatic exposure would choose, and a colour cast."""
    gain = math.exp(rng.normal(0, 0.15))
    if rng.random() < 0.7:
        wanted = rng.uniform(0.28, 0.55)
        gain *= min(max(wanted / (float(picture.mean()) + 1e-3), 0.6), 2.2)
    cast = 1 + rng.normal(0, 0.08, 3) if rng.random() < 0.6 else np.ones(3)
    return [float(g) for g in gain * cast]


def _vignette(rng: np.random.Generator, height: int, width: int) -> Array:
    v = (np.arange(height, dtype=np.float32) / height - rng.uniform(0.2, 0.8))[:, None]
    u = (np.arange(width, dtype=np.float32) / width - rng.uniform(0.2, 0.8))[None]
    return (1 - np.float32(rng.uniform(0.1, 0.7)) * (u * u + v * v)).astype(np.float32)


def _noisy(picture: Array, ranges: LookRanges, rng: np.random.Generator) -> Array:
    """Sensor noise: in brightness, often in colour too, sometimes coarse, sometimes growing with the light, with
    single pixels far off."""
    height, width = picture.shape[:2]
    low, high = ranges.noise
    strength = np.float32(math.exp(rng.uniform(math.log(low), math.log(high))))
    channels = 3 if rng.random() < 0.6 else 1
    coarse = 2 if rng.random() < 0.3 else 1
    noise: Array = rng.standard_normal((height // coarse, width // coarse, channels), dtype=np.float32)
    if coarse > 1:
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, channels)
    if rng.random() < ranges.outlier_share:
        noise = noise * (1 + np.float32(0.25) * noise * noise)
    if rng.random() < 0.4:
        noise = noise * (np.float32(0.4) + np.sqrt(np.maximum(picture, 0)))
    return picture + strength * noise


def _toned(picture: Array, rng: np.random.Generator) -> Array:
    """Gamma, contrast about the middle tones, brightness with some stray light."""
    if rng.random() < 0.7:
        picture = cv2.pow(picture, math.exp(rng.normal(0, 0.25)))
    middle = 0.5 * (0.5 + float(picture.mean()))
    contrast = rng.uniform(0.6, 1.3)
    brightness = middle + rng.normal(0, 0.05) + rng.uniform(0, 0.05)
    return (picture - np.float32(middle)) * np.float32(contrast) + np.float32(brightness)


def _compressed(picture: NDArray[np.uint8], *, quality: int) -> NDArray[np.uint8]:
    """The picture after JPEG; OpenCV wants blue first."""
    packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    unpacked = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    assert unpacked is not None
    return np.ascontiguousarray(unpacked[..., ::-1], dtype=np.uint8)


def _colored(picture: Array, ranges: LookRanges, rng: np.random.Generator) -> Array:
    draw = rng.random()
    if draw < ranges.grey_share:
        return np.repeat((picture @ _LUMA)[..., None], 3, axis=2)
    if draw < ranges.grey_share + ranges.pale_share:
        saturation = rng.uniform(0.0, 0.4)
    elif draw < ranges.grey_share + ranges.pale_share + 0.35:
        saturation = rng.uniform(0.5, 1.6)
    else:
        return picture
    grey = (picture @ _LUMA)[..., None]
    return grey + np.float32(saturation) * (picture - grey)
