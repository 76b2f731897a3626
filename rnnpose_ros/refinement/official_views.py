"""Renders and crops for converted published weights (``CropConvention.OFFICIAL``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.geometry import official_crop as crop
from rnnpose_ros.networks.paper_network import CONTEXT_SCALE, PaperNetwork
from rnnpose_ros.refinement.dense_field import PaperCycleInputs, RenderedFeatures, with_features
from rnnpose_ros.refinement.features import EncodedSurface, ObjectFeatures
from rnnpose_ros.refinement.field import CycleInputs
from rnnpose_ros.refinement.first_crop import FirstCrop, ZoomDescriptors
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.shading import published_light
from rnnpose_ros.rendering.surface import VisiblePoints, albedo, nearest_vertex_depth, visible_points
from rnnpose_ros.stages import stage
from rnnpose_ros.types import CameraIntrinsics


@dataclass(frozen=True, slots=True, eq=False)
class _Rendered:
    """One object's part of the inputs."""

    depth: Float[Tensor, "S S"]
    color: Float[Tensor, "3 S S"]
    features: RenderedFeatures


class OfficialViews:
    """The renders and crops of one batch of objects in one image, cycle after cycle.

    Args:
        network: Whose features are rendered.
        renderer: Decides what is visible.
        image: The full picture.
        camera: Of the picture.
        features: Of the objects.
    """

    def __init__(
        self,
        network: PaperNetwork,
        renderer: Renderer,
        image: UInt8[Tensor, "H W 3"],
        camera: CameraIntrinsics,
        features: Sequence[ObjectFeatures],
    ) -> None:
        self._network = network
        self._renderer = renderer
        self._image = image
        self._camera = camera
        self._features = features
        self._encoded = [_encoded(f) for f in features]
        self._firsts: dict[int, FirstCrop] = {}

    def prepare(
        self, T_camera_object: Float[Tensor, "B 4 4"], rows: Sequence[int]
    ) -> tuple[PaperCycleInputs, Float[Tensor, "B 2 3"]]:
        """One cycle's inputs, and the maps from the image's pixels to the crops'.

        Args:
            T_camera_object: Present poses.
            rows: Whose they are.
        """
        features = [self._features[row] for row in rows]
        with stage("crop"):
            firsts = [self._first(row, T) for row, T in zip(rows, T_camera_object, strict=True)]
            zooms = [self._zoom(*each) for each in zip(firsts, rows, T_camera_object, strict=True)]
        cameras = [crop.zoom_camera(f.camera, z) for f, z in zip(firsts, zooms, strict=True)]
        camera = dataclasses.replace(cameras[0], K=torch.cat([c.K for c in cameras]))
        with stage("render"):
            drawn = crop.render_camera(camera)
            buffers = self._renderer.render([f.mesh for f in features], T_camera_object, drawn)
            parts = [
                self._render(self._encoded[row], buffers.face_ids[i], T_camera_object[i], drawn.K[i])
                for i, row in enumerate(rows)
            ]
        with stage("crop"):
            photo = torch.stack([crop.cut_zoom(f.photo, z) for f, z in zip(firsts, zooms, strict=True)])
        descriptors = [ZoomDescriptors(f, z) for f, z in zip(firsts, zooms, strict=True)]
        plain = CycleInputs(
            photo=photo,
            render=dataclasses.replace(
                buffers, depth=torch.stack([p.depth for p in parts]), color=torch.stack([p.color for p in parts])
            ),
            camera=camera,
            T_render=T_camera_object,
            centre_object=torch.stack([f.model.centre for f in features]).to(photo),
            diameter=torch.tensor([f.model.diameter for f in features], device=photo.device, dtype=photo.dtype),
        )
        inputs = with_features(plain, [p.features for p in parts], descriptors_photo=descriptors)
        return inputs, torch.stack([_affine(f.window, z) for f, z in zip(firsts, zooms, strict=True)])

    def _first(self, row: int, T: Float[Tensor, "4 4"]) -> FirstCrop:
        """The row's first crop, chosen by the pose at which it is first asked for."""
        if row not in self._firsts:
            box = crop.splat_box(self._encoded[row].surface.vertices, T, self._camera)
            box = torch.zeros(4, dtype=torch.int64) if box is None else box
            self._firsts[row] = FirstCrop(self._network, self._image, self._camera, crop.first_window(box))
        return self._firsts[row]

    def _zoom(self, first: FirstCrop, row: int, T: Float[Tensor, "4 4"]) -> crop.ZoomWindow:
        box = crop.splat_box(self._encoded[row].surface.vertices, T, first.camera)
        return crop.zoom_window(box, T, first.camera)

    def _render(self, encoded: EncodedSurface, face_ids: Tensor, T: Tensor, K: Tensor) -> _Rendered:
        """Colour, depth, descriptors and context of one view, each only where it is read."""
        surface, features = encoded.surface, encoded.features
        points = visible_points(face_ids, surface, T, K)
        lit = published_light(
            albedo(points, surface), points.interpolate(surface.normals), points.interpolate(surface.vertices)
        )
        height, width = face_ids.shape
        depth = lit.new_zeros(height * width).index_copy(0, points.pixel, nearest_vertex_depth(points, surface, T))
        color = lit.new_zeros(height * width, 3).index_copy(0, points.pixel, lit)
        taps, mix = cell_taps(height, height // self._network.stride, device=lit.device)
        at_taps = visible_points(face_ids, surface, T, K, pixels=taps)
        return _Rendered(
            depth=depth.view(height, width),
            color=color.T.reshape(3, height, width),
            features=RenderedFeatures(
                pixel=points.pixel,
                descriptors=points.interpolate(features.descriptors),
                context=CONTEXT_SCALE * _at_cells(at_taps, features.context, taps, mix),
            ),
        )


def _encoded(features: ObjectFeatures) -> EncodedSurface:
    assert features.encoded is not None
    return features.encoded


def cell_taps(size: int, cells: int, *, device: torch.device) -> tuple[Tensor, Float[Tensor, "c 2"]]:
    """The pixels that a map of ``size`` pixels is shrunk from, and their shares.

    The published code shrinks its context bilinearly with the outermost pixel centres kept
    (``align_corners``): cell i reads pixel ``i (size - 1) / (cells - 1)``.

    Returns:
        The ``(2 cells)^2`` pixels as row * size + column, lower and upper neighbour of each cell in turn,
        and the shares of these two.
    """
    position = torch.arange(cells, device=device, dtype=torch.float32) * ((size - 1) / (cells - 1))
    low = position.floor().clamp_max(size - 2)
    upper = position - low
    ticks = torch.stack([low, low + 1], -1).long().flatten()
    return (ticks[:, None] * size + ticks).flatten(), torch.stack([1 - upper, upper], -1)


def _at_cells(points: VisiblePoints, values: Tensor, taps: Tensor, mix: Tensor) -> Float[Tensor, "C c c"]:
    """Values per vertex, shrunk to the cells; nothing counts as 0."""
    cells = len(mix)
    covered = torch.isin(taps, points.pixel)
    dense = values.new_zeros(len(taps), values.shape[1])
    dense[covered] = points.interpolate(values)
    return torch.einsum("iajbc,ia,jb->cij", dense.view(cells, 2, cells, 2, -1), mix, mix)


def _affine(first: crop.FirstWindow, zoom: crop.ZoomWindow) -> Float[Tensor, "2 3"]:
    """From the image's pixels to the zoom's, by the intrinsics' account."""
    inner, outer = crop.FIRST_SIZE / first.side, (crop.ZOOM_SIZE - 1) / zoom.side
    shifts = [-(inner * a + b) * outer for a, b in ((first.left, zoom.left), (first.top, zoom.top))]
    scale = inner * outer
    return torch.tensor([[scale, 0.0, shifts[0]], [0.0, scale, shifts[1]]], dtype=torch.float64)
