"""sensor_msgs/Image to and from arrays.

Reading wraps the message's bytes with the message's own row step, so padded rows stay straight and
nothing is copied before the colours are converted. ``cv_bridge``, where it is installed, is asked only
for encodings that are not read here.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from rnnpose_ros.ros.reasons import Reason, RefusedInputError


@runtime_checkable
class ImageMessage(Protocol):
    """The fields of sensor_msgs/Image that are read."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


_DIRECT: dict[str, tuple[str, int]] = {
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "8UC3": ("u1", 3),
    "8UC1": ("u1", 1),
    "mono8": ("u1", 1),
    "mono16": ("u2", 1),
    "rgb16": ("u2", 3),
    "bgr16": ("u2", 3),
}
_YUV = {
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}
# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first four.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
KNOWN_ENCODINGS = (
    *_DIRECT,
    *_YUV,
    *(f"bayer_{pattern}{bits}" for bits in (8, 16) for pattern in _BAYER),
)
"""What is read without help; colour order of 8UC3 is taken as bgr, as OpenCV's writers mean it."""


def rgb_from_message(message: ImageMessage) -> UInt8[np.ndarray, "H W 3"]:
    """The picture in red, green, blue; a read-only view of the message where it is rgb8 already.

    16-bit channels keep their upper eight bits.

    Raises:
        RefusedInputError: The encoding is unknown, or the sizes of the message contradict each other.
    """
    encoding = message.encoding
    if encoding in _DIRECT:
        return _to_rgb(_to_8_bits(_view(message, *_DIRECT[encoding])), encoding)
    if encoding in _YUV:
        return cv2.cvtColor(np.ascontiguousarray(_view(message, "u1", 2)), _YUV[encoding])
    if encoding.startswith("bayer_") and encoding in KNOWN_ENCODINGS:
        mosaic = _to_8_bits(_view(message, "u1" if encoding.endswith("8") else "u2", 1))
        return rgb_from_bayer(mosaic[..., 0], encoding)
    convert = _cv_bridge()
    if convert is None:
        raise RefusedInputError(
            Reason.BAD_ENCODING,
            f"image encoding {encoding!r} is not known; use one of {', '.join(KNOWN_ENCODINGS)}, or install cv_bridge",
        )
    return convert(message)


def rgb_from_bayer(mosaic: UInt8[np.ndarray, "H W"], encoding: str) -> UInt8[np.ndarray, "H W 3"]:
    """The colours of a sensor's mosaic.

    Args:
        mosaic: One colour a pixel.
        encoding: ``bayer_rggb8`` and its kin.

    Raises:
        RefusedInputError: The pattern is unknown.
    """
    pattern = encoding[len("bayer_") :][:4]
    if pattern not in _BAYER:
        raise RefusedInputError(Reason.BAD_ENCODING, f"Bayer pattern of {encoding!r} is not known")
    return cv2.cvtColor(np.ascontiguousarray(mosaic), _BAYER[pattern])


def fill_message(message: Any, picture: Shaped[np.ndarray, "H W *C"], *, encoding: str) -> Any:
    """The message with a picture in it: rgb8, mono8 (both uint8), 32FC1 or 32FC2 (float32); returns it."""
    picture = np.ascontiguousarray(picture)
    message.height, message.width = picture.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = picture.strides[0]
    # frombytes copies once; any other way of filling the field converts element by element.
    pixels = array("B")
    pixels.frombytes(picture.reshape(-1).view(np.uint8).data)
    message.data = pixels
    return message


def float_from_message(message: ImageMessage) -> Float[np.ndarray, "H W"]:
    """A 32FC1 picture as a read-only view.

    Raises:
        RefusedInputError: It is something else.
    """
    if message.encoding != "32FC1":
        raise RefusedInputError(Reason.BAD_ENCODING, f"expected a 32FC1 image, got {message.encoding!r}")
    return _view(message, "f4", 1)[..., 0]


def _view(message: ImageMessage, dtype: str, channels: int) -> Shaped[np.ndarray, "H W C"]:
    kind = np.dtype(dtype).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = message.height, message.width, message.step
    row = width * channels * kind.itemsize
    if height < 1 or width < 1 or step < row or len(message.data) < step * (height - 1) + row:
        raise RefusedInputError(
            Reason.BAD_ENCODING,
            f"image says {width} x {height} {message.encoding}, step {step}, but holds {len(message.data)} bytes; "
            f"expected a step of at least {row} and {row} bytes in each of {height} rows",
        )
    strides = (step, channels * kind.itemsize, kind.itemsize)
    return np.ndarray((height, width, channels), kind, buffer=memoryview(message.data).toreadonly(), strides=strides)


def _to_8_bits(picture: Shaped[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W C"]:
    return picture if picture.dtype.itemsize == 1 else (picture >> 8).astype(np.uint8)


def _to_rgb(picture: UInt8[np.ndarray, "H W C"], encoding: str) -> UInt8[np.ndarray, "H W 3"]:
    if picture.shape[2] == 1:
        return np.repeat(picture, 3, axis=2)
    colours = picture[..., :3]
    return colours if encoding.startswith("rgb") else colours[..., ::-1]


def _cv_bridge() -> Callable[[ImageMessage], UInt8[np.ndarray, "H W 3"]] | None:
    """A converter by cv_bridge, or None where it is missing or was built for another NumPy."""
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except (ImportError, AttributeError):
        return None

    def convert(message: ImageMessage) -> UInt8[np.ndarray, "H W 3"]:
        try:
            return np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding="rgb8"))
        except CvBridgeError as error:
            raise RefusedInputError(Reason.BAD_ENCODING, f"image encoding {message.encoding!r}: {error}") from error

    return convert
