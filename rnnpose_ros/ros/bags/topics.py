"""Which of a recording's topics are the camera, its info, and the rough poses: as told, else as their types say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnnpose_ros.errors import InputError
from rnnpose_ros.ros.bags.bag_file import BagTopic
from rnnpose_ros.ros.initial_poses import POSE_INPUTS

IMAGE_KINDS = ("sensor_msgs/Image", "sensor_msgs/CompressedImage")
INFO_KIND = "sensor_msgs/CameraInfo"
POSE_KINDS = tuple(pose_input.message_type for pose_input in POSE_INPUTS.values())
_COMPRESSED = "/compressed"
_NO_COLOUR = ("depth", "disparity", "infra", "debug", "mask", "segmentation", "confidence")
"""Words in the names of picture topics that are no photographs."""


@dataclass(frozen=True, slots=True)
class ChosenTopics:
    """What is read of a recording."""

    image: BagTopic
    camera_info: BagTopic | None
    """None where the camera is given from outside."""
    poses: tuple[BagTopic, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        infos = () if self.camera_info is None else (self.camera_info,)
        return tuple(topic.name for topic in (self.image, *infos, *self.poses))

    @property
    def image_name(self) -> str:
        """The picture topic without what its transport adds."""
        return _base(self.image)


@dataclass(frozen=True, slots=True)
class TopicWishes:
    """What the user says; empty where the recording decides."""

    image: str = ""
    camera_info: str = ""
    poses: tuple[str, ...] = ()
    camera_is_given: bool = False
    """The camera comes from a file."""
    pose_is_given: bool = False
    """The first pose comes from a file, or poses come from /tf; topics of poses are read only when they are named."""
    own: str = "/rnnpose"
    """Outputs of a refiner of this name that were recorded with the rest are no inputs."""


def choose_topics(topics: Mapping[str, BagTopic], wishes: TopicWishes) -> ChosenTopics:
    """The topics to read.

    Raises:
        InputError: One is not there, of the wrong type, or not to be told apart from others; names what there is.
    """
    image = _image(topics, wishes)
    info = None if wishes.camera_is_given else _info(topics, wishes, image)
    return ChosenTopics(image, info, _poses(topics, wishes))


def _image(topics: Mapping[str, BagTopic], wishes: TopicWishes) -> BagTopic:
    if wishes.image:
        return _named(topics, wishes.image, IMAGE_KINDS, "--image")
    pictures = [t for t in topics.values() if t.kind in IMAGE_KINDS and t.count]
    photographs = [t for t in pictures if not any(word in t.name.lower() for word in _NO_COLOUR)]
    if not photographs:
        raise InputError(f"no topic of photographs ({' or '.join(IMAGE_KINDS)}) in it; {_listed(topics)}")
    calibrated = [t for t in photographs if _sibling_info(topics, t) is not None] or photographs
    cameras = {_camera_folder(t): t for t in sorted(calibrated, key=_likeliness)}
    if len(cameras) > 1:
        names = ", ".join(sorted(t.name for t in cameras.values()))
        raise InputError(f"several cameras are in it: choose one with --image: {names}")
    return next(iter(cameras.values()))


def _info(topics: Mapping[str, BagTopic], wishes: TopicWishes, image: BagTopic) -> BagTopic:
    if wishes.camera_info:
        return _named(topics, wishes.camera_info, (INFO_KIND,), "--camera-info")
    sibling = _sibling_info(topics, image)
    if sibling is not None:
        return sibling
    infos = [t for t in topics.values() if t.kind == INFO_KIND and t.count]
    if len(infos) == 1:
        return infos[0]
    what = f"{len(infos)} topics of camera infos" if infos else "no camera info"
    raise InputError(
        f"{what} in it, none beside {image.name}: name one with --camera-info, or give the camera with --camera "
        f"camera.json (fx fy cx cy width height); {_listed(topics, INFO_KIND)}"
    )


def _poses(topics: Mapping[str, BagTopic], wishes: TopicWishes) -> tuple[BagTopic, ...]:
    if wishes.poses:
        return tuple(_named(topics, name, POSE_KINDS, "--poses") for name in wishes.poses)
    if wishes.pose_is_given:
        return ()
    found = [t for t in topics.values() if t.count and not _is_own(t, wishes.own)]
    # Poses are of everything under the sun: but for detections, only the name tells those of objects.
    inputs = {(p.topic, p.message_type) for p in POSE_INPUTS.values()}
    named = [t for t in found if (t.name.rsplit("/", 1)[-1], t.kind) in inputs]
    detections = [t for t in found if t.kind == POSE_INPUTS["detection3d"].message_type]
    if named or detections:
        return tuple(named or detections)
    raise InputError(
        f"no rough poses in it: name a topic with --poses ({', '.join(POSE_KINDS)}), or frames of /tf with --set "
        "initial_pose.tf_frames=<object>=<frame>, or give the pose in the first picture with --pose pose.json "
        f"(label, R, t_m); {_listed(topics)}"
    )


def _named(topics: Mapping[str, BagTopic], name: str, kinds: Sequence[str], option: str) -> BagTopic:
    topic = topics.get(name if name.startswith("/") else f"/{name}")
    if topic is None:
        raise InputError(f"{option}: there is no topic {name}; {_listed(topics, *kinds)}")
    if topic.kind not in kinds:
        raise InputError(f"{option}: {name} is {topic.kind}, expected {' or '.join(kinds)}; {_listed(topics, *kinds)}")
    return topic


def _listed(topics: Mapping[str, BagTopic], *kinds: str) -> str:
    fitting = [t for t in topics.values() if not kinds or t.kind in kinds]
    names = ", ".join(
        f"{t.name} ({t.kind}, {t.count})" for t in sorted(fitting or topics.values(), key=lambda t: t.name)
    )
    return f"there are: {names or 'no topics at all'}"


def _sibling_info(topics: Mapping[str, BagTopic], image: BagTopic) -> BagTopic | None:
    info = topics.get(f"{_camera_folder(image)}/camera_info")
    return info if info is not None and info.kind == INFO_KIND and info.count else None


def _camera_folder(image: BagTopic) -> str:
    """Where a camera's image and info lie side by side."""
    return _base(image).rsplit("/", 1)[0]


def _base(image: BagTopic) -> str:
    """A compressed image lies one deeper than the camera's other topics."""
    return image.name.removesuffix(_COMPRESSED) if image.kind == "sensor_msgs/CompressedImage" else image.name


def _likeliness(image: BagTopic) -> tuple[bool, bool, str]:
    """The likeliest of one camera comes last: straight pictures before raw ones, uncompressed before compressed."""
    base = _base(image).rsplit("/", 1)[-1]
    return base.startswith("image_rect"), image.kind == "sensor_msgs/Image", image.name


def _is_own(topic: BagTopic, own: str) -> bool:
    return topic.name.startswith(f"{own.rstrip('/')}/")
