"""Pictures whose content is known in closed form, and an engine that reads poses from them.

The corners of the cube are bright dots. A sensor with any distortion, region of interest, binning and row
padding sees them where the projection formulas of OpenCV put them; the engine finds them in the straight picture
and solves for the pose. So the whole way from sensor to pose is checked without a network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from rnnpose_ros.geometry.se3 import from_rotation_translation
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

CORNERS = 0.05 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_SIGMA_PX = 2.0
_SEARCH_PX = 8


@dataclass(frozen=True)
class Sensor:
    """A camera as its driver describes it."""

    width: int = 640
    height: int = 480
    fx: float = 520.0
    fy: float = 524.0
    cx: float = 318.0
    cy: float = 243.0
    model: str = "plumb_bob"
    d: tuple[float, ...] = (0.0,) * 5
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)
    """x_offset, y_offset, width, height at full resolution."""
    binning: int = 1
    padding: int = 0
    rectified: bool = False
    """The picture is straight, and P describes it; K and D are the raw ones."""

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The region that is read out: x, y, width, height."""
        x, y, width, height = self.roi
        return x, y, width or self.width, height or self.height

    @property
    def matrix(self) -> np.ndarray:
        """K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def matrix_straight(self) -> np.ndarray:
        """P, of the straight picture: another camera than K."""
        return np.array([[470.0, 0.0, 325.0, 0.0], [0.0, 465.0, 236.0, 0.0], [0.0, 0.0, 1.0, 0.0]])

    def project(self, points_camera: np.ndarray) -> np.ndarray:
        """Pixels of the picture that is sent, N x 2."""
        x, y, _, _ = self.window
        points, zero = points_camera.reshape(-1, 1, 3), np.zeros(3)
        if self.rectified:
            uv, _ = cv2.projectPoints(points, zero, zero, self.matrix_straight[:, :3], None)
        elif self.model == "equidistant":
            uv, _ = cv2.fisheye.projectPoints(points, zero, zero, self.matrix, np.array(self.d))
        else:
            uv, _ = cv2.projectPoints(points, zero, zero, self.matrix, np.array(self.d))
        return (uv.reshape(-1, 2) - (x, y)) / self.binning

    def picture(self, T_camera_object: Tensor) -> np.ndarray:
        """The corners as dots, H x W x 3."""
        _, _, width, height = self.window
        v, u = np.mgrid[0 : height // self.binning, 0 : width // self.binning]
        T = T_camera_object.double().numpy()
        values = np.zeros(u.shape)
        for dot in self.project(CORNERS @ T[:3, :3].T + T[:3, 3]):
            values += np.exp(-0.5 * ((u - dot[0]) ** 2 + (v - dot[1]) ** 2) / _SIGMA_PX**2)
        return np.repeat((250.0 * np.clip(values, 0, 1)).astype(np.uint8)[..., None], 3, 2)

    def messages(self, T_camera_object: Tensor, header: Any) -> tuple[Any, Any]:
        """Image and camera info."""
        from sensor_msgs.msg import CameraInfo, Image

        from rnnpose_ros.ros.images import fill_message

        picture = self.picture(T_camera_object)
        image = fill_message(Image(header=header), picture, encoding="rgb8")
        if self.padding:
            rows = np.full((len(picture), picture.shape[1] * 3 + self.padding), 255, np.uint8)
            rows[:, : -self.padding] = picture.reshape(len(picture), -1)
            image.step, image.data = rows.shape[1], rows.tobytes()
        info = CameraInfo(header=header, width=self.width, height=self.height, distortion_model=self.model)
        info.d, info.k, info.p = list(self.d), self.matrix.flatten().tolist(), self.matrix_straight.flatten().tolist()
        info.binning_x = info.binning_y = self.binning if self.binning > 1 else 0
        info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = self.roi
        info.roi.do_rectify = any(self.roi)
        return image, info


class DotEngine:
    """Finds the dots near where the start pose puts them, and solves for the pose."""

    def with_config(self, config: Any) -> DotEngine:
        return self

    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        **_: Any,
    ) -> list[RefinementResult]:
        grey = frame.rgb[..., 0].numpy().astype(np.float64)
        return [self._solve(grey, frame.camera.K[0].double().numpy(), h) for h in hypotheses]

    def _solve(self, grey: np.ndarray, K: np.ndarray, hypothesis: PoseHypothesis) -> RefinementResult:
        start = RefinementResult(
            hypothesis.label, hypothesis.T_camera_object, RefinementStatus.SINGULAR, 0.0, float("nan")
        )
        T = hypothesis.T_camera_object.numpy()
        points = CORNERS @ T[:3, :3].T + T[:3, 3]
        guess = points @ K.T
        found = [_centroid(grey, uv) for uv in guess[:, :2] / guess[:, 2:]]
        seen = [i for i, uv in enumerate(found) if uv is not None]
        if len(seen) < 4:
            return start
        uv = np.array([found[i] for i in seen])
        solved, rotation, t = cv2.solvePnP(CORNERS[seen], uv, K, None, flags=cv2.SOLVEPNP_SQPNP)
        if not solved:
            return start
        R = torch.from_numpy(cv2.Rodrigues(rotation)[0]).double()
        T_found = from_rotation_translation(R, torch.from_numpy(t[:, 0]).double())
        return dataclasses.replace(
            start, T_camera_object=T_found, status=RefinementStatus.CONVERGED, score=0.9, residual_px=0.1
        )


def _centroid(grey: np.ndarray, uv: np.ndarray) -> np.ndarray | None:
    """Centre of the dot near a pixel, by two passes of a window; None where it is dark."""
    for radius in (_SEARCH_PX, 6):
        u0, v0 = (round(float(value)) for value in uv)
        if not (radius <= u0 < grey.shape[1] - radius and radius <= v0 < grey.shape[0] - radius):
            return None
        window = grey[v0 - radius : v0 + radius + 1, u0 - radius : u0 + radius + 1]
        if window.max() < 100.0:
            return None
        dv, du = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        uv = np.array([u0 + (window * du).sum() / window.sum(), v0 + (window * dv).sum() / window.sum()])
    return uv
