"""JPEG and PNG messages give the colours that were compressed, whoever wrote the format field."""

from __future__ import annotations

import io
import zlib
from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from rnnpose_ros.ros.compressed_images import open_picture
from rnnpose_ros.ros.reasons import Reason, RefusedInputError

RGB = np.zeros((24, 32, 3), np.uint8)
RGB[:, :16], RGB[:, 16:] = (200, 60, 30), (20, 90, 220)


def message(pixels: np.ndarray, codec: str, text: str, *options: int) -> Any:
    _, data = cv2.imencode(f".{codec}", pixels, list(options))
    return SimpleNamespace(format=text, data=array("B", data.tobytes()))


FORMATS = [
    ("jpg", "jpeg"),
    ("jpg", "jpg"),
    ("jpg", "rgb8; jpeg compressed bgr8"),
    ("jpg", "bgr8; jpeg compressed bgr8"),
    ("png", "png"),
    ("png", "rgb8; png compressed bgr8"),
    ("png", ""),
]


@pytest.mark.parametrize(("codec", "text"), FORMATS)
def test_the_colours_are_right_under_every_name_of_the_format(codec: str, text: str) -> None:
    picture = open_picture(message(RGB[..., ::-1], codec, text))
    assert (picture.width, picture.height) == (32, 24)
    away_from_the_edge = np.r_[0:12, 20:32]  # JPEG keeps colour at half the resolution
    decoded = picture.decode()[:, away_from_the_edge].astype(int)
    np.testing.assert_allclose(decoded, RGB[:, away_from_the_edge], atol=0 if codec == "png" else 3)


def test_channels_that_were_given_to_the_codec_as_rgb_are_taken_as_such() -> None:
    picture = open_picture(message(RGB, "png", "rgb8; png compressed rgb8"))
    np.testing.assert_array_equal(picture.decode(), RGB)


def test_grey_pictures_and_16_bits_become_rgb() -> None:
    grey = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 80
    eight = (grey >> 8).astype(np.uint8)
    for pixels, text in ((eight, "mono8; png compressed "), (grey, "mono16; png compressed ")):
        np.testing.assert_allclose(
            open_picture(message(pixels, "png", text)).decode().astype(int), np.repeat(eight[..., None], 3, 2), atol=1
        )


def test_a_compressed_bayer_mosaic_gets_its_colours() -> None:
    mosaic = np.tile(np.array([[200, 120], [120, 40]], np.uint8), (12, 16))
    rgb = open_picture(message(mosaic, "png", "bayer_rggb8; png compressed ")).decode()
    np.testing.assert_array_equal(rgb[4:-4, 4:-4], np.broadcast_to((200, 120, 40), (16, 24, 3)))


def test_an_orientation_written_into_the_file_turns_nothing() -> None:
    """The camera info describes the pixels as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "jpeg", exif=exif)
    picture = open_picture(SimpleNamespace(format="jpeg", data=file.getvalue()))
    assert picture.decode().shape == (24, 32, 3)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0 broken", b"RIFF0000WEBPVP8 "])
def test_what_is_no_jpeg_or_png_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedInputError, match="no readable JPEG or PNG") as refusal:
        open_picture(SimpleNamespace(format="h264", data=data))
    assert refusal.value.reason is Reason.BAD_ENCODING


def test_a_damaged_body_is_refused_or_decoded_but_never_an_error_of_another_kind() -> None:
    whole = bytes(message(RGB, "png", "png").data)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(8, len(whole), 5):
            damaged[place] = rng.integers(256)
        try:
            assert open_picture(SimpleNamespace(format="png", data=bytes(damaged))).decode().ndim == 3
        except RefusedInputError:
            refused += 1
    assert refused > 0


def test_a_header_that_claims_gigapixels_is_known_before_anything_is_decoded() -> None:
    data = bytearray(message(RGB, "png", "png").data)
    data[16:24] = (9_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    picture = open_picture(SimpleNamespace(format="png", data=bytes(data)))
    assert picture.width == 9_000
