"""Who is who from picture to picture, what each refinement starts from, and when an object is lost.

No ROS and no network: the tracker hands out start poses (:meth:`Tracker.begin_frame`), somebody refines
them, and the tracker judges the results (:meth:`Tracker.end_frame`). What it does not return from there
must not be published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.tracking.association import associate
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult

TRACK_SOURCE = "track"
"""``PoseHypothesis.source`` of a start pose that is the tracker's own last result."""
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    """When an object counts as found and as lost."""

    enabled: bool = param(True, doc="Start each picture from the last result.", dynamic=True)
    cycles: int = param(1, doc="Render cycles for a start from the last result.", bounds=(1, 20), dynamic=True)
    iterations: int = param(4, doc="Iterations per cycle for such a start.", bounds=(1, 20), dynamic=True)
    lost_score: float = param(0.35, doc="A tracked object under this score is lost.", bounds=(0.0, 1.0), dynamic=True)
    recover_score: float = param(
        0.55, doc="A new or lost object must reach this score to be published.", bounds=(0.0, 1.0), dynamic=True
    )
    max_lost_frames: int = param(
        3, doc="Pictures in which a lost object is looked for where it was last seen.", bounds=(1, 100), dynamic=True
    )
    max_gap: float = param(
        1.5,
        doc="After a longer time without pictures all is lost.",
        unit="s",
        bounds=(0.0, 60.0),
        dynamic=True,
    )
    max_instances_per_class: int = param(4, doc="Most objects of one class at a time.", bounds=(1, 64))

    def __post_init__(self) -> None:
        if self.recover_score < self.lost_score:
            raise ConfigError(
                f"tracking.recover_score ({self.recover_score:g}) must not lie under tracking.lost_score "
                f"({self.lost_score:g}): a recovered object would be lost at once"
            )


@dataclass(frozen=True, slots=True)
class InitialPoseConfig:
    """Which poses from outside are believed, and when they mean an object that is tracked already."""

    max_age: float = param(
        1.0,
        doc="Largest time between a pose and its picture.",
        unit="s",
        bounds=(0.001, 9.0),
        dynamic=True,
    )
    min_score: float = param(0.0, doc="Poses of a lower score are not used.", bounds=(0.0, 1.0), dynamic=True)
    association_distance: float = param(
        0.1, doc="A pose farther away means another object.", unit="m", bounds=(0.001, 2.0), dynamic=True
    )
    association_angle: float = param(
        0.8,
        doc="A pose turned farther means another object.",
        unit="rad",
        bounds=(0.01, 3.15),
        dynamic=True,
    )


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """One object that may be published."""

    label: str
    number: int
    """Counts the objects of one class from 0; free numbers are used again."""
    instance_id: str
    """The detector's own name, or ``<label>_<number>``."""
    result: RefinementResult


@dataclass(frozen=True, slots=True, eq=False)
class LostObject:
    """A start pose that led nowhere, or to a score too low to be believed."""

    label: str
    result: RefinementResult


