"""Where one frame is in another, whoever keeps the tree; needs no ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.ros.messages import stamp_ns
from rnnpose_ros.ros.reasons import Reason
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.tracking.frame_history import FrameSample
from rnnpose_ros.tracking.transform_tree import (
    FrameNews,
    LookupProblem,
    TransformLookupError,
    TransformTree,
    is_possible,
)

_POLL_S = 0.02
_MOST_REMEMBERED = 256


@runtime_checkable
class FrameLookups(Protocol):
    """A tree of frames; :class:`~rnnpose_ros.tracking.transform_tree.TransformTree` is one."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float[Tensor, "4 4"]:
        """``T_target_source`` at a moment, or a ``TransformLookupError``."""
        ...

    def lookup_full(
        self, target: str, target_ns: int, source: str, source_ns: int, *, fixed: str
    ) -> Float[Tensor, "4 4"]:
        """``T_target_source`` from one moment to another, over a frame that does not move in between."""
        ...

    def latest_common_ns(self, target: str, source: str) -> int | None:
        """The newest moment at which :meth:`lookup` answers; None where only static frames lie between."""
        ...

    def newest(self, frame: str) -> FrameNews | None:
        """The last that was said of a frame; None where nobody said anything."""
        ...

    def forget_after(self, stamp_ns: int) -> None:
        """Time began again at this stamp: what was said about later times is void."""
        ...

    def begin_picture(self) -> None:
        """What is looked up from here on is for another picture."""
        ...


def frame_sample(message: Any) -> FrameSample:
    """What a geometry_msgs/TransformStamped says, in plain numbers."""
    t, q = message.transform.translation, message.transform.rotation
    return FrameSample(message.header.frame_id, (t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def take_in(tree: TransformTree, transforms: Iterable[Any], *, is_static: bool, reporter: Reporter) -> None:
    """Put the transforms of a message into the tree; those that cannot be are said and counted."""
    for transform in transforms:
        child, sample = transform.child_frame_id, frame_sample(transform)
        if is_possible(child, sample):
            tree.add(child, sample, stamp_ns=stamp_ns(transform.header.stamp), is_static=is_static)
        else:
            reporter.refuse(
                Reason.BAD_TF,
                f"a transform of {child!r} in {sample.parent!r} cannot be: it needs two different names, finite "
                f"numbers and a rotation, and has {sample.translation}, {sample.quaternion_xyzw}",
            )


class WaitingLookups:
    """Waits a moment for transforms that are on their way.

    A transform of the picture's own time arrives a little after the picture. What was waited for in vain is
    not waited for again until it has come: a frame that nobody publishes must not slow every picture down, nor must
    many of them add up for one.

    Args:
        frames: Who answers.
        timeout_s: Longest wait for all lookups of one picture; asked each time.
    """

    def __init__(self, frames: FrameLookups, *, timeout_s: Callable[[], float]) -> None:
        self._frames = frames
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._closed = False
        self._waited_s = 0.0
        self._in_vain: set[tuple[Any, ...]] = set()

    def notify(self) -> None:
        """Something new is known: who waits looks again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float[Tensor, "4 4"]:
        """See :class:`FrameLookups`."""
        return self._wait((target, source), (stamp_ns,), lambda: self._frames.lookup(target, source, stamp_ns))

    def lookup_full(
        self, target: str, target_ns: int, source: str, source_ns: int, *, fixed: str
    ) -> Float[Tensor, "4 4"]:
        """See :class:`FrameLookups`."""
        return self._wait(
            (target, source, fixed),
            (target_ns, source_ns),
            lambda: self._frames.lookup_full(target, target_ns, source, source_ns, fixed=fixed),
        )

    def latest_common_ns(self, target: str, source: str) -> int | None:
        """See :class:`FrameLookups`; never waits."""
        return self._frames.latest_common_ns(target, source)

    def newest(self, frame: str) -> FrameNews | None:
        """See :class:`FrameLookups`; never waits."""
        return self._frames.newest(frame)

    def forget_after(self, stamp_ns: int) -> None:
        """See :class:`FrameLookups`."""
        self._frames.forget_after(stamp_ns)

    def begin_picture(self) -> None:
        """See :class:`FrameLookups`: there is patience again."""
        self._waited_s = 0.0

    def _wait(self, names: tuple[str, ...], stamps_ns: tuple[int, ...], look: Callable[[], Tensor]) -> Tensor:
        began = time.monotonic()
        deadline = began + self._timeout_s() - self._waited_s
        while True:
            try:
                found = look()
            except TransformLookupError as error:
                # A missing frame is missing at all times; a sample that is late is late for one time only.
                is_late = error.problem is LookupProblem.FUTURE
                key = (*names, *stamps_ns) if is_late else names
                left_s = deadline - time.monotonic()
                if error.problem is LookupProblem.PAST or key in self._in_vain or self._closed:
                    raise
                if left_s <= 0.0:
                    if len(self._in_vain) >= _MOST_REMEMBERED:
                        self._in_vain.clear()
                    self._in_vain.add(key)
                    self._waited_s += time.monotonic() - began
                    raise
                with self._changed:
                    # tf2's own buffer tells nobody, so look again now and then.
                    self._changed.wait(min(left_s, _POLL_S))
            else:
                self._in_vain.discard(names)
                self._waited_s += time.monotonic() - began
                return found
