"""sensor_msgs/CameraInfo to an undistorted camera, and the pictures that fit it.

Beside ``image_raw`` the matrices K and D hold; beside ``image_rect*`` the matrix P does, although the
message still carries the raw D. Region of interest and binning refer to the full resolution: the
principal point moves first, then everything is divided. Raw pictures are undistorted to their own K, so
their frame stays the camera's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.types import CameraIntrinsics

RECTIFIED_CHOICES = ("auto", "true", "false")
_FOCAL_RATIO = 200.0
"""Of focal length and image side, either way: beyond the widest fish-eye and the longest lens."""
_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (5, 8, 12, 14), "equidistant": (4,)}


@runtime_checkable
class CameraInfoMessage(Protocol):
    """The fields of sensor_msgs/CameraInfo that are read."""

    height: int
    width: int
    distortion_model: str
    d: Any
    k: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True, slots=True, eq=False)
class CameraReading:
    """A pinhole camera, and how its pictures are straightened."""

    intrinsics: CameraIntrinsics
    _maps: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def undistorts(self) -> bool:
        """True where pictures are bent and :meth:`rectify` straightens them."""
        return self._maps is not None

    def rectify(self, rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """The picture as the pinhole camera would have taken it; black where it saw nothing."""
        if self._maps is None:
            return rgb
        return cv2.remap(np.ascontiguousarray(rgb), *self._maps, interpolation=cv2.INTER_LINEAR)


class CameraReader:
    """Reads infos and keeps the last reading, since a camera says the same thing with every picture.

    Args:
        rectified: ``true`` means P holds, ``false`` K and D; ``auto`` looks at the topic and at D.
        image_topic: The resolved name of the image topic.
    """

    def __init__(self, *, rectified: str = "auto", image_topic: str = "") -> None:
        self._rectified = rectified
        self._topic_is_rectified = image_topic.rsplit("/", 1)[-1].startswith("image_rect")
        self._key: tuple[Any, ...] | None = None
        self._reading: CameraReading | None = None

    def read(self, info: CameraInfoMessage, *, image_width: int, image_height: int) -> CameraReading:
        """The camera of an image of this size.

        Raises:
            RefusedInputError: Not calibrated, of another size than the image, or of an unknown distortion.
        """
        key = _key(info, image_width, image_height)
        if self._reading is None or key != self._key:
            self._reading = self._read(info, image_width, image_height)
            self._key = key
        return self._reading

    def _read(self, info: CameraInfoMessage, image_width: int, image_height: int) -> CameraReading:
        _check_size(info, image_width, image_height)
        D = np.asarray(info.d, np.float64)
        if self._uses_projection(info, D):
            P = np.asarray(info.p, np.float64).reshape(3, 4)
            return CameraReading(_camera(info, P[:, :3], image_width, image_height, name="P"))
        K = np.asarray(info.k, np.float64).reshape(3, 3)
        camera = _camera(info, K, image_width, image_height, name="K")
        if not np.any(D):
            return CameraReading(camera)
        return CameraReading(camera, _undistortion(info.distortion_model, D, camera))

    def _uses_projection(self, info: CameraInfoMessage, D: Float[np.ndarray, "N"]) -> bool:
        if self._rectified != "auto":
            return self._rectified == "true"
        # Without distortion K and P agree for one camera, and drivers that know no P leave it 0.
        return self._topic_is_rectified or (not np.any(D) and float(info.p[0]) != 0.0)


def _key(info: CameraInfoMessage, image_width: int, image_height: int) -> tuple[Any, ...]:
    roi = info.roi
    window = (roi.x_offset, roi.y_offset, roi.width, roi.height, info.binning_x, info.binning_y)
    matrices = tuple(np.asarray(values, np.float64).tobytes() for values in (info.d, info.k, info.p))
    return (info.width, info.height, info.distortion_model, *window, *matrices, image_width, image_height)


def _check_size(info: CameraInfoMessage, image_width: int, image_height: int) -> None:
    width = (info.roi.width or info.width) // max(1, info.binning_x)
    height = (info.roi.height or info.height) // max(1, info.binning_y)
    if (width, height) != (image_width, image_height):
        raise RefusedInputError(
            Reason.BAD_INFO,
            f"the image is {image_width} x {image_height} but its camera_info describes {width} x {height}; "
            "use the camera_info that belongs to this image topic",
        )


def _camera(
    info: CameraInfoMessage, M: Float[np.ndarray, "3 3"], image_width: int, image_height: int, *, name: str
) -> CameraIntrinsics:
    """The camera of the window that was read out."""
    bin_x, bin_y = max(1, info.binning_x), max(1, info.binning_y)
    fx, fy = M[0, 0] / bin_x, M[1, 1] / bin_y
    cx, cy = (M[0, 2] - info.roi.x_offset) / bin_x, (M[1, 2] - info.roi.y_offset) / bin_y
    if not all(math.isfinite(value) for value in (fx, fy, cx, cy)) or fx <= 0.0 or fy <= 0.0:
        raise RefusedInputError(
            Reason.BAD_INFO,
            f"camera_info is not calibrated: {name} has fx = {M[0, 0]:g}, fy = {M[1, 1]:g}; calibrate the camera, "
            "or point the camera_info topic to a calibrated one",
        )
    side = float(max(image_width, image_height))
    places = (abs(cx - 0.5 * image_width), abs(cy - 0.5 * image_height))
    if not all(side / _FOCAL_RATIO < f < side * _FOCAL_RATIO for f in (fx, fy)) or max(places) > side * _FOCAL_RATIO:
        raise RefusedInputError(
            Reason.BAD_INFO,
            f"camera_info describes no camera of a {image_width} x {image_height} image: {name} has fx {fx:g}, "
            f"fy {fy:g}, cx {cx:g}, cy {cy:g} px; calibrate the camera",
        )
    return intrinsics(float(fx), float(fy), float(cx), float(cy), width=image_width, height=image_height)


def _undistortion(model: str, D: Float[np.ndarray, "N"], camera: CameraIntrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Maps for ``cv2.remap`` from the pinhole picture to the bent one, both of the same K."""
    model = model or "plumb_bob"
    if model not in _COEFFICIENTS:
        known = ", ".join(_COEFFICIENTS)
        raise RefusedInputError(Reason.BAD_INFO, f"distortion model {model!r} is not known; use one of {known}")
    if not np.isfinite(D).all():
        raise RefusedInputError(Reason.BAD_INFO, f"camera_info has distortion coefficients that are not finite: {D}")
    if len(D) not in _COEFFICIENTS[model]:
        expected = " or ".join(str(n) for n in _COEFFICIENTS[model])
        raise RefusedInputError(Reason.BAD_INFO, f"distortion model {model} needs {expected} numbers, got {len(D)}")
    K = camera.K[0].double().numpy()
    size = (camera.width, camera.height)
    initialise = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
    map_u, map_v = initialise(K, D, np.eye(3), K, size, cv2.CV_16SC2)
    return map_u, map_v
