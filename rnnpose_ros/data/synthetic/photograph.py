"""From a render to a photograph: light, surroundings, shadow, occluders, camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rnnpose_ros.data.synthetic.backgrounds import BackgroundPool
from rnnpose_ros.data.synthetic.camera_look import photographed
from rnnpose_ros.data.synthetic.layers import CutOuts, Layer, shaded
from rnnpose_ros.data.synthetic.lighting import Surface, lit_colors, pixel_rays, random_illumination
from rnnpose_ros.data.synthetic.occluders import random_occluder
from rnnpose_ros.data.synthetic.randomization import LookRanges
from rnnpose_ros.data.synthetic.shade import sharp_shadow, soft_shadow, unevenly_lit
from rnnpose_ros.data.synthetic.textures import noise_field

Array = NDArray[Any]
"""float32."""
_RESAMPLED_BELOW = 0.95
"""Photographs whose own pixels are at least this share as fine as the crop's are taken at the crop's."""


@dataclass(frozen=True, slots=True, eq=False)
class RenderedView:
    """One object as the renderer saw it, ``factor`` samples along each side of a crop pixel."""

    color: Array
    """3 H W, unlit."""
    normals: Array
    """3 H W, towards the viewer."""
    depth: Array
    """H W, 0 = nothing."""
    K: NDArray[np.float64]
    factor: int


class Photographer:
    """Makes photographs of rendered views, and keeps cut-outs of them for the next ones."""

    def __init__(self, ranges: LookRanges, *, rng: np.random.Generator, background_rng: np.random.Generator) -> None:
        self._ranges = ranges
        self._rng = rng
        self._cutouts = CutOuts(ranges.cutouts)
        self._backgrounds = BackgroundPool(ranges, cutouts=self._cutouts, rng=background_rng)

    def state(self) -> dict[str, Any]:
        """All that the next photographs depend on, in tensors and plain types."""
        return {
            "random": self._rng.bit_generator.state,
            "cutouts": self._cutouts.state(),
            "backgrounds": self._backgrounds.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state` was taken."""
        self._rng.bit_generator.state = state["random"]
        self._cutouts.restore(state["cutouts"])
        self._backgrounds.restore(state["backgrounds"])

    def take(
        self, view: RenderedView, mask: NDArray[np.bool_], *, surface: Surface, source_px: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """One photograph (S S 3), and where something hides the object (S S).

        Args:
            view: The object.
            mask: S S, where the object is.
            surface: Of the object.
            source_px: Side of the crop in pixels of the photograph that it is cut from; fewer than S
                make the picture coarser.
        """
        size = mask.shape[0]
        front = Layer.of(self._lit(view, size, surface))
        picture = self._surroundings(front, size)
        front.lay_over(picture)
        if self._rng.random() < self._ranges.sharp_shadow_share:
            picture = shaded(picture, sharp_shadow(size, size, rng=self._rng))
        picture, hidden = self._occlude(picture, mask)
        picture = unevenly_lit(picture, rng=self._rng)
        grid = max(16, round(source_px))
        if grid < _RESAMPLED_BELOW * size:
            picture = cv2.resize(picture, (grid, grid), interpolation=cv2.INTER_AREA)
        finished: NDArray[Any] = photographed(picture, self._ranges, rng=self._rng)
        if finished.shape[0] != size:
            finished = cv2.resize(finished, (size, size), interpolation=cv2.INTER_LINEAR)
        return finished, hidden

    def _lit(self, view: RenderedView, size: int, surface: Surface) -> Array:
        """The object alone under random lamps, premultiplied RGBA, size x size."""
        rng, side = self._rng, view.depth.shape[1]
        covered = np.flatnonzero(view.depth)
        rows, columns = np.divmod(covered, side)
        albedo = view.color.reshape(3, -1)[:, covered]
        if rng.random() < 0.35:
            albedo *= (1 + rng.normal(0, 0.12, (3, 1))).clip(0.5, 1.5).astype(np.float32)
        color = lit_colors(
            albedo,
            view.normals.reshape(3, -1)[:, covered],
            pixel_rays(rows, columns, view.K),
            light=random_illumination(rng),
            surface=surface,
            shadow=self._shadow_field(size)[rows // view.factor, columns // view.factor]
            if rng.random() < 0.35
            else None,
        )
        rgba = np.zeros((view.depth.size, 4), np.float32)
        rgba[covered, :3] = color.T
        rgba[covered, 3] = 1.0
        rgba = rgba.reshape(*view.depth.shape, 4)
        if view.factor > 1:
            return cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            return cv2.GaussianBlur(rgba, (3, 3), rng.uniform(0.35, 0.6))
        return rgba

    def _shadow_field(self, size: int) -> Array:
        """What arrives of the lamps' light on each pixel where others stand in it."""
        rng = self._rng
        field = cv2.resize(noise_field(rng, 40, octaves=2)[..., 0], (size, size))
        return np.clip(0.5 + np.float32(rng.uniform(0.7, 4.0)) * field, np.float32(rng.uniform(0.0, 0.5)), 1)

    def _surroundings(self, front: Layer, size: int) -> Array:
        """The picture behind the object, with its shadow; takes the object into the cut-outs."""
        rng = self._rng
        picture = self._backgrounds.draw(size)
        count = int(rng.integers(0, 4)) if len(self._cutouts) else 0
        for _ in range(count):
            centre, extent = rng.uniform(0, size, 2), rng.uniform(0.2, 0.9) * size
            self._cutouts.draw(rng, size, centre=centre, extent=extent).lay_over(picture)
        self._cutouts.add(front)
        if rng.random() < self._ranges.twin_share and len(self._cutouts):
            centre = size / 2 + rng.choice([-1, 1], 2) * rng.uniform(0.2, 0.6, 2) * size
            extent = rng.uniform(0.5, 0.9) * size
            self._cutouts.draw(rng, size, centre=centre, extent=extent, last=True).lay_over(picture)
        if rng.random() < 0.6:
            picture = shaded(picture, soft_shadow(front.covers((size, size)), rng=rng))
        return picture

    def _occlude(self, picture: Array, mask: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
        """The picture with things laid over it that leave enough of the object, and where they lie."""
        rng = self._rng
        hidden = np.zeros_like(mask)
        if rng.random() >= self._ranges.occluder_share:
            return picture, hidden
        for _ in range(int(rng.integers(1, 4))):
            layer = random_occluder(rng, mask.shape[0], cutouts=self._cutouts, backgrounds=self._backgrounds)
            covers = hidden | layer.covers(mask.shape)
            if (mask & ~covers).sum() >= self._ranges.min_visible * mask.sum():
                if rng.random() < 0.5:
                    picture = shaded(picture, soft_shadow(layer.covers(mask.shape), rng=rng))
                layer.lay_over(picture)
                hidden = covers
        return picture, hidden