@dataclass(frozen=True, slots=True, eq=False)
class FrameOutcome:
    """What one picture showed."""

    tracked: tuple[TrackedObject, ...]
    lost: tuple[LostObject, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    label: str
    number: int
    upstream_id: str
    T_camera_object: Tensor
    score: float
    lost_frames: int = 0

    @property
    def is_lost(self) -> bool:
        return self.lost_frames > 0


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """A start pose and the track it may renew; None for what may become a new track."""

    hypothesis: PoseHypothesis
    track: _Track | None


class Tracker:
    """Keeps one list of tracks; call ``begin_frame`` and ``end_frame`` in turns, from one thread."""

    def __init__(
        self,
        tracking: TrackingConfig | None = None,
        initial_pose: InitialPoseConfig | None = None,
        *,
        objects: Mapping[str, ObjectModel] | None = None,
    ) -> None:
        """
        Args:
            tracking: Thresholds; the defaults when None.
            initial_pose: How poses from outside are associated; the defaults when None.
            objects: Where symmetries are looked up; labels that are missing have none.
        """
        self.tracking = tracking or TrackingConfig()
        self.initial_pose = initial_pose or InitialPoseConfig()
        self._objects = objects or {}
        self._tracks: list[_Track] = []
        self._starts: list[_Start] = []
        self._stamp_ns: int | None = None

    def reset(self) -> None:
        """Forget every object."""
        self._tracks.clear()
        self._stamp_ns = None

    def begin_frame(self, stamp_ns: int, hypotheses: Sequence[PoseHypothesis]) -> list[PoseHypothesis]:
        """The poses to refine on this picture.

        A healthy track starts from its own last result. A pose from outside is added where no track is
        near it, where the near one is lost, or where it carries the name of a track that is elsewhere.

        Args:
            stamp_ns: The picture's.
            hypotheses: What detectors say about it, already judged fresh enough.
        """
        self._age_tracks(stamp_ns)
        believed = [h for h in hypotheses if h.score >= self.initial_pose.min_score]
        own = [_Start(_continue(track), track) for track in self._tracks]
        self._starts = own + [start for h in self._per_label(believed) for start in h]
        return [start.hypothesis for start in self._starts]

    def end_frame(self, results: Sequence[RefinementResult]) -> FrameOutcome:
        """What may be published, from the results of ``begin_frame``'s poses in the same order."""
        if len(results) != len(self._starts):
            raise ValueError(f"expected {len(self._starts)} results, one for each start pose, got {len(results)}")
        outcomes = list(zip(self._starts, results, strict=True))
        self._starts = []
        kept: list[tuple[_Track, RefinementResult]] = []
        lost: list[LostObject] = []
        for track in self._tracks:
            result = max((r for s, r in outcomes if s.track is track), key=self._worth)
            renewed = self._renew(track, result)
            if renewed.is_lost:
                lost.append(LostObject(track.label, result))
            if renewed.lost_frames <= self.tracking.max_lost_frames:
                kept.append((renewed, result))
        for start, result in outcomes:
            if start.track is None and not self._admit(kept, start.hypothesis, result):
                lost.append(LostObject(start.hypothesis.label, result))
        self._tracks = [track for track, _ in kept]
        return FrameOutcome(tuple(_published(t, r) for t, r in kept if not t.is_lost), tuple(lost))

    def _age_tracks(self, stamp_ns: int) -> None:
        last, self._stamp_ns = self._stamp_ns, stamp_ns
        if not self.tracking.enabled or (last is not None and stamp_ns < last):
            self._tracks = []
        elif last is not None and stamp_ns - last > self.tracking.max_gap * _NS_PER_S:
            self._tracks = [replace(track, lost_frames=max(1, track.lost_frames)) for track in self._tracks]

    def _per_label(self, hypotheses: Sequence[PoseHypothesis]) -> list[list[_Start]]:
        labels = dict.fromkeys(h.label for h in hypotheses)
        return [self._starts_from_outside(label, [h for h in hypotheses if h.label == label]) for label in labels]

    def _starts_from_outside(self, label: str, hypotheses: list[PoseHypothesis]) -> list[_Start]:
        tracks = [track for track in self._tracks if track.label == label]
        named = {track.upstream_id: track for track in tracks if track.upstream_id}
        near = self._associate(label, [h.T_camera_object for h in hypotheses], [t.T_camera_object for t in tracks])
        starts: list[_Start] = []
        for index, hypothesis in enumerate(hypotheses):
            by_place = tracks[near[index]] if index in near else None
            track = named.get(hypothesis.instance_id, by_place)
            agrees = track is not None and track is by_place and not track.is_lost
            if not agrees:
                starts.append(_Start(hypothesis, track))
        return starts

    def _associate(self, label: str, poses_a: list[Tensor], poses_b: list[Tensor]) -> dict[int, int]:
        model = self._objects.get(label)
        return associate(
            poses_a,
            poses_b,
            distance=self.initial_pose.association_distance,
            angle=self.initial_pose.association_angle,
            symmetries=None if model is None else model.symmetries,
        )

    def _worth(self, result: RefinementResult) -> float:
        return result.score if result.is_usable else -1.0

    def _renew(self, track: _Track, result: RefinementResult) -> _Track:
        needed = self.tracking.recover_score if track.is_lost else self.tracking.lost_score
        if self._worth(result) < needed:
            return replace(track, lost_frames=track.lost_frames + 1)
        return replace(track, T_camera_object=result.T_camera_object, score=result.score, lost_frames=0)

    def _admit(
        self, kept: list[tuple[_Track, RefinementResult]], hypothesis: PoseHypothesis, result: RefinementResult
    ) -> bool:
        """Make a new track of a result that no track stands behind; False when it is not believed."""
        if self._worth(result) < self.tracking.recover_score:
            return False
        label = hypothesis.label
        peers = [i for i, (track, _) in enumerate(kept) if track.label == label]
        same = self._associate(label, [result.T_camera_object], [kept[i][0].T_camera_object for i in peers])
        weakest = min(peers, key=lambda i: self._standing(kept[i][0]), default=None)
        full = len(peers) >= self.tracking.max_instances_per_class
        replaces_weakest = weakest is not None and (full or kept[weakest][0].is_lost)
        rival = peers[same[0]] if same else weakest if replaces_weakest else None
        if rival is None:
            number = min(set(range(len(peers) + 1)) - {kept[i][0].number for i in peers})
            kept.append((_new_track(hypothesis, number, result), result))
            return True
        if self._standing(kept[rival][0]) >= result.score:
            # A duplicate of a better track is no loss; an object that found no place is one.
            return bool(same)
        kept[rival] = (_new_track(hypothesis, kept[rival][0].number, result), result)
        return True

    def _standing(self, track: _Track) -> float:
        return -1.0 if track.is_lost else track.score


def _continue(track: _Track) -> PoseHypothesis:
    return PoseHypothesis(
        label=track.label,
        T_camera_object=track.T_camera_object,
        score=track.score,
        source=TRACK_SOURCE,
        instance_id=track.upstream_id,
    )


def _new_track(hypothesis: PoseHypothesis, number: int, result: RefinementResult) -> _Track:
    return _Track(hypothesis.label, number, hypothesis.instance_id, result.T_camera_object, result.score)


def _published(track: _Track, result: RefinementResult) -> TrackedObject:
    name = track.upstream_id or f"{track.label}_{track.number}"
    return TrackedObject(label=track.label, number=track.number, instance_id=name, result=result)
