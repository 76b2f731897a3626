"""Renders and crops by one affine map (``CropConvention.EXACT``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.geometry.crop import crop_camera, crop_image, object_window
from rnnpose_ros.refinement.features import ObjectFeatures
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.shading import head_light
from rnnpose_ros.stages import stage
from rnnpose_ros.types import CameraIntrinsics, RenderBuffers


class ExactViews:
    """The same map cuts the image and makes the crop's camera.

    Args:
        renderer: Draws the references.
        image: The full picture.
        camera: Of the picture.
        features: Of the objects.
        size: Side of the crop, pixels.
        margin: Half side of the crop over the object's largest extent from its centre.
    """

    def __init__(
        self,
        renderer: Renderer,
        image: UInt8[Tensor, "H W 3"],
        camera: CameraIntrinsics,
        features: Sequence[ObjectFeatures],
        *,
        size: int,
        margin: float,
    ) -> None:
        self._renderer = renderer
        self._image = image.permute(2, 0, 1)[None]
        self._camera = camera
        self._features = features
        self._size, self._margin = size, margin

    def prepare(
        self, T_camera_object: Float[Tensor, "B 4 4"], rows: Sequence[int]
    ) -> tuple[CycleInputs, Float[Tensor, "B 2 3"]]:
        """See :meth:`~rnnpose_ros.refinement.views.Views.prepare`."""
        T, size, features = T_camera_object, self._size, [self._features[row] for row in rows]
        centre = torch.stack([f.model.centre for f in features]).to(T)
        affine = self.window(T, rows, size=size, margin=self._margin)
        zoomed = crop_camera(self._camera, affine, size=size)
        with stage("render"):
            render = reference_view(self._renderer, [f.mesh for f in features], T, zoomed)
        photo = self.cut(affine, size=size)
        inputs = CycleInputs(
            photo=photo,
            render=render,
            camera=zoomed,
            T_render=T,
            centre_object=centre.to(photo),
            diameter=torch.tensor([f.model.diameter for f in features], device=photo.device, dtype=photo.dtype),
        )
        return inputs, affine

    def window(
        self, T_camera_object: Float[Tensor, "B 4 4"], rows: Sequence[int], *, size: int, margin: float
    ) -> Float[Tensor, "B 2 3"]:
        """The maps from the image's pixels to those of square windows around the objects."""
        features = [self._features[row] for row in rows]
        centre = torch.stack([f.model.centre for f in features]).to(T_camera_object)
        outline = torch.stack([f.outline for f in features]).to(T_camera_object)
        return object_window(outline, centre, T_camera_object, self._camera, margin=margin, size=size)

    def cut(self, affine_crop_image: Float[Tensor, "B 2 3"], *, size: int) -> Float[Tensor, "B 3 S S"]:
        """Windows of the picture, 0..1."""
        with stage("crop"):
            return crop_image(self._image, affine_crop_image, size=size)


def reference_view(
    renderer: Renderer, meshes: Sequence[object], T: Float[Tensor, "B 4 4"], camera: CameraIntrinsics
) -> RenderBuffers:
    """The reference that the photograph is compared with: the mesh lit from the camera's place."""
    return head_light(renderer.render(meshes, T, camera), camera)
