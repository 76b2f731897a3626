"""The tree of coordinate frames over time: which frame is where in which, now and some seconds ago.

The rules are those of tf2: every frame has one parent at a time, moving frames are interpolated between two
samples and never extrapolated, static ones hold always, and two times can be joined by a frame that does not
move in between. Safe between threads.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.errors import InputError
from rnnpose_ros.geometry.se3 import inverse
from rnnpose_ros.tracking.frame_history import RESTART_NS, FrameHistory, FrameLink, FrameSample

HISTORY_S = 10.0
"""How far back moving frames are known."""
MAX_FRAMES = 5000
"""More frames than any robot has: further names are not taken in."""
_NS_PER_S = 1_000_000_000
_MIN_NORM = 1e-6
"""Of a quaternion, and the inverse of the largest: beyond, nobody meant a rotation."""


class LookupProblem(Enum):
    """Why a transform is not to be had."""

    UNKNOWN_FRAME = "unknown frame"
    NOT_CONNECTED = "not connected"
    PAST = "before the history"
    FUTURE = "not known yet"


class TransformLookupError(InputError):
    """A transform that is not to be had, with the reason."""

    def __init__(self, problem: LookupProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class FrameNews:
    """The newest that was said of a frame."""

    parent: str
    stamp_ns: int | None
    """None for a static frame."""


@dataclass(frozen=True, slots=True)
class _Climb:
    """The way from a frame towards the root: its ancestors, itself first, and what stopped the climb."""

    frames: tuple[str, ...]
    links: tuple[FrameLink, ...]
    """``links[i]`` leads from ``frames[i]`` to ``frames[i + 1]``."""
    stopped: tuple[LookupProblem, str] | None


class TransformTree:
    """Keeps what publishers say about frames and answers where one is in another.

    Args:
        history_s: How far back moving frames are known.
    """

    def __init__(self, *, history_s: float = HISTORY_S) -> None:
        self._history_ns = round(history_s * _NS_PER_S)
        self._lock = threading.Lock()
        self._static: dict[str, FrameSample] = {}
        self._moving: dict[str, FrameHistory] = {}

    def add(self, child: str, sample: FrameSample, *, stamp_ns: int, is_static: bool = False) -> bool:
        """Take in where a frame is; False for what says nothing new or cannot be (a frame in itself, NaN, ...).

        A static frame stays static whatever moving samples say, and its last sample holds for all time.
        """
        if not is_possible(child, sample):
            return False
        with self._lock:
            known = child in self._static or child in self._moving
            if not known and len(self._static) + len(self._moving) >= MAX_FRAMES:
                return False
            if is_static:
                self._moving.pop(child, None)
                self._static[child] = sample
                return True
            if child in self._static:
                return False
            history = self._moving.setdefault(child, FrameHistory(history_ns=self._history_ns))
            return history.add(stamp_ns, sample)

    def clear(self) -> None:
        """Forget where moving frames were; static ones hold."""
        with self._lock:
            self._moving.clear()

    def forget_after(self, stamp_ns: int) -> None:
        """Time began again at this stamp: forget frames of which only later times are known.

        The others take care of themselves, with the first sample that comes.
        """
        with self._lock:
            void = [child for child, h in self._moving.items() if h.oldest_ns - stamp_ns >= RESTART_NS]
            for child in void:
                del self._moving[child]

    def begin_picture(self) -> None:
        """Nothing to do: nobody waits here."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float[Tensor, "4 4"]:
        """``T_target_source`` at a moment, float64.

        Raises:
            TransformLookupError: Says which frame or link is missing.
        """
        with self._lock:
            up, down = self._meet(target, source, lambda history: history.at(stamp_ns), stamp_ns)
        return inverse(_product(down)) @ _product(up)

    def lookup_full(
        self, target: str, target_ns: int, source: str, source_ns: int, *, fixed: str
    ) -> Float[Tensor, "4 4"]:
        """``T_target_source`` from the source at one moment to the target at another, float64.

        Args:
            target: Frame of the answer.
            target_ns: Its moment.
            source: Frame of what is transformed.
            source_ns: Its moment.
            fixed: Frame that does not move in between, such as odom or map.

        Raises:
            TransformLookupError: See :meth:`lookup`.
        """
        return self.lookup(target, fixed, target_ns) @ self.lookup(fixed, source, source_ns)

    def latest_common_ns(self, target: str, source: str) -> int | None:
        """The newest moment at which :meth:`lookup` answers; None where only static frames lie between.

        Raises:
            TransformLookupError: The frames are unknown or not connected.
        """
        newest: list[int] = []

        def latest(history: FrameHistory) -> FrameLink:
            return FrameLink(history.newest, history.newest, 0.0)

        with self._lock:
            up, down = self._meet(target, source, latest, 0)
            for child, _ in (*up, *down):
                if child in self._moving:
                    newest.append(self._moving[child].newest_ns)
        return min(newest, default=None)

    def newest(self, frame: str) -> FrameNews | None:
        """Where the frame was last said to be; None where nobody said anything."""
        name = _bare(frame)
        with self._lock:
            static, history = self._static.get(name), self._moving.get(name)
            if static is not None:
                return FrameNews(_bare(static.parent), None)
            return None if history is None else FrameNews(_bare(history.newest.parent), history.newest_ns)

    def _meet(
        self, target: str, source: str, link_of: Callable[[FrameHistory], FrameLink | None], stamp_ns: int
    ) -> tuple[list[tuple[str, FrameLink]], list[tuple[str, FrameLink]]]:
        """The links from the source and from the target up to the frame where they meet."""
        from_source = self._climb(source, link_of, stamp_ns)
        from_target = self._climb(target, link_of, stamp_ns)
        places = {frame: place for place, frame in enumerate(from_source.frames)}
        for down, frame in enumerate(from_target.frames):
            if frame in places:
                return _links(from_source, places[frame]), _links(from_target, down)
        raise self._error(target, source, from_target, from_source)

    def _climb(self, frame: str, link_of: Callable[[FrameHistory], FrameLink | None], stamp_ns: int) -> _Climb:
        frames = [_bare(frame)]
        links: list[FrameLink] = []
        while True:
            child = frames[-1]
            static = self._static.get(child)
            history = self._moving.get(child)
            if static is not None:
                link: FrameLink | None = FrameLink(static, static, 0.0)
            elif history is not None:
                link = link_of(history)
                if link is None:
                    return _Climb(tuple(frames), tuple(links), _outside(child, history, stamp_ns))
            else:
                return _Climb(tuple(frames), tuple(links), None)
            assert link is not None
            if _bare(link.parent) in frames:
                loop = f"frame {child!r} is its own ancestor"
                return _Climb(tuple(frames), tuple(links), (LookupProblem.NOT_CONNECTED, loop))
            frames.append(_bare(link.parent))
            links.append(link)

    def _error(self, target: str, source: str, *climbs: _Climb) -> TransformLookupError:
        for frame in (target, source):
            if not self._is_known(_bare(frame)):
                return TransformLookupError(
                    LookupProblem.UNKNOWN_FRAME, f"nobody has published a transform of frame {frame!r}"
                )
        for climb in climbs:
            if climb.stopped is not None:
                problem, reason = climb.stopped
                return TransformLookupError(problem, f"no transform from {source!r} to {target!r}: {reason}")
        roots = " and ".join(repr(climb.frames[-1]) for climb in climbs)
        return TransformLookupError(
            LookupProblem.NOT_CONNECTED, f"{target!r} and {source!r} are in two trees, under {roots}"
        )

    def _is_known(self, frame: str) -> bool:
        if frame in self._static or frame in self._moving:
            return True
        samples = (*self._static.values(), *(history.newest for history in self._moving.values()))
        return any(_bare(sample.parent) == frame for sample in samples)


