"""The measurement of image transport measures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rnnpose_ros.ros.transport_measurement import (
    DEFAULT_STREAMS,
    ImageStream,
    StreamResult,
    TransportError,
    measure_transport,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_stream_is_read_back_from_its_text() -> None:
    for stream in (*DEFAULT_STREAMS, ImageStream(3, 2, "reliable", depth=50)):
        assert ImageStream.parse(stream.text) == stream
    with pytest.raises(ValueError, match="reliable, best_effort"):
        ImageStream.parse("640x480:lossy")


def test_a_share_of_nothing_is_none() -> None:
    stream = DEFAULT_STREAMS[0]
    assert StreamResult(stream, sent=0, received=0, delay_ms=None).share == 0.0
    assert StreamResult(stream, sent=40, received=30, delay_ms=1.0).share == 0.75


@pytest.mark.ros
def test_every_small_picture_gets_through_with_the_packaged_profile() -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 on this machine")
    streams = (ImageStream(64, 48, "reliable", depth=20), ImageStream(64, 48, "best_effort", depth=20))
    profile = ROOT / "config" / "fastdds_large_images.xml"
    results = measure_transport(streams, profile=profile, count=12, rate_hz=60.0)
    assert [result.stream for result in results] == list(streams)
    assert [result.sent for result in results] == [12, 12]
    assert results[0].received == 12
    assert results[0].delay_ms is not None
    assert results[0].delay_ms > 0.0


def test_an_end_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "rclpy.py").write_text("raise ImportError('librcl_action.so is gone')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with pytest.raises(TransportError, match=r"the receiver failed: .*librcl_action\.so is gone"):
        measure_transport(DEFAULT_STREAMS[:1], environment=environment)
