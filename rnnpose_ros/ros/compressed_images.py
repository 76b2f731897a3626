"""sensor_msgs/CompressedImage: JPEG and PNG, as image_transport and as camera drivers send them.

``format`` is the bare name (``jpeg``) or image_transport's sentence (``rgb8; jpeg compressed bgr8``): the encoding
before, the codec, and the order in which the channels were given to the codec. Codecs hold blue, green, red
there; a sentence that ends in rgb says that they were given the wrong way round.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image as PilImage

from rnnpose_ros.ros.images import rgb_from_bayer, rgb_from_message
from rnnpose_ros.ros.reasons import Reason, RefusedInputError

_CODECS = ("JPEG", "PNG")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture whose size is known before it is decoded."""

    width: int
    height: int
    decode: Callable[[], UInt8[np.ndarray, "H W 3"]]


def open_picture(message: Any) -> Picture:
    """The picture of an Image or CompressedImage message.

    Raises:
        RefusedInputError: It is neither JPEG nor PNG, or damaged; ``decode`` raises the same.
    """
    if not hasattr(message, "format"):
        return Picture(message.width, message.height, lambda: rgb_from_message(message))
    width, height = _size(message)
    return Picture(width, height, lambda: _decode(message))


def _size(message: Any) -> tuple[int, int]:
    """From the file's header alone: a few bytes may claim gigabytes, and are compared with the camera first."""
    try:
        with PilImage.open(io.BytesIO(message.data), formats=_CODECS) as header:
            return header.size
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
        raise RefusedInputError(
            Reason.BAD_ENCODING,
            f"a compressed image of format {message.format!r} and {len(message.data)} bytes is no readable JPEG or PNG",
        ) from error


def _decode(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    before, _, sentence = message.format.partition(";")
    bayer = before.strip() if before.strip().startswith("bayer_") else ""
    # The pixels as the camera info means them: not turned by what a phone wrote into the file.
    mode = cv2.IMREAD_GRAYSCALE if bayer else cv2.IMREAD_COLOR
    try:
        decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise RefusedInputError(
            Reason.BAD_ENCODING, f"a compressed image of format {message.format!r} is damaged and cannot be decoded"
        )
    if bayer:
        return rgb_from_bayer(decoded, bayer)
    return decoded if "compressed rgb" in sentence else decoded[..., ::-1]