def _bare(frame: str) -> str:
    """Names of the first ROS had a leading slash; some bridges still send it."""
    return frame.removeprefix("/")


def is_possible(child: str, sample: FrameSample) -> bool:
    """False for a frame in itself or without a name, numbers that are not finite, and what is no rotation."""
    numbers = (*sample.translation, *sample.quaternion_xyzw)
    named = bool(_bare(child)) and bool(_bare(sample.parent)) and _bare(child) != _bare(sample.parent)
    return (
        named and all(map(math.isfinite, numbers)) and _MIN_NORM < math.hypot(*sample.quaternion_xyzw) < 1.0 / _MIN_NORM
    )


def _links(climb: _Climb, count: int) -> list[tuple[str, FrameLink]]:
    return list(zip(climb.frames[:count], climb.links[:count], strict=True))


def _product(links: list[tuple[str, FrameLink]]) -> Float[Tensor, "4 4"]:
    """``T_ancestor_frame`` of the links from a frame upwards."""
    T = torch.eye(4, dtype=torch.float64)
    for _, link in links:
        T = link.matrix() @ T
    return T


def _outside(child: str, history: FrameHistory, stamp_ns: int) -> tuple[LookupProblem, str]:
    if stamp_ns > history.newest_ns:
        gap_s = (stamp_ns - history.newest_ns) / _NS_PER_S
        return LookupProblem.FUTURE, f"the newest sample of {child!r} is {gap_s:.3f} s older than what is asked for"
    gap_s = (history.oldest_ns - stamp_ns) / _NS_PER_S
    return LookupProblem.PAST, f"the oldest sample of {child!r} is {gap_s:.3f} s newer than what is asked for"
