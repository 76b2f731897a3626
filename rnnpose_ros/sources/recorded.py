"""Start poses from a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.types import ImageFrame, PoseHypothesis


@dataclass(frozen=True, slots=True)
class FrameClock:
    """The stamps of a recording that is played at an even rate."""

    fps: float
    start_ns: int = 0

    def stamp_ns(self, index: int) -> int:
        """When a frame is stamped."""
        return self.start_ns + round(index * 1e9 / self.fps)

    def index(self, stamp_ns: int) -> int:
        """Which frame has this stamp, the nearest one."""
        return round((stamp_ns - self.start_ns) * self.fps / 1e9)


class RecordedPoses:
    """Proposes the recorded pose of each frame that has one."""

    def __init__(
        self, poses: Mapping[int, Float[Tensor, "4 4"]], *, label: str, clock: FrameClock, source: str = "recorded"
    ) -> None:
        """Keep the poses.

        Args:
            poses: T_camera_object by frame index.
            label: Of the one object.
            clock: How a picture's stamp tells its index.
            source: What the hypotheses say they come from.
        """
        self._poses = poses
        self._label = label
        self._clock = clock
        self._source = source

    def propose(self, frame: ImageFrame) -> list[PoseHypothesis]:
        """The pose recorded for the frame's stamp, or nothing."""
        return self.propose_at(self._clock.index(frame.stamp_ns))

    def propose_at(self, index: int) -> list[PoseHypothesis]:
        """The pose recorded for a frame, or nothing."""
        if index not in self._poses:
            return []
        return [PoseHypothesis(self._label, self._poses[index].double(), source=self._source)]
