"""Lookups in a tree of frames, checked against closed forms: the same for our own tree and for tf2_ros."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix
from rnnpose_ros.geometry.se3 import exp_se3, inverse
from rnnpose_ros.ros.frame_lookups import WaitingLookups
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.tracking.frame_history import FrameSample
from rnnpose_ros.tracking.transform_tree import FrameNews, LookupProblem, TransformLookupError, TransformTree

from .conftest import Graph

T0 = 1_700_000_000_000_000_000
S = 1_000_000_000


def turned(angle: float, *, x: float = 0.0, y: float = 0.0, parent: str = "odom") -> FrameSample:
    return FrameSample(parent, (x, y, 0.0), (0.0, 0.0, math.sin(0.5 * angle), math.cos(0.5 * angle)))


def matrix(angle: float, x: float, y: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    rows = [[c, -s, 0.0, x], [s, c, 0.0, y], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    return torch.tensor(rows, dtype=torch.float64)


class Tree:
    """A tree of either kind, and how samples get into it."""

    def __init__(self, frames: Any, add: Callable[..., Any]) -> None:
        self.frames = frames
        self.add = add


def _of_tf2() -> Tree:
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed here")
    from geometry_msgs.msg import TransformStamped

    from rnnpose_ros.ros.messages import stamp_message
    from rnnpose_ros.ros.tf_listener import Tf2Frames

    buffer = tf2_ros.Buffer()

    def add(child: str, sample: FrameSample, *, stamp_ns: int, is_static: bool = False) -> None:
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id, message.header.stamp = sample.parent, stamp_message(stamp_ns)
        t, q = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = sample.translation
        q.x, q.y, q.z, q.w = sample.quaternion_xyzw
        (buffer.set_transform_static if is_static else buffer.set_transform)(message, "test")

    return Tree(Tf2Frames(buffer), add)


def _of_our_own() -> Tree:
    tree = TransformTree()
    return Tree(tree, tree.add)


@pytest.fixture(params=[_of_our_own, _of_tf2], ids=["own", "tf2_ros"])
def tree(request: pytest.FixtureRequest) -> Tree:
    """odom -> base turns and drives for a second; base -> camera and odom -> table are static."""
    made: Tree = request.param()
    made.add("base", turned(0.0), stamp_ns=T0)
    made.add("base", turned(1.0, x=2.0), stamp_ns=T0 + S)
    made.add("camera", turned(math.pi / 2, y=0.5, parent="base"), stamp_ns=0, is_static=True)
    made.add("table", turned(0.0, x=5.0), stamp_ns=0, is_static=True)
    return made


def problem_of(ask: Callable[[], Any]) -> LookupProblem:
    with pytest.raises(TransformLookupError) as error:
        ask()
    return error.value.problem


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_between_two_samples_a_frame_turns_and_moves_evenly(tree: Tree, fraction: float) -> None:
    T = tree.frames.lookup("odom", "base", T0 + round(fraction * S))
    torch.testing.assert_close(T, matrix(fraction, 2.0 * fraction, 0.0), atol=1e-9, rtol=0.0)


def test_any_two_frames_of_the_tree_are_related(tree: Tree) -> None:
    T_odom_camera = matrix(0.5, 1.0, 0.0) @ matrix(math.pi / 2, 0.0, 0.5)
    T_odom_table = matrix(0.0, 5.0, 0.0)
    T = tree.frames.lookup("camera", "table", T0 + S // 2)
    torch.testing.assert_close(T, inverse(T_odom_camera) @ T_odom_table, atol=1e-9, rtol=0.0)
    back = tree.frames.lookup("table", "camera", T0 + S // 2)
    torch.testing.assert_close(back @ T, torch.eye(4, dtype=torch.float64), atol=1e-9, rtol=0.0)


def test_a_frame_is_itself(tree: Tree) -> None:
    torch.testing.assert_close(tree.frames.lookup("camera", "camera", T0), torch.eye(4, dtype=torch.float64))


def test_static_frames_hold_at_any_time(tree: Tree) -> None:
    for stamp in (1, T0, T0 + 1000 * S):
        torch.testing.assert_close(tree.frames.lookup("odom", "table", stamp), matrix(0.0, 5.0, 0.0))
        torch.testing.assert_close(tree.frames.lookup("base", "camera", stamp), matrix(math.pi / 2, 0.0, 0.5))
    assert tree.frames.latest_common_ns("base", "camera") is None


def test_over_a_fixed_frame_a_pose_is_carried_from_one_time_to_another(tree: Tree) -> None:
    """A point 1 m ahead of the base at the start, seen by the base half a second later."""
    T = tree.frames.lookup_full("base", T0 + S // 2, "base", T0, fixed="odom")
    torch.testing.assert_close(T, inverse(matrix(0.5, 1.0, 0.0)), atol=1e-9, rtol=0.0)


def test_the_newest_of_a_frame_is_its_last_parent_and_stamp(tree: Tree) -> None:
    newest = tree.frames.newest
    assert newest("base") == FrameNews("odom", T0 + S)
    assert newest("camera") == FrameNews("base", None)
    assert newest("odom") is None
    assert newest("nowhere") is None
    tree.add("base", turned(0.0, parent="map"), stamp_ns=T0 + 2 * S)
    assert newest("base") == FrameNews("map", T0 + 2 * S)


def test_nothing_is_extrapolated(tree: Tree) -> None:
    frames = tree.frames
    assert problem_of(lambda: frames.lookup("odom", "camera", T0 + S + 1)) is LookupProblem.FUTURE
    assert problem_of(lambda: frames.lookup("odom", "camera", T0 - 1)) is LookupProblem.PAST
    full = lambda: frames.lookup_full("camera", T0 + 2 * S, "camera", T0, fixed="odom")  # noqa: E731
    assert problem_of(full) is LookupProblem.FUTURE


def test_a_single_sample_holds_for_its_own_time_only(tree: Tree) -> None:
    tree.add("cart", turned(0.0, x=1.0), stamp_ns=T0)
    torch.testing.assert_close(tree.frames.lookup("odom", "cart", T0), matrix(0.0, 1.0, 0.0))
    assert problem_of(lambda: tree.frames.lookup("odom", "cart", T0 + 1)) is LookupProblem.FUTURE


def test_unknown_frames_and_separate_trees_are_told_apart(tree: Tree) -> None:
    tree.add("moon", turned(0.0, parent="space"), stamp_ns=T0)
    assert problem_of(lambda: tree.frames.lookup("odom", "nowhere", T0)) is LookupProblem.UNKNOWN_FRAME
    assert problem_of(lambda: tree.frames.lookup("odom", "moon", T0)) is LookupProblem.NOT_CONNECTED
    assert problem_of(lambda: tree.frames.latest_common_ns("odom", "moon")) is LookupProblem.NOT_CONNECTED


def test_the_latest_common_time_is_that_of_the_slowest_link(tree: Tree) -> None:
    tree.add("hand", turned(0.0, parent="base"), stamp_ns=T0 + S // 4)
    assert tree.frames.latest_common_ns("odom", "base") == T0 + S
    assert tree.frames.latest_common_ns("table", "hand") == T0 + S // 4


def test_history_goes_back_ten_seconds_and_not_for_ever(tree: Tree) -> None:
    for i in range(2, 40):
        tree.add("base", turned(0.0, x=float(i)), stamp_ns=T0 + i * S)
    assert float(tree.frames.lookup("odom", "base", T0 + 30 * S)[0, 3]) == pytest.approx(30.0)
    assert problem_of(lambda: tree.frames.lookup("odom", "base", T0 + S)) is LookupProblem.PAST


def test_when_time_begins_again_only_static_frames_are_left(tree: Tree) -> None:
    tree.frames.forget_after(T0 - 100 * S)
    torch.testing.assert_close(tree.frames.lookup("odom", "table", T0), matrix(0.0, 5.0, 0.0))
    with pytest.raises(TransformLookupError):
        tree.frames.lookup("odom", "base", T0)


def test_random_trees_agree_with_the_product_of_their_matrices(tree: Tree) -> None:
    generator = torch.Generator().manual_seed(4)
    T_root = {"odom": torch.eye(4, dtype=torch.float64)}
    for i in range(12):
        parent = list(T_root)[int(torch.randint(len(T_root), (), generator=generator))]
        T = exp_se3(torch.randn(6, generator=generator, dtype=torch.float64))
        quaternion = tuple(quaternion_xyzw_from_matrix(T[:3, :3]).tolist())
        tree.add(f"f{i}", FrameSample(parent, tuple(T[:3, 3].tolist()), quaternion), stamp_ns=T0, is_static=i % 2 == 0)
        T_root[f"f{i}"] = T_root[parent] @ T
    for a in T_root:
        for b in T_root:
            expected = inverse(T_root[a]) @ T_root[b]
            torch.testing.assert_close(tree.frames.lookup(a, b, T0), expected, atol=1e-9, rtol=0.0)


def test_a_transform_on_its_way_is_waited_for() -> None:
    tree = TransformTree()
    tree.add("base", turned(0.0), stamp_ns=T0)
    waiting = WaitingLookups(tree, timeout_s=lambda: 10.0)
    found: list[Tensor] = []
    asker = threading.Thread(target=lambda: found.append(waiting.lookup("odom", "base", T0 + S // 2)))
    asker.start()
    tree.add("base", turned(0.0, x=1.0), stamp_ns=T0 + S)
    waiting.notify()
    asker.join(5.0)
    assert float(found[0][0, 3]) == pytest.approx(0.5)


class Counting(TransformTree):
    """Counts how often it is asked: more than once in one lookup means that somebody waited."""

    asked = 0

    def lookup(self, target: str, source: str, stamp_ns: int) -> Tensor:
        self.asked += 1
        return super().lookup(target, source, stamp_ns)


def test_what_was_waited_for_in_vain_is_not_waited_for_again_until_it_comes() -> None:
    tree = Counting()
    waiting = WaitingLookups(tree, timeout_s=lambda: 0.03)

    def waits(stamp_ns: int) -> bool:
        tree.asked = 0
        with pytest.raises(TransformLookupError):
            waiting.lookup("odom", "base", stamp_ns)
        return tree.asked > 1

    assert waits(T0), "an unknown frame is waited for once"
    assert not waits(T0 + S)
    tree.add("base", turned(0.0), stamp_ns=T0)
    waiting.begin_picture()
    waiting.lookup("odom", "base", T0)
    assert waits(T0 + S), "a late sample is waited for at every new time"
    assert not waits(T0 + S), "but once for all poses of that time"
    assert not waits(T0 - S), "what is past does not come any more"


def test_many_frames_that_do_not_come_cost_one_picture_no_more_than_one() -> None:
    tree = Counting()
    waiting = WaitingLookups(tree, timeout_s=lambda: 0.03)
    for picture in range(2):
        waiting.begin_picture()
        tree.asked = 0
        for i in range(50):
            with pytest.raises(TransformLookupError):
                waiting.lookup("odom", f"unknown_{picture}_{i}", T0)
        assert 50 < tree.asked < 60, "the first is waited for, the others are looked up once each"


def test_closing_ends_every_wait() -> None:
    waiting = WaitingLookups(TransformTree(), timeout_s=lambda: 60.0)
    problems: list[LookupProblem] = []
    asker = threading.Thread(target=lambda: problems.append(problem_of(lambda: waiting.lookup("a", "b", T0))))
    asker.start()
    waiting.close()
    asker.join(5.0)
    assert problems == [LookupProblem.UNKNOWN_FRAME]


def test_the_listener_hears_moving_and_latched_static_frames(graph: Graph, cube_mesh: Path) -> None:
    from geometry_msgs.msg import TransformStamped
    from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
    from rclpy.node import Node
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage

    from rnnpose_ros.ros.messages import stamp_message
    from rnnpose_ros.ros.tf_listener import TfListener

    def message(child: str, parent: str, x: float, stamp_ns: int) -> Any:
        transform = TransformStamped(child_frame_id=child)
        transform.header.frame_id, transform.header.stamp = parent, stamp_message(stamp_ns)
        transform.transform.translation.x = x
        return TFMessage(transforms=[transform])

    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    static = graph.node.create_publisher(TFMessage, "/tf_static", latched)
    moving = graph.node.create_publisher(TFMessage, "/tf", 10)
    static.publish(message("camera", "base", 0.1, 0))

    class Listening(Node):
        def close(self) -> None:
            self.listener.close()

    node = Listening("listening", context=graph.context)
    node.listener = TfListener(
        node,
        timeout_s=lambda: 5.0,
        callback_group=MutuallyExclusiveCallbackGroup(),
        reporter=Reporter(node.get_logger()),
    )
    graph.start_node(node)
    graph.wait_for(lambda: moving.get_subscription_count() > 1, "the listener and the graph's own to be there")
    for i in range(2):
        moving.publish(message("base", "odom", float(i), T0 + i * S))
    T = node.listener.frames.lookup("odom", "camera", T0 + S // 2)
    assert float(T[0, 3]) == pytest.approx(0.6)
