"""Where start poses come from."""

from __future__ import annotations

from typing import Protocol

from rnnpose_ros.types import ImageFrame, PoseHypothesis


class PoseSource(Protocol):
    """Anything that says where objects might be: a recording, a detector, a pose network.

    Constructing loads what it needs; ``propose`` only computes.
    """

    def propose(self, frame: ImageFrame) -> list[PoseHypothesis]:
        """Start poses in the frame's camera, best first; empty where nothing is seen or known.

        Args:
            frame: One picture. A source that needs no pixels reads only its stamp.
        """
        ...
