"""The tree of frames as /tf and /tf_static tell it: by tf2_ros where the machine has it, else by our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from jaxtyping import Float
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage
from torch import Tensor

from rnnpose_ros.ros.frame_lookups import WaitingLookups, take_in
from rnnpose_ros.ros.messages import matrix_from_transform
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.tracking.transform_tree import (
    HISTORY_S,
    FrameNews,
    LookupProblem,
    TransformLookupError,
    TransformTree,
)

_QOS = QoSProfile(depth=100)
_STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class TfListener:
    """Fills a tree of frames from this node's graph, and answers where one is in another.

    Args:
        node: Where the subscriptions live.
        timeout_s: Longest wait for transforms on their way to one picture; asked at each lookup.
        callback_group: Of the subscriptions.
        reporter: Told of transforms that cannot be.
    """

    def __init__(
        self, node: Node, *, timeout_s: Callable[[], float], callback_group: CallbackGroup, reporter: Reporter
    ) -> None:
        self._reporter = reporter
        try:
            import tf2_ros
        except ImportError:
            tree = TransformTree()
            clear = tree.clear
            self.frames = WaitingLookups(tree, timeout_s=timeout_s)
            subscriptions = [
                node.create_subscription(
                    TFMessage, topic, self._filler(tree, is_static=is_static), qos, callback_group=callback_group
                )
                for topic, qos, is_static in (("/tf", _QOS, False), ("/tf_static", _STATIC_QOS, True))
            ]
            self._stop_listening = lambda: [node.destroy_subscription(each) for each in subscriptions]
        else:
            buffer = tf2_ros.Buffer(cache_time=Duration(seconds=HISTORY_S), node=node)
            listener = tf2_ros.TransformListener(buffer, node, spin_thread=False)
            self._stop_listening = listener.unregister
            clear = buffer.clear
            self.frames = WaitingLookups(Tf2Frames(buffer), timeout_s=timeout_s)
        # Only a simulated clock jumps: a bag that starts again.
        back = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1.0), on_clock_change=False)
        self._jump = node.get_clock().create_jump_callback(back, post_callback=lambda _: clear())

    def stop_waiting(self) -> None:
        """Nobody waits for a transform any more."""
        self.frames.close()

    def close(self) -> None:
        """The same, and nothing is listened to any more."""
        self.stop_waiting()
        self._stop_listening()
        self._jump.unregister()

    def _filler(self, tree: TransformTree, *, is_static: bool) -> Callable[[TFMessage], None]:
        def fill(message: TFMessage) -> None:
            take_in(tree, message.transforms, is_static=is_static, reporter=self._reporter)
            self.frames.notify()

        return fill


class Tf2Frames:
    """A ``tf2_ros.Buffer`` as :class:`~rnnpose_ros.ros.frame_lookups.FrameLookups`."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float[Tensor, "4 4"]:
        """See :class:`FrameLookups`."""
        time = Time(nanoseconds=stamp_ns)
        return self._ask(target, source, stamp_ns, lambda: self._buffer.lookup_transform(target, source, time))

    def lookup_full(
        self, target: str, target_ns: int, source: str, source_ns: int, *, fixed: str
    ) -> Float[Tensor, "4 4"]:
        """See :class:`FrameLookups`."""
        # In two steps, so that an error names the half that is missing.
        return self.lookup(target, fixed, target_ns) @ self.lookup(fixed, source, source_ns)

    def latest_common_ns(self, target: str, source: str) -> int | None:
        """See :class:`FrameLookups`."""
        newest = self._ask(target, source, 0, lambda: self._buffer.get_latest_common_time(target, source))
        return newest.nanoseconds or None

    def newest(self, frame: str) -> FrameNews | None:
        """See :class:`FrameLookups`."""
        name = frame.removeprefix("/")
        known = yaml.safe_load(self._buffer.all_frames_as_yaml()) or {}
        # An empty buffer says [] instead of an empty mapping.
        if not isinstance(known, dict) or name not in known:
            return None
        parent = str(known[name]["parent"])
        return FrameNews(parent, self.latest_common_ns(parent, name))

    def forget_after(self, stamp_ns: int) -> None:
        """See :class:`FrameLookups`; tf2 forgets all or nothing, and would refuse what comes as too old."""
        self._buffer.clear()

    def begin_picture(self) -> None:
        """Nothing to do: nobody waits here."""

    def _ask(self, target: str, source: str, stamp_ns: int, ask: Callable[[], Any]) -> Any:
        import tf2_ros

        try:
            answer = ask()
        except tf2_ros.LookupException as error:
            raise TransformLookupError(LookupProblem.UNKNOWN_FRAME, str(error)) from error
        except tf2_ros.ConnectivityException as error:
            raise TransformLookupError(LookupProblem.NOT_CONNECTED, str(error)) from error
        except tf2_ros.ExtrapolationException as error:
            newest = self._buffer.get_latest_common_time(target, source).nanoseconds
            problem = LookupProblem.FUTURE if stamp_ns > newest else LookupProblem.PAST
            raise TransformLookupError(problem, str(error)) from error
        return matrix_from_transform(answer) if hasattr(answer, "transform") else answer
