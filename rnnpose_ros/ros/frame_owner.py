"""Whether the frames that this node publishes are its own: a frame with two publishers jumps between them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rnnpose_ros.ros.frame_lookups import FrameLookups
from rnnpose_ros.ros.message_types import TransformFields
from rnnpose_ros.ros.messages import stamp_ns
from rnnpose_ros.tracking.transform_tree import FrameNews

_PERIOD_S = 1.0
"""Between two looks at a frame that was ours so far."""
_REMEMBERED = 256
"""Transforms of a frame: what was sent comes back over /tf a moment later."""


@dataclass(slots=True)
class _OwnFrame:
    """What was said of one frame."""

    sent: deque[FrameNews] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    looked_at_s: float = -_PERIOD_S


class FrameOwner:
    """Remembers what was sent, and finds what others say of the same frames.

    Args:
        frames: That hear all of /tf, what was sent by this node included.
        now_s: A clock that never goes back.
    """

    def __init__(self, frames: FrameLookups, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._frames = frames
        self._now_s = now_s
        self._own: dict[str, _OwnFrame] = {}

    def rivals(self, transforms: Sequence[TransformFields]) -> list[tuple[str, FrameNews]]:
        """Frames of these names that somebody else published last, and what was said of them; then remembers these.

        Args:
            transforms: About to be sent.
        """
        found: list[tuple[str, FrameNews]] = []
        for transform in transforms:
            child = transform.child_frame_id
            own = self._own.setdefault(child, _OwnFrame())
            if self._now_s() - own.looked_at_s >= _PERIOD_S:
                own.looked_at_s = self._now_s()
                news = self._frames.newest(child)
                if news is not None and news not in own.sent:
                    found.append((child, news))
            parent = transform.header.frame_id.removeprefix("/")
            own.sent.append(FrameNews(parent, stamp_ns(transform.header.stamp)))
        return found
