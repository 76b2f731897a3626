"""Exact renders and crops with the features of a network with 3D encoders in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.geometry.crop import crop_image
from rnnpose_ros.networks.paper_network import CONTEXT_SCALE, PaperNetwork
from rnnpose_ros.refinement.dense_field import KnownDescriptors, PaperCycleInputs, RenderedFeatures, with_features
from rnnpose_ros.refinement.exact_views import ExactViews
from rnnpose_ros.refinement.features import ObjectFeatures
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.surface import visible_points
from rnnpose_ros.stages import stage
from rnnpose_ros.types import CameraIntrinsics

_FIRST_OVER_ZOOM = 4 / 3
"""Side of the window that is described once, over the zooms': poses move, and 240 px zooms have a 320 px one."""
_MULTIPLE = 8


@dataclass(frozen=True, slots=True, eq=False)
class DescribedPhoto:
    """One window of the photograph and the descriptor of every pixel of it."""

    descriptors: Float[Tensor, "D S S"]
    """Unit length."""
    affine: Float[Tensor, "2 3"]
    """From the image's pixels to the window's."""

    def cut(self, affine_crop_image: Float[Tensor, "2 3"], *, size: int) -> Float[Tensor, "D S S"]:
        """The descriptors at a crop's pixels, bilinear; zeros outside of the window."""
        A, B = affine_crop_image, self.affine.to(affine_crop_image)
        # Crops turn nothing: a scale and a shift take the window's pixels to the crop's.
        scale = A[0, 0] / B[0, 0]
        shift = A[:, 2] - scale * B[:, 2]
        between = torch.cat([scale * torch.eye(2, dtype=A.dtype, device=A.device), shift[:, None]], 1)
        return crop_image(self.descriptors[None], between[None], size=size)[0]

    def at(self, uv_image: Float[Tensor, "N 2"]) -> Float[Tensor, "N D"]:
        """Unit descriptors at positions of the image, bilinear; zeros outside of the window."""
        uv = uv_image.to(self.affine) * self.affine[0, 0] + self.affine[:, 2]
        grid = ((2 * uv + 1) / self.descriptors.shape[-1] - 1)[None, None].to(self.descriptors.dtype)
        sampled = F.grid_sample(self.descriptors[None], grid, align_corners=False)[0, :, 0].T
        return F.normalize(sampled, dim=1)


class PaperViews:
    """:class:`ExactViews` with descriptors and context; the photograph is described once per object.

    Args:
        network: Whose features are shown.
        renderer: Draws the references.
        image: The full picture.
        camera: Of the picture.
        features: Of the objects, encoded.
        size: Side of the crop, pixels; a multiple of 8.
        margin: Half side of the crop over the object's largest extent from its centre.
    """

    def __init__(
        self,
        network: PaperNetwork,
        renderer: Renderer,
        image: UInt8[Tensor, "H W 3"],
        camera: CameraIntrinsics,
        features: Sequence[ObjectFeatures],
        *,
        size: int,
        margin: float,
    ) -> None:
        self._network = network
        self._features = features
        self._views = ExactViews(renderer, image, camera, features, size=size, margin=margin)
        self._size, self._margin = size, margin
        self._described: dict[int, DescribedPhoto] = {}

    def prepare(
        self, T_camera_object: Float[Tensor, "B 4 4"], rows: Sequence[int]
    ) -> tuple[PaperCycleInputs, Float[Tensor, "B 2 3"]]:
        """See :meth:`~rnnpose_ros.refinement.views.Views.prepare`."""
        plain, affine = self._views.prepare(T_camera_object, rows)
        with stage("render"):
            parts = [self._rendered(row, plain, i) for i, row in enumerate(rows)]
        described = [self.described(row, T) for row, T in zip(rows, T_camera_object, strict=True)]
        with stage("crop"):
            cuts = [KnownDescriptors(d.cut(A, size=self._size)) for d, A in zip(described, affine, strict=True)]
        return with_features(plain, parts, descriptors_photo=cuts), affine

    def described(self, row: int, T_camera_object: Float[Tensor, "4 4"]) -> DescribedPhoto:
        """The photograph's descriptors around an object, in the window of the pose at which they are first asked for.

        Args:
            row: Which object of the batch.
            T_camera_object: Its pose now.
        """
        if row not in self._described:
            size = _MULTIPLE * round(self._size * _FIRST_OVER_ZOOM / _MULTIPLE)
            margin = self._margin * size / self._size
            affine = self._views.window(T_camera_object[None], [row], size=size, margin=margin)
            photo = self._views.cut(affine, size=size)
            with stage("describe"):
                self._described[row] = DescribedPhoto(self._network.describe(photo)[0], affine[0])
        return self._described[row]

    def _rendered(self, row: int, plain: CycleInputs, index: int) -> RenderedFeatures:
        """The object's features in one view: descriptors at every pixel, context at the encoders' cells."""
        encoded = self._features[row].encoded
        assert encoded is not None
        face_ids, T, K = plain.render.face_ids[index], plain.T_render[index], plain.camera.K[index]
        stride, (height, width) = self._network.stride, face_ids.shape
        points = visible_points(face_ids, encoded.surface, T, K)
        pixels = torch.arange(height * width, device=face_ids.device).view(height, width)[::stride, ::stride].flatten()
        at_cells = visible_points(face_ids, encoded.surface, T, K, pixels=pixels)
        context = at_cells.interpolate(encoded.features.context)
        dense = context.new_zeros(len(pixels), context.shape[1])
        dense = dense.index_put((torch.searchsorted(pixels, at_cells.pixel),), context)
        cells = dense.T.reshape(-1, height // stride, width // stride)
        return RenderedFeatures(
            pixel=points.pixel,
            descriptors=points.interpolate(encoded.features.descriptors),
            context=CONTEXT_SCALE * cells,
        )
