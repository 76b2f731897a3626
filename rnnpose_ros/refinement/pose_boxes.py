"""Poses as the edges of the object's box, drawn into the part of the photograph around them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M, project
from rnnpose_ros.geometry.crop import crop_camera, crop_image
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, ObjectModel

SIDE_PX = 400
_MARGIN = 1.3
_LEAST_WINDOW_PX = 32.0
_SUBPIXEL_BITS = 4
_FARTHEST_PX = 1e6
_EDGES = tuple((i, i ^ axis) for axis in (4, 2, 1) for i in range(8) if not i & axis)


@dataclass(frozen=True, slots=True, eq=False)
class PoseBox:
    """How a pose is drawn."""

    T_camera_object: Float[Tensor, "4 4"]
    rgb: tuple[int, int, int]
    thickness: int


class BoxView:
    """A square window of the photograph that shows an object at all poses of its refinement.

    Args:
        frame: The photograph.
        model: The object.
        poses: What the window must show, as far as the photograph does; those that are not finite are left out.
        size: Side of what is drawn, pixels.
    """

    def __init__(
        self, frame: ImageFrame, model: ObjectModel, poses: Sequence[Float[Tensor, "4 4"]], *, size: int = SIDE_PX
    ) -> None:
        self._corners = box_corners(model.mesh.vertices)
        affine = _window(self._corners, poses, frame.camera, size)[None]
        image = frame.rgb.cpu().permute(2, 0, 1)[None].float() / 255.0
        cut = crop_image(image, affine, size=size)[0]
        self._picture = (255.0 * cut.clamp(0, 1)).round().byte().permute(1, 2, 0).contiguous().numpy()
        self.camera = crop_camera(_on_cpu(frame.camera), affine, size=size)
        """Of the drawn window."""

    def draw(self, boxes: Sequence[PoseBox]) -> UInt8[np.ndarray, "D D 3"]:
        """The window with boxes, the first beneath."""
        canvas = self._picture.copy()
        for box in boxes:
            for segment in box_edges(self._corners, box.T_camera_object, self.camera).numpy():
                start, end = np.rint(segment.clip(-_FARTHEST_PX, _FARTHEST_PX) * 2**_SUBPIXEL_BITS).astype(int).tolist()
                cv2.line(canvas, start, end, box.rgb, box.thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
        return canvas


def box_corners(points_object: Float[Tensor, "N 3"]) -> Float[Tensor, "8 3"]:
    """Corners of the points' bounding box along the object's axes; x changes slowest."""
    ends = torch.stack([points_object.amin(0), points_object.amax(0)]).double().cpu()
    return torch.stack(
        [torch.stack([ends[i, 0], ends[j, 1], ends[k, 2]]) for i, j, k in itertools.product((0, 1), repeat=3)]
    )


def box_edges(
    corners_object: Float[Tensor, "8 3"], T_camera_object: Float[Tensor, "4 4"], camera: CameraIntrinsics
) -> Float[Tensor, "E 2 2"]:
    """Start and end pixel of the box's edges, where they lie before the camera; none of a pose that is not finite."""
    T = T_camera_object.double().cpu()
    if not bool(torch.isfinite(T).all()):
        return torch.zeros(0, 2, 2, dtype=torch.float64)
    corners = transform(T, corners_object.double())
    edges = [_before_camera(corners[a], corners[b]) for a, b in _EDGES]
    seen = [edge for edge in edges if edge is not None]
    if not seen:
        return torch.zeros(0, 2, 2, dtype=torch.float64)
    return project(torch.stack(seen)[None], camera.K.double().cpu())[0]


def _before_camera(a: Float[Tensor, "3"], b: Float[Tensor, "3"]) -> Float[Tensor, "2 3"] | None:
    """The part of a segment that lies at least ``NEAR_M`` before the camera."""
    near, far = (a, b) if a[2] < b[2] else (b, a)
    if far[2] < NEAR_M:
        return None
    if near[2] < NEAR_M:
        near = near + (far - near) * ((NEAR_M - near[2]) / (far[2] - near[2]))
    return torch.stack([near, far])


def _window(
    corners: Float[Tensor, "8 3"], poses: Sequence[Float[Tensor, "4 4"]], camera: CameraIntrinsics, size: int
) -> Float[Tensor, "2 3"]:
    """The affine map from the image's pixels to a square around all boxes."""
    last = torch.tensor([camera.width - 1.0, camera.height - 1.0], dtype=torch.float64)
    uv = torch.cat([box_edges(corners, T, camera).flatten(0, 1) for T in poses])
    low, high = (uv.amin(0).clamp_min(0.0), uv.amax(0).minimum(last)) if len(uv) else (last * 0.0, last)
    if bool((low >= high).any()):
        low, high = last * 0.0, last
    side = max(_LEAST_WINDOW_PX, min(_MARGIN * float((high - low).max()), float(last.max()) + 1.0))
    scale = size / side
    shift = 0.5 * (size - 1) - scale * 0.5 * (low + high)
    return torch.tensor([[scale, 0.0, float(shift[0])], [0.0, scale, float(shift[1])]], dtype=torch.float64)


def _on_cpu(camera: CameraIntrinsics) -> CameraIntrinsics:
    return CameraIntrinsics(K=camera.K.cpu(), height=camera.height, width=camera.width)
