"""The debug pictures of one answer, in full-image coordinates; needs no ROS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.refinement.pictures import colorize, flow_map, overlay, render_picture, similarity_map
from rnnpose_ros.ros.pipeline import FrameAnswer
from rnnpose_ros.tracking.track import LostObject
from rnnpose_ros.types import ObjectModel, RefinementResult, RefinementStatus

ENCODINGS = {
    "overlay": "rgb8",
    "similarity": "32FC1",
    "similarity_color": "rgb8",
    "render": "rgb8",
    "flow": "32FC2",
}
"""Of the pictures, by name."""


class DebugPainter:
    """Draws answers whose results carry their traces; what it draws with is made at the first picture.

    Args:
        objects: By label.
        make_features: See ``loading.picture_features``.
        colormap: One of ``refinement.pictures.COLORMAPS``, asked for at each picture.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel],
        make_features: Callable[[], FeatureCache],
        *,
        colormap: Callable[[], str] = lambda: "turbo",
    ) -> None:
        self._objects = objects
        self._colormap = colormap
        self._make_features = make_features
        self._made: FeatureCache | None = None

    def serve(self, objects: Mapping[str, ObjectModel]) -> None:
        """Draw other objects from now on."""
        self._objects = objects

    def prepare(self) -> None:
        """Make ready what is drawn with."""
        for model in self._objects.values():
            self._features.get(model)

    def draw(self, kind: str, answer: FrameAnswer) -> np.ndarray:
        """One of :data:`ENCODINGS`."""
        drawn: np.ndarray = getattr(self, kind)(answer)
        return drawn

    def overlay(self, answer: FrameAnswer) -> np.ndarray:
        """rgb8: outlines at the start poses (white), what is published (green), and what is lost (red)."""
        results = _tracked(answer) + [_as_lost(item) for item in answer.outcome.lost]
        return overlay(answer.frame, results, self._objects, self._features, initial=answer.starts)

    def similarity(self, answer: FrameAnswer) -> np.ndarray:
        """0..1, how alike render and photograph are."""
        return similarity_map(answer.frame, _tracked(answer))

    def similarity_color(self, answer: FrameAnswer) -> np.ndarray:
        """rgb8: the same in colours; black where there is no object."""
        return colorize(self.similarity(answer), colormap=self._colormap())

    def render(self, answer: FrameAnswer) -> np.ndarray:
        """rgb8: the objects alone, at what is published."""
        return render_picture(answer.frame, _tracked(answer), self._objects, self._features)

    def flow(self, answer: FrameAnswer) -> np.ndarray:
        """32FC2: pixels from the last reference to where it was found; NaN where there is no object."""
        return flow_map(answer.frame, _tracked(answer))

    @property
    def _features(self) -> FeatureCache:
        if self._made is None:
            self._made = self._make_features()
        return self._made


def _tracked(answer: FrameAnswer) -> list[RefinementResult]:
    return [item.result for item in answer.outcome.tracked]


def _as_lost(item: LostObject) -> RefinementResult:
    """Solved, but not believed."""
    return dataclasses.replace(item.result, status=RefinementStatus.LOW_SCORE)
