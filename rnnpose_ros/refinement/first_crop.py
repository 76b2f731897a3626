"""The first crop of the published conventions, and the photograph's descriptors in it as far as they are read."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from rnnpose_ros.geometry import official_crop as crop
from rnnpose_ros.geometry.box import Box
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.stages import stage
from rnnpose_ros.types import CameraIntrinsics

_TILE = 16
"""Side of the squares, pixels of the first crop, in which descriptors are computed; divides its size."""
_AT_ONCE = 8
"""Tiles, so that what is between them and the result stays in the processor's cache."""
_COUNT = crop.FIRST_SIZE // _TILE


class FirstCrop:
    """One object's first crop.

    All of the descriptors that depends on the whole crop is computed once; their last two layers, a third of the
    arithmetic, only for those tiles in which targets are found.

    Args:
        network: Describes.
        image: The full picture.
        camera: Of the picture.
        window: Of the crop.
    """

    def __init__(
        self, network: PaperNetwork, image: UInt8[Tensor, "H W 3"], camera: CameraIntrinsics, window: crop.FirstWindow
    ) -> None:
        self.window = window
        self.camera = crop.first_camera(camera, window)
        self.photo = crop.cut_first(image, window)
        self._network = network
        with stage("describe"):
            self._decoded = network.descriptor2d.decode(self.photo[None])
        size = crop.FIRST_SIZE
        self.descriptors = self.photo.new_zeros(network.config.descriptor_channels, size, size)
        """Zeros where none were asked for."""
        self._known = torch.zeros(_COUNT, _COUNT, dtype=torch.bool, device=self.photo.device)

    def describe(self, tiles: Bool[Tensor, "n n"]) -> bool:
        """Computes the descriptors in these tiles; False where all are known already."""
        missing = (tiles & ~self._known).nonzero().tolist()
        boxes = [Box(_TILE * v, _TILE * (v + 1), _TILE * u, _TILE * (u + 1)) for v, u in missing]
        with stage("describe"):
            for start in range(0, len(boxes), _AT_ONCE):
                part = boxes[start : start + _AT_ONCE]
                found = self._network.descriptor2d.describe(self._decoded, part)
                for box, values in zip(part, found, strict=True):
                    box.cut(self.descriptors[None])[0] = values
        self._known |= tiles
        return bool(boxes)


class ZoomDescriptors:
    """:class:`~rnnpose_ros.refinement.dense_field.CropDescriptors` in one zoom of a first crop.

    Args:
        first: The crop.
        window: The zoom in it.
    """

    def __init__(self, first: FirstCrop, window: crop.ZoomWindow) -> None:
        self._first = first
        self._window = window
        self._map: Tensor | None = None

    def around(self, uv: Float[Tensor, "N 2"]) -> Float[Tensor, "D S S"]:
        """See :meth:`~rnnpose_ros.refinement.dense_field.CropDescriptors.around`."""
        if self._first.describe(tiles_read(uv, self._window)) or self._map is None:
            self._map = crop.cut_zoom(self._first.descriptors, self._window)
        return self._map


def tiles_read(uv: Float[Tensor, "N 2"], window: crop.ZoomWindow) -> Bool[Tensor, "n n"]:
    """The tiles of the first crop that bilinear sampling of its zoom at these pixels of the zoom reads."""
    tiles = torch.zeros(_COUNT, _COUNT, dtype=torch.bool, device=uv.device)
    scale = window.side / crop.ZOOM_SIZE
    # A neighbour in the zoom, a neighbour in the first crop, and rounding.
    reach = scale + 1.5
    if 2 * reach > _TILE:
        return ~tiles
    near = uv[((uv > -1) & (uv < crop.ZOOM_SIZE)).all(-1)]
    u, v = ((near + 0.5) * scale - 0.5).unbind(-1)
    for du in (-reach, reach):
        for dv in (-reach, reach):
            column = ((u + (window.left + du)) / _TILE).floor().clamp(0, _COUNT - 1).long()
            row = ((v + (window.top + dv)) / _TILE).floor().clamp(0, _COUNT - 1).long()
            tiles[row, column] = True
    return tiles
