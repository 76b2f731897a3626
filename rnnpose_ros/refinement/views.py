"""Renders and crops of one batch of objects in one image, cycle after cycle, whatever the convention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.profiler import record_function

from rnnpose_ros.geometry.crop import crop_camera, crop_image, object_window
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.networks.rnnpose_network import CorrespondenceNetwork
from rnnpose_ros.refinement.features import ObjectFeatures
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.refinement.official_views import OfficialViews
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.shading import head_light
from rnnpose_ros.types import CameraIntrinsics, RenderBuffers

if TYPE_CHECKING:
    from rnnpose_ros.refinement.refiner import RefinerConfig


@runtime_checkable
class Views(Protocol):
    """What the refiner looks at."""

    def prepare(
        self, T_camera_object: Float[Tensor, "B 4 4"], rows: Sequence[int]
    ) -> tuple[CycleInputs, Float[Tensor, "B 2 3"]]:
        """Chooses the crops, cuts the image, and renders the references at the crops' cameras.

        Args:
            T_camera_object: Present poses.
            rows: Which of the batch's objects they are of.

        Returns:
            One cycle's inputs, and the maps from the image's pixels to the crops'.
        """
        ...


class ExactViews:
    """One affine map cuts the image and makes its camera (``CropConvention.EXACT``).

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
        self._image = image.permute(2, 0, 1)[None].float() / 255.0
        self._camera = camera
        self._features = features
        self._size, self._margin = size, margin

    def prepare(
        self, T_camera_object: Float[Tensor, "B 4 4"], rows: Sequence[int]
    ) -> tuple[CycleInputs, Float[Tensor, "B 2 3"]]:
        """See :meth:`Views.prepare`."""
        T, size, features = T_camera_object, self._size, [self._features[row] for row in rows]
        centre = torch.stack([f.model.centre for f in features]).to(T)
        outline = torch.stack([f.outline for f in features]).to(T)
        affine = object_window(outline, centre, T, self._camera, margin=self._margin, size=size)
        zoomed = crop_camera(self._camera, affine, size=size)
        with record_function("rnnpose/render"):
            render = reference_view(self._renderer, [f.mesh for f in features], T, zoomed)
        with record_function("rnnpose/crop"):
            photo = crop_image(self._image, affine, size=size)
        inputs = CycleInputs(
            photo=photo,
            render=render,
            camera=zoomed,
            T_render=T,
            centre_object=centre.to(photo),
            diameter=torch.tensor([f.model.diameter for f in features], device=photo.device, dtype=photo.dtype),
        )
        return inputs, affine


def open_views(
    network: CorrespondenceNetwork | PaperNetwork,
    renderer: Renderer,
    image: UInt8[Tensor, "H W 3"],
    camera: CameraIntrinsics,
    features: Sequence[ObjectFeatures],
    *,
    config: RefinerConfig,
) -> Views:
    """The views that a network was trained with; crop size and margin are settings of the EXACT ones alone."""
    if isinstance(network, PaperNetwork):
        return OfficialViews(network, renderer, image, camera, features)
    return ExactViews(renderer, image, camera, features, size=config.crop_size, margin=config.crop_margin)


def reference_view(
    renderer: Renderer, meshes: Sequence[object], T: Float[Tensor, "B 4 4"], camera: CameraIntrinsics
) -> RenderBuffers:
    """The reference that the photograph is compared with: the mesh lit from the camera's place."""
    return head_light(renderer.render(meshes, T, camera), camera)
