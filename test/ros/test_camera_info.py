"""Which matrix holds, what a window of the sensor means, and straight pictures from bent ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from rnnpose_ros.ros.camera_info import CameraReader
from rnnpose_ros.ros.reasons import Reason, RefusedInputError

W, H = 64, 48
K = [60.0, 0.0, 33.0, 0.0, 62.0, 23.0, 0.0, 0.0, 1.0]
P = [50.0, 0.0, 31.0, 0.0, 0.0, 51.0, 22.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def info(**changes: Any) -> Any:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    values = {
        "width": W, "height": H, "distortion_model": "plumb_bob", "d": [0.1, -0.05, 0.001, 0.002, 0.0],
        "k": K, "p": P, "binning_x": 0, "binning_y": 0, "roi": roi,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **changes})


def numbers(reading: Any) -> tuple[float, ...]:
    M = reading.intrinsics.K[0]
    return tuple(float(M[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))


def read(message: Any, *, width: int = W, height: int = H, **reader: Any) -> Any:
    return CameraReader(**reader).read(message, image_width=width, image_height=height)


def test_a_raw_picture_has_k_and_is_straightened() -> None:
    reading = read(info(), image_topic="/camera/image_raw")
    assert numbers(reading) == (60.0, 62.0, 33.0, 23.0)
    assert reading.undistorts


def test_a_rectified_topic_has_p_although_d_is_the_raw_one() -> None:
    reading = read(info(), image_topic="/camera/image_rect_color")
    assert numbers(reading) == (50.0, 51.0, 31.0, 22.0)
    assert not reading.undistorts


@pytest.mark.parametrize(("rectified", "fx", "undistorts"), [("true", 50.0, False), ("false", 60.0, True)])
def test_the_parameter_decides_against_the_topics_name(rectified: str, fx: float, undistorts: bool) -> None:
    topic = "image_rect" if rectified == "false" else "image_raw"
    reading = read(info(), rectified=rectified, image_topic=topic)
    assert (numbers(reading)[0], reading.undistorts) == (fx, undistorts)


def test_a_driver_without_p_is_read_by_k() -> None:
    assert numbers(read(info(d=[0.0] * 5, p=[0.0] * 12)))[0] == 60.0


def test_region_of_interest_moves_the_principal_point_and_binning_divides() -> None:
    roi = SimpleNamespace(x_offset=10, y_offset=6, width=40, height=32)
    reading = read(info(roi=roi, binning_x=2, binning_y=4, d=[]), width=20, height=8, rectified="false")
    assert numbers(reading) == (30.0, 15.5, 11.5, 4.25)


def test_an_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(RefusedInputError, match="not calibrated: K has fx = 0") as refusal:
        read(info(k=[0.0] * 9))
    assert refusal.value.reason is Reason.BAD_INFO


@pytest.mark.parametrize(("place", "value"), [(0, 1e7), (4, 1e-3), (2, 1e8), (5, -1e8)])
def test_what_no_camera_can_be_is_refused(place: int, value: float) -> None:
    k = list(K)
    k[place] = value
    with pytest.raises(RefusedInputError, match="describes no camera of a 64 x 48 image") as refusal:
        read(info(k=k, d=[]), rectified="false")
    assert refusal.value.reason is Reason.BAD_INFO


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_distortion_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(RefusedInputError, match="not finite"):
        read(info(d=[bad] * 5), rectified="false")


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(RefusedInputError, match="image is 32 x 24 but its camera_info describes 64 x 48"):
        read(info(), width=32, height=24)


@pytest.mark.parametrize(
    "changes", [{"distortion_model": "fov"}, {"d": [0.1, 0.2]}, {"distortion_model": "equidistant", "d": [0.1] * 5}]
)
def test_an_unknown_distortion_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedInputError, match="distortion model"):
        read(info(**changes))


BENT = {
    "plumb_bob": [0.2, -0.1, 0.004, -0.003, 0.02],
    "rational_polynomial": [0.3, -0.05, 0.002, 0.001, 0.01, 0.1, -0.02, 0.005],
    "equidistant": [0.05, -0.02, 0.004, -0.001],
}


@pytest.mark.parametrize("model", BENT)
def test_a_dot_lands_where_the_pinhole_camera_sees_it(model: str) -> None:
    width, height, focal = 320, 240, 260.0
    matrix = [focal, 0.0, 158.0, 0.0, focal, 121.0, 0.0, 0.0, 1.0]
    D = np.array(BENT[model])
    M = np.array(matrix).reshape(3, 3)
    message = info(width=width, height=height, k=matrix, d=list(D), distortion_model=model)
    reading = read(message, width=width, height=height)
    for point in ([0.2, -0.15, 1.0], [-0.3, 0.2, 1.0], [0.0, 0.0, 1.0]):
        X = np.array([[point]])
        zero = np.zeros(3)
        project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
        bent_uv = (project(X, zero, zero, M, D))[0].reshape(2)
        v, u = np.mgrid[0:height, 0:width]
        dot = 255.0 * np.exp(-0.5 * ((u - bent_uv[0]) ** 2 + (v - bent_uv[1]) ** 2) / 3.0**2)
        straight = reading.rectify(np.repeat(dot.astype(np.uint8)[..., None], 3, 2))[..., 0].astype(float)
        seen_uv = np.array([(straight * u).sum(), (straight * v).sum()]) / straight.sum()
        expected_uv = focal * np.array(point[:2]) + (158.0, 121.0)
        np.testing.assert_allclose(seen_uv, expected_uv, atol=0.3)


def test_a_changed_info_is_read_anew() -> None:
    reader = CameraReader(rectified="false")
    first = reader.read(info(d=[]), image_width=W, image_height=H)
    assert reader.read(info(d=[]), image_width=W, image_height=H) is first
    zoomed = reader.read(info(d=[], k=[90.0, *K[1:]]), image_width=W, image_height=H)
    assert numbers(zoomed)[0] == 90.0
