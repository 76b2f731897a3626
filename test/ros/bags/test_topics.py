"""Which topics are read when nobody says so, and what is said when that cannot be told."""

from __future__ import annotations

import pytest

from rnnpose_ros.errors import InputError
from rnnpose_ros.ros.bags.bag_file import BagTopic
from rnnpose_ros.ros.bags.topics import TopicWishes, choose_topics

IMAGE, INFO, POSES = "sensor_msgs/Image", "sensor_msgs/CameraInfo", "vision_msgs/Detection3DArray"


def topics(**kinds: str) -> dict[str, BagTopic]:
    """``cam__image_raw=IMAGE`` is ``/cam/image_raw``."""
    names = {"/" + name.replace("__", "/"): kind for name, kind in kinds.items()}
    return {name: BagTopic(name, kind, 10) for name, kind in names.items()}


CAMERA = {"cam__image_raw": IMAGE, "cam__camera_info": INFO}
DETECTOR = {"detector__poses": POSES}


def test_the_one_camera_with_its_info_and_the_detector_are_taken() -> None:
    chosen = choose_topics(topics(**CAMERA, **DETECTOR), TopicWishes())
    assert chosen.names == ("/cam/image_raw", "/cam/camera_info", "/detector/poses")


def test_straight_pictures_are_taken_rather_than_raw_ones() -> None:
    chosen = choose_topics(topics(cam__image_rect_color=IMAGE, **CAMERA, **DETECTOR), TopicWishes())
    assert chosen.image.name == "/cam/image_rect_color"


def test_depth_debug_pictures_and_own_outputs_are_no_inputs() -> None:
    more = {"cam__depth__image_rect_raw": IMAGE, "cam__depth__camera_info": INFO}
    own = {"rnnpose__detections": POSES, "rnnpose__debug__overlay": IMAGE}
    chosen = choose_topics(topics(**more, **own, **CAMERA, **DETECTOR), TopicWishes())
    assert chosen.names == ("/cam/image_raw", "/cam/camera_info", "/detector/poses")


def test_two_cameras_are_told_apart_by_the_user() -> None:
    both = topics(left__image_raw=IMAGE, left__camera_info=INFO, **CAMERA, **DETECTOR)
    with pytest.raises(InputError, match="--image: /cam/image_raw, /left/image_raw"):
        choose_topics(both, TopicWishes())
    chosen = choose_topics(both, TopicWishes(image="left/image_raw"))
    assert chosen.names[:2] == ("/left/image_raw", "/left/camera_info")


def test_a_lone_camera_info_elsewhere_is_taken() -> None:
    chosen = choose_topics(topics(cam__image_raw=IMAGE, calibration=INFO, **DETECTOR), TopicWishes())
    assert chosen.camera_info is not None
    assert chosen.camera_info.name == "/calibration"


def test_without_camera_info_the_way_to_give_the_camera_is_said_and_works() -> None:
    bare = topics(cam__image_raw=IMAGE, **DETECTOR)
    with pytest.raises(InputError, match=r"no camera info.*--camera camera\.json"):
        choose_topics(bare, TopicWishes())
    assert choose_topics(bare, TopicWishes(camera_is_given=True)).names == ("/cam/image_raw", "/detector/poses")


def test_without_poses_the_way_to_give_one_is_said_and_works() -> None:
    with pytest.raises(InputError, match=r"no rough poses.*--pose pose\.json"):
        choose_topics(topics(**CAMERA), TopicWishes())
    assert choose_topics(topics(**CAMERA), TopicWishes(pose_is_given=True)).poses == ()


def test_a_topic_that_is_not_there_or_of_another_type_is_said_with_those_that_fit() -> None:
    there = topics(**CAMERA, **DETECTOR)
    with pytest.raises(InputError, match=r"--image: there is no topic /cam/image; there are: /cam/image_raw"):
        choose_topics(there, TopicWishes(image="/cam/image"))
    with pytest.raises(InputError, match=r"--poses: /cam/camera_info is sensor_msgs/CameraInfo.*there are: /detector"):
        choose_topics(there, TopicWishes(poses=("/cam/camera_info",)))


def test_a_topic_without_messages_is_not_taken() -> None:
    there = topics(**CAMERA, **DETECTOR)
    there["/front/image_raw"] = BagTopic("/front/image_raw", IMAGE, 0)
    assert choose_topics(there, TopicWishes()).image.name == "/cam/image_raw"


def test_uncompressed_pictures_are_taken_rather_than_compressed_ones_of_the_same_camera() -> None:
    compressed = {"cam__image_raw__compressed": "sensor_msgs/CompressedImage"}
    both = choose_topics(topics(**compressed, **CAMERA, **DETECTOR), TopicWishes())
    alone = choose_topics(topics(**compressed, cam__camera_info=INFO, **DETECTOR), TopicWishes())
    assert (both.image.name, alone.image.name) == ("/cam/image_raw", "/cam/image_raw/compressed")
    assert both.image_name == alone.image_name == "/cam/image_raw"
    assert alone.names[1] == "/cam/camera_info"


def test_poses_that_are_called_as_the_nodes_inputs_are_taken_and_no_other_poses() -> None:
    poses = {"initial_pose": "geometry_msgs/PoseStamped", "goal_pose": "geometry_msgs/PoseStamped"}
    chosen = choose_topics(topics(**poses, **CAMERA), TopicWishes())
    assert [t.name for t in chosen.poses] == ["/initial_pose"]
