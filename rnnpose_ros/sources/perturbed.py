"""Start poses with noise: what evaluation and the demonstration start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from rnnpose_ros.geometry.perturbation import N1, PoseNoise, perturb
from rnnpose_ros.sources.recorded import FrameClock, RecordedPoses
from rnnpose_ros.types import ImageFrame, PoseHypothesis


class PerturbedPoses:
    """Another source's poses made wrong. A frame's noise depends on the seed and its index alone."""

    def __init__(
        self, source: RecordedPoses, *, clock: FrameClock, seed: int = 0, noise: PoseNoise = N1, scale: float = 1.0
    ) -> None:
        """Choose the noise.

        Args:
            source: The true poses.
            clock: How a picture's stamp tells its index.
            seed: At least 0.
            noise: Standard deviations.
            scale: Factor on all of the noise.
        """
        self._source = source
        self._clock = clock
        self._seed = seed
        self._noise = noise
        self._scale = scale

    def propose(self, frame: ImageFrame) -> list[PoseHypothesis]:
        """Wrong poses for the frame's stamp."""
        return self.propose_at(self._clock.index(frame.stamp_ns))

    def propose_at(self, index: int) -> list[PoseHypothesis]:
        """Wrong poses for a frame: the same at every call, in any order of calls."""
        generator = torch.Generator().manual_seed(_seed_of_frame(self._seed, index))
        return [
            replace(
                hypothesis,
                T_camera_object=perturb(
                    hypothesis.T_camera_object[None], noise=self._noise, scale=self._scale, generator=generator
                )[0],
                source="perturbed",
            )
            for hypothesis in self._source.propose_at(index)
        ]


def _seed_of_frame(seed: int, index: int) -> int:
    """Well mixed, so that neighbouring frames and seeds share nothing."""
    return int(np.random.SeedSequence([seed, max(index, 0)]).generate_state(1, np.uint64)[0] >> np.uint64(1))
