"""How often wrong poses are published, and how often right ones are not: the tracker's judgement, on traps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rnnpose_ros.evaluation.score_quality import CHI2_6_95, RIGHT_DIAMETERS
from rnnpose_ros.evaluation.trap_scenes import TrapEpisode, TrapPicture, seen_again
from rnnpose_ros.evaluation.trap_trials import TrapTrial, pose_errors, trap_trial
from rnnpose_ros.tracking.engine import Engine
from rnnpose_ros.tracking.programme import refine_starts
from rnnpose_ros.tracking.tracker import Tracker
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ObjectModel


@runtime_checkable
class Episodes(Protocol):
    """Where the pictures come from; :class:`~rnnpose_ros.evaluation.trap_scenes.TrapScenes` is one."""

    @property
    def objects(self) -> Mapping[str, ObjectModel]:
        """By label, of the last episode."""
        ...

    def episode(self, number: int) -> TrapEpisode:
        """The episode of this number."""
        ...


@dataclass(frozen=True, slots=True)
class TrapAnswer:
    """What became of one start pose or track in one picture."""

    kind: str
    episode: int
    picture: int
    is_fair: bool
    published: bool
    status: str
    score: float
    error_diameters: float
    """NaN where nothing of the object can be seen."""
    mahalanobis_squared: float
    """Of the error under the published covariance; NaN where either is missing."""

    @property
    def is_right(self) -> bool:
        """Within :data:`RIGHT_DIAMETERS` of a truth that can be seen."""
        return self.error_diameters < RIGHT_DIAMETERS


@dataclass(frozen=True, slots=True)
class TrapPictureResult:
    """One picture: what was published, and the rest that was not."""

    kind: str
    is_fair: bool
    answers: tuple[TrapAnswer, ...]
    trials: tuple[TrapTrial, ...] = ()
    """What the engine gave for every start, before the tracker judged it."""


def run_traps(
    engine: Engine, scenes: Episodes, *, pictures: int, config: TrackingConfig, follow: int = 0
) -> Iterator[TrapPictureResult]:
    """Plays episodes, each to a fresh tracker, until so many pictures were seen.

    Args:
        engine: With its weights.
        scenes: Of the pictures.
        pictures: At least so many; the last episode is finished.
        config: What is published.
        follow: As long as something is published, an episode goes on for so many further pictures at most.
    """
    seen = number = 0
    while seen < pictures:
        episode = scenes.episode(number)
        for result in _play(engine, episode, scenes.objects, config, number=number, follow=follow):
            yield result
            seen += 1
        number += 1


def _pictures(episode: TrapEpisode, follow: int) -> Iterator[TrapPicture]:
    yield from episode.pictures
    count = len(episode.pictures)
    yield from (seen_again(episode, index) for index in range(count, count + follow))


def _play(
    engine: Engine,
    episode: TrapEpisode,
    objects: Mapping[str, ObjectModel],
    config: TrackingConfig,
    *,
    number: int,
    follow: int,
) -> Iterator[TrapPictureResult]:
    tracker = Tracker(config, objects=objects)
    model = objects[episode.label]
    for index, picture in enumerate(_pictures(episode, follow)):
        starts = tracker.begin_frame(picture.frame.stamp_ns, picture.starts)
        results = refine_starts(engine, picture.frame, starts, objects, config)
        trials = tuple(
            trap_trial(result, start, picture, model, kind=episode.kind, episode=number, index=index)
            for start, result in zip(starts, results, strict=True)
        )
        outcome = tracker.end_frame(results)
        told = [(item.result, True) for item in outcome.tracked] + [(item.result, False) for item in outcome.lost]
        answers = []
        for result, published in told:
            error, squared = pose_errors(result, picture, model)
            answers.append(
                TrapAnswer(
                    kind=episode.kind,
                    episode=number,
                    picture=index,
                    is_fair=picture.is_fair,
                    published=published,
                    status=result.status.value,
                    score=result.score,
                    error_diameters=error,
                    mahalanobis_squared=squared,
                )
            )
        if looks := tracker.begin_look():
            tracker.end_look(refine_starts(engine, picture.frame, looks, objects, config))
        yield TrapPictureResult(episode.kind, picture.is_fair, tuple(answers), trials)
        if index + 1 >= len(episode.pictures) and not outcome.tracked:
            return


@dataclass(frozen=True, slots=True)
class TrapSummary:
    """Counts of one kind of pictures, or of all."""

    pictures: int
    published: int
    """Poses."""
    wrong: int
    """Published, and farther from the truth than :data:`RIGHT_DIAMETERS` or of something that cannot be seen."""
    fair: int
    """Pictures that an answer is due for."""
    answered: int
    """Of them, with a right pose published."""
    covered: int
    """Published right poses whose truth lies in the covariance's 95 % ellipsoid."""
    measured: int
    """Published right poses with a covariance."""

    @property
    def availability(self) -> float:
        """Of the fair pictures, those with a right pose; NaN without any."""
        return self.answered / self.fair if self.fair else math.nan

    @property
    def coverage(self) -> float:
        """Of the 95 % ellipsoid; NaN without any."""
        return self.covered / self.measured if self.measured else math.nan


def summarize_traps(results: Sequence[TrapPictureResult]) -> TrapSummary:
    """The counts."""
    published = [answer for result in results for answer in result.answers if answer.published]
    right = [answer for answer in published if answer.is_right]
    measured = [answer for answer in right if math.isfinite(answer.mahalanobis_squared)]
    fair = [result for result in results if result.is_fair]
    return TrapSummary(
        pictures=len(results),
        published=len(published),
        wrong=len(published) - len(right),
        fair=len(fair),
        answered=sum(any(a.published and a.is_right for a in result.answers) for result in fair),
        covered=sum(answer.mahalanobis_squared < CHI2_6_95 for answer in measured),
        measured=len(measured),
    )
