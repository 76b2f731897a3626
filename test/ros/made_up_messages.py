"""Messages of every kind that the refiner listens to, good ones and every sort of bad one, made up by hypothesis.

Most fields are good most of the time: a message with one bad field gets further than one of nonsense alone.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import cv2
import geometry_msgs.msg as geometry
import numpy as np
import sensor_msgs.msg as sensor
import vision_msgs.msg as vision
from builtin_interfaces.msg import Time
from hypothesis import strategies as st
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from rnnpose_ros.ros.images import KNOWN_ENCODINGS

T0_S = 1_700_000_000
_U32 = 2**32 - 1
_BYTES_A_PIXEL = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "yuyv": 2, "uyvy": 2, "mono16": 2}


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Bad about one time in thirty: a message has many fields."""
    return st.integers(0, 29).flatmap(lambda i: bad if i == 29 else good)


ODD_NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1e308, -1e308, 1e-7, -1.0, 1e7])
ODD_COUNTS = st.sampled_from([0, 1, 2, 255, 65_535, 2**31, _U32])
NUMBERS = mostly(st.floats(-1.0, 1.0), ODD_NUMBERS)
DEPTHS = mostly(st.floats(0.2, 2.0), ODD_NUMBERS)
STAMPS = mostly(
    st.integers(0, 60).map(lambda i: Time(sec=T0_S + i // 30, nanosec=i % 30 * 33_333_333)),
    st.builds(
        Time,
        sec=st.sampled_from([0, -1, 1, T0_S - 100, T0_S + 100, -(2**31), 2**31 - 1]),
        nanosec=st.sampled_from([0, 1, 999_999_999, _U32]),
    ),
)
FRAMES = mostly(
    st.sampled_from(["camera"] * 8 + ["base", "odom"]),
    st.sampled_from(["", "/", "/camera", "nowhere", "rough", "rnnpose/cube_0", "a b", "\u00fc", "x" * 300]),
)
HEADERS = st.builds(Header, stamp=STAMPS, frame_id=FRAMES)


def _vector(kind: type, x: float, y: float, z: float) -> Any:
    return kind(x=x, y=y, z=z)


QUATERNIONS = mostly(
    st.sampled_from([(0.0, 0.0, 0.0, 1.0), (0.1, 0.2, 0.3, 0.9), (0.0, 0.0, -3.0, 0.0), (0.5, 0.5, 0.5, -0.5)]),
    st.tuples(*[ODD_NUMBERS] * 4) | st.just((0.0,) * 4),
).map(lambda q: geometry.Quaternion(x=q[0], y=q[1], z=q[2], w=q[3]))
POSES = st.builds(
    geometry.Pose,
    position=st.builds(functools.partial(_vector, geometry.Point), NUMBERS, NUMBERS, DEPTHS),
    orientation=QUATERNIONS,
)
COVARIANCES = mostly(
    st.sampled_from([[0.0] * 36, (1e-4 * np.eye(6)).flatten().tolist(), np.eye(6).flatten().tolist()]),
    ODD_NUMBERS.map(lambda value: [value] * 36),
)
POSES_WITH_COVARIANCE = st.builds(geometry.PoseWithCovariance, pose=POSES, covariance=COVARIANCES)
RESULTS = st.builds(
    vision.ObjectHypothesisWithPose,
    hypothesis=st.builds(
        vision.ObjectHypothesis,
        class_id=mostly(st.sampled_from(["cube", "can"]), st.sampled_from(["", "teapot", "cube ", "\x00", "/"])),
        score=mostly(st.floats(0.0, 1.0), ODD_NUMBERS),
    ),
    pose=POSES_WITH_COVARIANCE,
)
NAMES = st.sampled_from(["", "", "a", "b", "cube_0"])
RESULT_LISTS = mostly(st.lists(RESULTS, min_size=1, max_size=2), st.just([]))


def _detection(kind: type, header: Header, results: list[Any], name: str) -> Any:
    return kind(header=header, results=results, id=name)


def _detections(kind: type, item: type) -> st.SearchStrategy[Any]:
    made = st.builds(functools.partial(_detection, item), mostly(st.just(Header()), HEADERS), RESULT_LISTS, NAMES)
    return st.builds(kind, header=HEADERS, detections=st.lists(made, max_size=3))


SIZES = mostly(st.just((64, 48)), st.tuples(ODD_COUNTS | st.just(64), ODD_COUNTS | st.just(48)))


@st.composite
def _images(draw: st.DrawFn) -> sensor.Image:
    width, height = draw(SIZES)
    encoding = draw(mostly(st.just("rgb8"), st.sampled_from([*KNOWN_ENCODINGS, "", "32FC1", "h264", "rgb8 "])))
    row = width * _BYTES_A_PIXEL.get(encoding, 1)
    step = draw(mostly(st.just(row), st.sampled_from([0, 1, row + 5, 2 * row, _U32]))) % (_U32 + 1)
    full = min(step * height, 50_000)
    size = draw(mostly(st.just(full), st.sampled_from([0, 1, full // 2, max(0, full - 1), full + 7])))
    return sensor.Image(
        header=draw(HEADERS),
        width=width,
        height=height,
        encoding=encoding,
        step=step,
        is_bigendian=draw(st.sampled_from([0, 0, 1, 255])),
        data=bytes(size),
    )


@functools.cache
def _file(codec: str, width: int, height: int) -> bytes:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data: bytes = cv2.imencode(codec, picture)[1].tobytes()
    return data


@st.composite
def _compressed(draw: st.DrawFn) -> sensor.CompressedImage:
    width, height = draw(st.sampled_from([(64, 48)] * 4 + [(1, 1), (48, 64)]))
    data = bytearray(_file(draw(st.sampled_from([".jpg", ".png"])), width, height))
    harm = draw(st.sampled_from(["none"] * 5 + ["cut", "flip", "nothing", "noise", "claim"]))
    if harm == "cut":
        del data[draw(st.integers(0, len(data) - 1)) :]
    elif harm == "flip":
        for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
            data[place] ^= draw(st.integers(1, 255))
    elif harm == "nothing":
        data.clear()
    elif harm == "noise":
        data[:] = draw(st.binary(max_size=64))
    elif harm == "claim":
        # A PNG says its size in these bytes: gigabytes, to be had for nothing.
        data = bytearray(_file(".png", width, height))
        data[16:24] = b"\x7f\xff\xff\xff" * 2
    formats = ["jpeg", "png", "", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png compressed", "bayer_x; jpeg", ";;"]
    return sensor.CompressedImage(header=draw(HEADERS), format=draw(st.sampled_from(formats)), data=bytes(data))


@st.composite
def _camera_infos(draw: st.DrawFn) -> sensor.CameraInfo:
    width, height = draw(SIZES)
    models = st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", ""])
    model = draw(mostly(models, st.just("other")))
    usual = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}.get(model, 5)
    number = draw(mostly(st.sampled_from([0, usual, usual]), st.integers(0, 15)))
    coefficient = draw(mostly(st.sampled_from([0.0, 0.01, -0.3]), ODD_NUMBERS))
    info = sensor.CameraInfo(header=draw(HEADERS), width=width, height=height, distortion_model=model)
    info.d = [coefficient] * number
    fx, fy = (draw(mostly(st.just(60.0), ODD_NUMBERS)) for _ in range(2))
    cx, cy = (draw(mostly(st.just(30.0), ODD_NUMBERS)) for _ in range(2))
    info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.binning_x, info.binning_y = draw(mostly(st.just((0, 0)), st.tuples(ODD_COUNTS, ODD_COUNTS)))
    roi = draw(mostly(st.just((0, 0, 0, 0)), st.tuples(*[ODD_COUNTS | st.just(48)] * 4)))
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = roi
    return info


TRANSFORMS = st.builds(
    geometry.TransformStamped,
    header=HEADERS,
    child_frame_id=mostly(st.sampled_from(["camera", "base", "rough"]), FRAMES),
    transform=st.builds(
        geometry.Transform,
        translation=st.builds(functools.partial(_vector, geometry.Vector3), NUMBERS, NUMBERS, NUMBERS),
        rotation=QUATERNIONS,
    ),
)
TF_MESSAGES = st.builds(TFMessage, transforms=st.lists(TRANSFORMS, min_size=1, max_size=3))

MESSAGES: dict[str, st.SearchStrategy[Any]] = {
    "image": _images(),
    "image/compressed": _compressed(),
    "camera_info": _camera_infos(),
    "initial_detections": _detections(vision.Detection3DArray, vision.Detection3D),
    "initial_detections_2d": _detections(vision.Detection2DArray, vision.Detection2D),
    "initial_pose": st.builds(geometry.PoseStamped, header=HEADERS, pose=POSES),
    "initial_pose_with_covariance": st.builds(
        geometry.PoseWithCovarianceStamped, header=HEADERS, pose=POSES_WITH_COVARIANCE
    ),
    "initial_poses": st.builds(geometry.PoseArray, header=HEADERS, poses=st.lists(POSES, max_size=3)),
    "/tf": TF_MESSAGES,
    "/tf_static": TF_MESSAGES,
}
"""By topic."""


@dataclass(frozen=True)
class Sent:
    """A message and where it was sent."""

    topic: str
    message: Any

    def __repr__(self) -> str:
        """In short: hypothesis prints what does harm."""
        fields = self.message.get_fields_and_field_types()
        said = {name: getattr(self.message, name) for name in fields}
        if "data" in said:
            said["data"] = f"{len(said['data'])} bytes"
        return f"{self.topic}: {said}"


@st.composite
def _pictures(draw: st.DrawFn) -> list[Sent]:
    """An image and its info, in any order."""
    topic = draw(st.sampled_from(["image", "image", "image/compressed"]))
    image, info = draw(MESSAGES[topic]), draw(MESSAGES["camera_info"])
    info.header = image.header
    return draw(st.permutations([Sent(topic, image), Sent("camera_info", info)]))


_EVENTS = st.one_of(
    _pictures(),
    st.sampled_from(list(MESSAGES)).flatmap(lambda topic: MESSAGES[topic].map(lambda message: [Sent(topic, message)])),
)


def _in_order(events: list[tuple[list[Sent], bool]]) -> list[Sent]:
    """Time goes on for those that keep to it."""
    for i, (event, keeps_its_stamp) in enumerate(events):
        for message in () if keeps_its_stamp else (sent.message for sent in event):
            for header in (message.header,) if hasattr(message, "header") else [t.header for t in message.transforms]:
                header.stamp = Time(sec=T0_S + i // 30, nanosec=i % 30 * 33_333_333)
    return [item for event, _ in events for item in event]


SEQUENCES = st.lists(st.tuples(_EVENTS, mostly(st.just(False), st.just(True))), min_size=10, max_size=40).map(_in_order)
"""What comes one after the other."""
SETTINGS = st.fixed_dictionaries(
    {"initial_pose.default_class_id": st.sampled_from(["cube", "can", ""])},
    optional={
        "sync.camera_info_mode": st.just("latest"),
        "sync.slop": st.just(0.05),
        "sync.queue": st.sampled_from([1, 60]),
        "input_is_rectified": st.sampled_from(["true", "false"]),
        "tf.fixed_frame": st.just("odom"),
        "fake.mode": st.sampled_from(["drift", "nan"]),
        "initial_pose.max_age": st.just(9.0),
        "initial_pose.min_score": st.just(0.5),
        "tracking.enabled": st.just(False),
        "tracking.recheck_period": st.just(0.1),
    },
)
"""Of the node."""
