"""Renders and crops of one batch of objects in one image, cycle after cycle, whatever the convention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.errors import ConfigError
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.networks.rnnpose_network import CorrespondenceNetwork
from rnnpose_ros.refinement.exact_views import ExactViews
from rnnpose_ros.refinement.features import ObjectFeatures
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.refinement.official_views import OfficialViews
from rnnpose_ros.refinement.paper_views import PaperViews
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import CameraIntrinsics

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
    size, margin = config.crop_size, config.crop_margin
    if not isinstance(network, PaperNetwork):
        return ExactViews(renderer, image, camera, features, size=size, margin=margin)
    if network.trained_for.convention is CropConvention.OFFICIAL:
        return OfficialViews(network, renderer, image, camera, features)
    return PaperViews(network, renderer, image, camera, features, size=size, margin=margin)


def check_crop_size(network: CorrespondenceNetwork | PaperNetwork, size: int) -> None:
    """Dense fields come in whole cells.

    Raises:
        ConfigError: The network cannot work with crops of this size.
    """
    if isinstance(network, PaperNetwork) and size % network.stride:
        raise ConfigError(f"crop_size: networks of the paper family need a multiple of {network.stride}, got {size}")
