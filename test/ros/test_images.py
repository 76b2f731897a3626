"""Pictures to and from messages, row by row as their step says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from rnnpose_ros.ros.images import KNOWN_ENCODINGS, fill_message, float_from_message, rgb_from_message
from rnnpose_ros.ros.reasons import Reason, RefusedInputError

RNG = np.random.default_rng(5)


def message(rows: np.ndarray, *, width: int, encoding: str, padding: int = 0, big: bool = False) -> Any:
    """A message of raw rows (H x bytes), each padded with bytes that must not be read."""
    height, row = rows.shape
    padded = np.full((height, row + padding), 255, np.uint8)
    padded[:, :row] = rows
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, step=row + padding, is_bigendian=int(big), data=padded.tobytes()
    )


def direct(picture: np.ndarray, encoding: str, **options: Any) -> Any:
    """A message of an H x W x C picture."""
    return message(
        picture.reshape(len(picture), -1).view(np.uint8), width=picture.shape[1], encoding=encoding, **options
    )


@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize(("encoding", "order"), [("rgb8", (0, 1, 2)), ("bgr8", (2, 1, 0)), ("bgra8", (2, 1, 0, 3))])
def test_padded_rows_stay_straight(encoding: str, order: tuple[int, ...], padding: int) -> None:
    rgba = RNG.integers(0, 256, (7, 5, 4), np.uint8)
    sent = np.ascontiguousarray(rgba[..., list(order)])
    np.testing.assert_array_equal(rgb_from_message(direct(sent, encoding, padding=padding)), rgba[..., :3])


def test_rgb8_is_read_without_a_copy_and_cannot_be_written() -> None:
    data = bytearray(4 * 4 * 3)
    view = rgb_from_message(SimpleNamespace(height=4, width=4, encoding="rgb8", step=12, is_bigendian=0, data=data))
    data[0] = 77
    assert view[0, 0, 0] == 77
    assert not view.flags.writeable


def test_mono_is_grey() -> None:
    grey = RNG.integers(0, 256, (6, 4, 1), np.uint8)
    np.testing.assert_array_equal(rgb_from_message(direct(grey, "mono8", padding=2)), np.repeat(grey, 3, 2))


@pytest.mark.parametrize("big", [False, True])
def test_16_bits_keep_their_upper_half_in_either_byte_order(big: bool) -> None:
    values = RNG.integers(0, 2**16, (6, 4, 1), np.uint16)
    sent = values.astype(values.dtype.newbyteorder(">" if big else "<"))
    expected = np.repeat((values >> 8).astype(np.uint8), 3, 2)
    np.testing.assert_array_equal(rgb_from_message(direct(sent, "mono16", big=big)), expected)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns_give_back_a_plain_colour(pattern: str, bits: int) -> None:
    colour = {"r": 200, "g": 120, "b": 40}
    kind = np.uint8 if bits == 8 else np.uint16
    cell = np.array([[colour[pattern[0]], colour[pattern[1]]], [colour[pattern[2]], colour[pattern[3]]]], kind)
    mosaic = np.tile(cell * kind(1 if bits == 8 else 256), (8, 8))[..., None]
    rgb = rgb_from_message(direct(np.ascontiguousarray(mosaic), f"bayer_{pattern}{bits}", padding=4))
    np.testing.assert_array_equal(rgb[4:-4, 4:-4], np.broadcast_to((200, 120, 40), (8, 8, 3)))


@pytest.mark.parametrize("encoding", ["uyvy", "yuv422", "yuyv", "yuv422_yuy2"])
def test_yuv_in_both_byte_orders_gives_the_colour(encoding: str) -> None:
    rgb = np.full((4, 6, 3), (180, 90, 60), np.uint8)
    # BT.601 with 16..235, as cameras send it.
    r, g, b = (180.0, 90.0, 60.0)
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    four = (u, y, v, y) if encoding in ("uyvy", "yuv422") else (y, u, y, v)
    rows = np.tile(np.rint(four).astype(np.uint8), (4, 3))
    np.testing.assert_allclose(
        rgb_from_message(message(rows, width=6, encoding=encoding, padding=3)).astype(int), rgb, atol=3
    )


def test_an_unknown_encoding_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RefusedInputError, match=r"'nv99' is not known.*rgb8.*bayer_rggb8") as refusal:
        rgb_from_message(direct(np.zeros((4, 4, 3), np.uint8), "nv99"))
    assert refusal.value.reason is Reason.BAD_ENCODING


@pytest.mark.parametrize("change", [{"step": 11}, {"height": 5}, {"width": 0}, {"data": b""}])
def test_sizes_that_contradict_each_other_are_refused(change: dict[str, Any]) -> None:
    broken = direct(np.zeros((4, 4, 3), np.uint8), "rgb8")
    for name, value in change.items():
        setattr(broken, name, value)
    with pytest.raises(RefusedInputError, match="expected a step of at least"):
        rgb_from_message(broken)


@pytest.mark.parametrize("encoding", KNOWN_ENCODINGS)
def test_every_known_encoding_gives_an_rgb_picture(encoding: str) -> None:
    bytes_per_pixel = {"rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1, "rgb16": 6, "bgr16": 6}.get(encoding)
    if bytes_per_pixel is None:
        bytes_per_pixel = 1 if encoding.startswith("bayer") and encoding.endswith("8") else 2
        bytes_per_pixel = 3 if encoding in ("rgb8", "bgr8", "8UC3") else bytes_per_pixel
    rows = RNG.integers(0, 256, (8, 8 * bytes_per_pixel), np.uint8)
    rgb = rgb_from_message(message(rows, width=8, encoding=encoding))
    assert rgb.shape == (8, 8, 3)
    assert rgb.dtype == np.uint8


def test_a_picture_goes_through_a_message_unchanged() -> None:
    rgb = RNG.integers(0, 256, (5, 6, 3), np.uint8)
    np.testing.assert_array_equal(rgb_from_message(fill_message(SimpleNamespace(), rgb, encoding="rgb8")), rgb)
    values = RNG.random((5, 6)).astype(np.float32)
    np.testing.assert_array_equal(float_from_message(fill_message(SimpleNamespace(), values, encoding="32FC1")), values)


def test_our_reading_equals_cv_bridge_where_it_is_installed() -> None:
    cv_bridge = pytest.importorskip("cv_bridge", reason="cv_bridge is not installed here")
    image_type = pytest.importorskip("sensor_msgs.msg").Image
    picture = cv2.GaussianBlur(RNG.integers(0, 256, (32, 32, 3), np.uint8), (9, 9), 3)
    for encoding in ("rgb8", "bgr8"):
        sent = fill_message(image_type(), picture, encoding=encoding)
        theirs = cv_bridge.CvBridge().imgmsg_to_cv2(sent, desired_encoding="rgb8")
        np.testing.assert_array_equal(rgb_from_message(sent), theirs)
