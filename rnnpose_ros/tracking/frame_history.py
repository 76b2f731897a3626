"""What was said about one frame over the last seconds, and where it was in between."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.rotations import matrix_from_quaternion_xyzw, slerp
from rnnpose_ros.geometry.se3 import from_rotation_translation

RESTART_NS = 1_000_000_000
"""A stamp that lies this far before the frame's newest one means that time began again."""
MAX_SAMPLES = 20_000
"""Of one frame: ten seconds at 2 kHz."""


@dataclass(frozen=True, slots=True)
class FrameSample:
    """Where a frame is in its parent, in plain numbers: many come, few are looked up."""

    parent: str
    translation: tuple[float, float, float]
    """Metres."""
    quaternion_xyzw: tuple[float, float, float, float]
    """Of any length but zero."""


@dataclass(frozen=True, slots=True)
class FrameLink:
    """A frame in its parent at one moment: between two samples, or exactly at one."""

    older: FrameSample
    newer: FrameSample
    fraction: float
    """0 at the older, 1 at the newer."""

    @property
    def parent(self) -> str:
        """The frame that the transform leads to."""
        return self.older.parent

    def matrix(self) -> Float[Tensor, "4 4"]:
        """``T_parent_frame``: positions on a line, rotations on the shorter arc, both at constant speed."""
        ends = torch.tensor([self.older.translation, self.newer.translation], dtype=torch.float64)
        turns = torch.tensor([self.older.quaternion_xyzw, self.newer.quaternion_xyzw], dtype=torch.float64)
        turns = torch.nn.functional.normalize(turns, dim=-1)
        fraction = torch.tensor(self.fraction, dtype=torch.float64)
        R = matrix_from_quaternion_xyzw(slerp(turns[0], turns[1], fraction))
        return from_rotation_translation(R, torch.lerp(ends[0], ends[1], fraction))


class FrameHistory:
    """The samples of one moving frame, in the order of their stamps.

    Args:
        history_ns: How long before the newest sample others are kept.
    """

    def __init__(self, *, history_ns: int) -> None:
        self._history_ns = history_ns
        self._stamps_ns: list[int] = []
        self._samples: list[FrameSample] = []

    @property
    def oldest_ns(self) -> int:
        """Stamp of the first sample that is kept."""
        return self._stamps_ns[0]

    @property
    def newest_ns(self) -> int:
        """Stamp of the last sample."""
        return self._stamps_ns[-1]

    @property
    def newest(self) -> FrameSample:
        """The last sample."""
        return self._samples[-1]

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def add(self, stamp_ns: int, sample: FrameSample) -> bool:
        """Keep a sample, late ones at their place; False for a stamp that is known already.

        When time began again, what was said about later times is void and goes.
        """
        if self._stamps_ns and self.newest_ns - stamp_ns >= RESTART_NS:
            self._cut(bisect.bisect_right(self._stamps_ns, stamp_ns), len(self._stamps_ns))
        place = bisect.bisect_left(self._stamps_ns, stamp_ns)
        if place < len(self._stamps_ns) and self._stamps_ns[place] == stamp_ns:
            return False
        self._stamps_ns.insert(place, stamp_ns)
        self._samples.insert(place, sample)
        too_old = bisect.bisect_left(self._stamps_ns, self.newest_ns - self._history_ns)
        # Cut in blocks: taking the first off a list moves all the others.
        if too_old > len(self._stamps_ns) // 4 or len(self._stamps_ns) > MAX_SAMPLES:
            self._cut(0, max(too_old, len(self._stamps_ns) - 3 * MAX_SAMPLES // 4))
        return True

    def at(self, stamp_ns: int) -> FrameLink | None:
        """The frame at a moment; None before the first sample and after the last."""
        place = bisect.bisect_left(self._stamps_ns, stamp_ns)
        if place == len(self._stamps_ns):
            return None
        newer, newer_ns = self._samples[place], self._stamps_ns[place]
        if newer_ns == stamp_ns:
            return FrameLink(newer, newer, 0.0)
        if place == 0:
            return None
        older, older_ns = self._samples[place - 1], self._stamps_ns[place - 1]
        if older.parent != newer.parent:
            # It changed its parent in between: until then the older one holds.
            return FrameLink(older, older, 0.0)
        return FrameLink(older, newer, (stamp_ns - older_ns) / (newer_ns - older_ns))

    def _cut(self, start: int, end: int) -> None:
        del self._stamps_ns[start:end]
        del self._samples[start:end]
