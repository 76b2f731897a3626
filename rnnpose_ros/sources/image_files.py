"""Pictures from and to files, as RGB."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from rnnpose_ros.errors import InputError


def read_image(path: str | Path) -> UInt8[Tensor, "H W 3"]:
    """The picture in a file; grey becomes RGB, transparency is dropped, EXIF turns are ignored.

    Raises:
        InputError: The file is missing or holds no picture.
    """
    path = Path(path)
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        raise InputError(f"{path}: no such picture") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    # A camera's matrix belongs to the pixels as they are stored: never turn them as EXIF says.
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(encoded) else None
    if picture is None:
        raise InputError(f"{path}: not a readable picture (expected PNG, JPEG or the like)")
    return torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def write_image(path: str | Path, rgb: UInt8[np.ndarray, "H W 3"] | UInt8[Tensor, "H W 3"]) -> None:
    """Writes a picture; the suffix says the format.

    Raises:
        InputError: The folder is missing, or the suffix names no format.
    """
    pixels = rgb.cpu().numpy() if isinstance(rgb, Tensor) else rgb
    try:
        written = cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        raise InputError(f"{path}: cannot be written (does the folder exist, is the suffix .png or .jpg?)")
