"""Cases in which a refiner must say that it is lost: what calibration mixes into its scenes."""

from __future__ import annotations

import enum

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from rnnpose_ros.geometry.se3 import exp_so3

_RIM_PX = 6
"""Around the object: its own blurred edge would give it away."""


class Trap(enum.Enum):
    """What is wrong with a case."""

    NONE = "none"
    WRONG_START = "wrong_start"
    """Turned by 60 to 180 degrees: it may be found again, or not."""
    OTHER_OBJECT = "other_object"
    """The photograph shows something else than the model."""
    HIDDEN = "hidden"
    """Something stands before all of the object."""
    EMPTY = "empty"
    """The object is not there."""


SHARES = {Trap.WRONG_START: 0.10, Trap.OTHER_OBJECT: 0.09, Trap.HIDDEN: 0.07, Trap.EMPTY: 0.07}


def draw_trap(rng: np.random.Generator) -> Trap:
    """One trap, or none, in the proportions of :data:`SHARES`."""
    left = rng.random()
    for trap, share in SHARES.items():
        left -= share
        if left < 0:
            return trap
    return Trap.NONE


def turned(T: Float[Tensor, "4 4"], rng: np.random.Generator) -> Float[Tensor, "4 4"]:
    """The pose turned by 60 to 180 degrees about any axis through the object's origin."""
    axis = rng.normal(size=3)
    angle = torch.tensor(axis / np.linalg.norm(axis) * rng.uniform(np.pi / 3, np.pi))
    result = T.clone()
    result[:3, :3] = exp_so3(angle[None].to(T))[0] @ T[:3, :3]
    return result


def hidden(
    photo: UInt8[Tensor, "3 H W"],
    seen: Bool[Tensor, "H W"],
    other: UInt8[Tensor, "3 h w"],
    rng: np.random.Generator,
) -> UInt8[Tensor, "3 H W"]:
    """The photograph with a piece of another one before all that is seen of the object.

    Args:
        photo: With the object.
        seen: Where the object is seen in it.
        other: Where the piece is from.
        rng: Chooses the piece and its outline.
    """
    covered = _grown(seen)
    if not covered.any():
        return photo
    rows, columns = (np.flatnonzero(covered.any(axis)) for axis in (1, 0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    piece = cv2.resize(_window(other, rng), (int(width), int(height)), interpolation=cv2.INTER_LINEAR)
    hull = cv2.convexHull(np.argwhere(covered)[:, ::-1].astype(np.int32))
    outline = np.zeros(covered.shape, np.uint8)
    cv2.fillConvexPoly(outline, hull, (255,))
    soft = cv2.GaussianBlur(outline, (0, 0), 0.8).astype(np.float32)[..., None] / 255
    front = _image(photo).copy()
    front[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = piece
    return _photo(soft * front + (1 - soft) * _image(photo))


def emptied(photo: UInt8[Tensor, "3 H W"], seen: Bool[Tensor, "H W"]) -> UInt8[Tensor, "3 H W"]:
    """The photograph with the surroundings grown over the object."""
    mask = _grown(seen).astype(np.uint8)
    return _photo(cv2.inpaint(_image(photo), mask, 3, cv2.INPAINT_NS))


def _grown(seen: Bool[Tensor, "H W"]) -> NDArray[np.bool_]:
    side = 2 * _RIM_PX + 1
    return cv2.dilate(seen.numpy().astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _window(picture: UInt8[Tensor, "3 h w"], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random part, a quarter of the sides to all of them."""
    image = _image(picture)
    height, width = image.shape[:2]
    h, w = (int(side * rng.uniform(0.25, 1.0)) for side in (height, width))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return np.ascontiguousarray(image[top : top + h, left : left + w])


def _image(photo: UInt8[Tensor, "3 H W"]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(photo.permute(1, 2, 0).numpy())


def _photo(image: NDArray[np.generic]) -> UInt8[Tensor, "3 H W"]:
    whole = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(whole.transpose(2, 0, 1)))
