"""Rectangles of whole pixels, for work on parts of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Box:
    """Rows ``top:bottom`` and columns ``left:right`` of a picture."""

    top: int
    bottom: int
    left: int
    right: int

    def doubled(self) -> Box:
        """The same part at twice the resolution."""
        return Box(2 * self.top, 2 * self.bottom, 2 * self.left, 2 * self.right)

    def halved(self) -> Box:
        """The smallest box at half of the resolution that covers this one."""
        return Box(self.top // 2, -(-self.bottom // 2), self.left // 2, -(-self.right // 2))

    def grown(self, pixels: int, *, height: int, width: int) -> Box:
        """With so many more pixels on each side, as far as the picture goes."""
        return Box(
            max(self.top - pixels, 0),
            min(self.bottom + pixels, height),
            max(self.left - pixels, 0),
            min(self.right + pixels, width),
        )

    def common(self, other: Box) -> Box | None:
        """What lies in both; None where that is nothing."""
        box = Box(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )
        return box if box.top < box.bottom and box.left < box.right else None

    def strips(self, rows: int) -> Iterator[Box]:
        """The box in parts of so many rows."""
        for top in range(self.top, self.bottom, rows):
            yield Box(top, min(top + rows, self.bottom), self.left, self.right)

    def cut(self, x: Float[Tensor, "B C H W"], *, origin: Box | None = None) -> Float[Tensor, "B C h w"]:
        """This part of a map, which itself may be the part ``origin`` of the picture."""
        top, left = (0, 0) if origin is None else (origin.top, origin.left)
        return x[:, :, self.top - top : self.bottom - top, self.left - left : self.right - left]

    def padded(
        self,
        pixels: int,
        x: Float[Tensor, "B C H W"],
        *,
        height: int,
        width: int,
        origin: Box | None = None,
        mode: str = "constant",
    ) -> Float[Tensor, "B C h w"]:
        """:meth:`cut` with so many more pixels on each side, made up where the picture ends.

        Args:
            pixels: How many.
            x: The picture, or the part ``origin`` of it.
            height: Of the picture.
            width: Of the picture.
            origin: None for a whole picture.
            mode: How ``F.pad`` makes pixels up: "constant" for zeros, "replicate" for the border's.
        """
        seen = self.grown(pixels, height=height, width=width)
        missing = (
            seen.left - self.left + pixels,
            self.right + pixels - seen.right,
            seen.top - self.top + pixels,
            self.bottom + pixels - seen.bottom,
        )
        return F.pad(seen.cut(x, origin=origin), missing, mode=mode)
