"""The example grasps at what is seen, certain and new, and at nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from rnnpose_ros.ros.frame_lookups import frame_sample
from rnnpose_ros.ros.messages import stamp_message, stamp_ns
from rnnpose_ros.tracking.transform_tree import TransformLookupError, TransformTree

from .conftest import Graph, poses_message

S = 1_000_000_000


class OwnBuffer:
    """What the example asks of ``tf2_ros.Buffer``, by our own tree, where tf2_ros is not installed."""

    def __init__(self) -> None:
        self._tree = TransformTree()

    def set_transform(self, message: Any, _: str) -> None:
        stamp = stamp_ns(message.header.stamp)
        self._tree.add(message.child_frame_id, frame_sample(message), stamp_ns=stamp)

    def set_transform_static(self, message: Any, _: str) -> None:
        self._tree.add(message.child_frame_id, frame_sample(message), stamp_ns=0, is_static=True)

    def lookup_transform(self, target: str, source: str, time: Any) -> Any:
        assert time.nanoseconds == 0, "the newest"
        try:
            newest = self._tree.latest_common_ns(target, source) or 0
            position = self._tree.lookup(target, source, newest)[:3, 3].tolist()
        except TransformLookupError as error:
            raise STAND_IN.TransformException(str(error)) from error
        return transform(target, source, position, stamp_ns=newest)


STAND_IN: Any = ModuleType("tf2_ros")
STAND_IN.Buffer = OwnBuffer
STAND_IN.TransformListener = lambda buffer, node: None
STAND_IN.TransformException = type("TransformException", (Exception,), {})


@pytest.fixture
def tf2_ros(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The real one, or as much of it as the example needs."""
    try:
        import tf2_ros

        return tf2_ros
    except ImportError:
        monkeypatch.setitem(sys.modules, "tf2_ros", STAND_IN)
        return STAND_IN


@pytest.fixture
def example(graph: Graph, tf2_ros: ModuleType) -> Iterator[Any]:
    """The example, its camera standing 1 m before the robot's base."""
    from rclpy.parameter import Parameter

    from rnnpose_ros.ros.grasp_example import GraspExample

    # Generous, so that a busy machine does not make a new pose old.
    overrides = [Parameter("max_age", value=60.0), Parameter("class_id", value="cube")]
    made = GraspExample(context=graph.context, parameter_overrides=overrides)
    made.buffer.set_transform_static(transform("base_link", "camera", (1.0, 0.0, 0.0), stamp_ns=0), "test")
    yield made
    made.destroy_node()


def transform(parent: str, child: str, position: Any, *, stamp_ns: int) -> Any:
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, stamp_message(stamp_ns)
    message.transform.rotation.w = 1.0
    t = message.transform.translation
    t.x, t.y, t.z = position
    return message


def show(example: Any, *, age_s: float = 0.0, std_m: float = 0.002) -> None:
    """As the refiner publishes it: a detection with covariance, and its frame."""
    stamp = example.get_clock().now().nanoseconds - round(age_s * S)
    message = poses_message(stamp)
    covariance = message.detections[0].results[0].pose.covariance
    covariance[0] = covariance[7] = covariance[14] = std_m**2
    example.keep(message)
    example.buffer.set_transform(transform("camera", "rnnpose/cube_0", (0.0, 0.0, 0.5), stamp_ns=stamp), "test")


def test_an_object_that_is_seen_certain_and_new_is_grasped_at_in_the_base(example: Any) -> None:
    show(example)
    assert example.frame == "rnnpose/cube_0"
    position = example.decide().transform.translation
    assert (position.x, position.y, position.z) == pytest.approx((1.0, 0.0, 0.5))


def test_what_is_lost_is_left_alone_although_its_frame_is_still_known(example: Any) -> None:
    from vision_msgs.msg import Detection3DArray

    show(example)
    assert example.decide() is not None
    example.keep(Detection3DArray())
    assert example.decide() is None


@pytest.mark.parametrize("changes", [{"age_s": 100.0}, {"age_s": -5.0}, {"std_m": 0.02}, {"std_m": 0.0}])
def test_what_is_old_from_the_future_uncertain_or_of_unknown_certainty_is_left_alone(
    example: Any, changes: dict[str, float]
) -> None:
    show(example, **changes)
    assert example.decide() is None


def test_an_object_whose_camera_is_nowhere_on_the_robot_is_left_alone(example: Any) -> None:
    example.base = "gripper"
    show(example)
    assert example.decide() is None


def test_it_listens_where_the_refiner_publishes(example: Any) -> None:
    assert {s.topic_name for s in example.subscriptions} >= {"/rnnpose/detections"}
