"""Who is who from picture to picture, what each refinement starts from, and when an object is lost.

No ROS and no network: the tracker hands out start poses (:meth:`Tracker.begin_frame`), somebody refines
them, and the tracker judges the results (:meth:`Tracker.end_frame`). What it does not return from there
must not be published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnnpose_ros.refinement.symmetric_pose import is_one_body
from rnnpose_ros.tracking.association import associate
from rnnpose_ros.tracking.renewal import (
    carried_along,
    contradicted,
    expected_pose,
    may_be_followed,
    moved,
    network_is_due,
    renewed,
    with_dissent,
    worth,
)
from rnnpose_ros.tracking.search import SHORT_TRIES, SearchBudget
from rnnpose_ros.tracking.track import (
    RECHECK_SOURCE,
    TRACK_SOURCE,
    FrameOutcome,
    LostObject,
    Start,
    Track,
    TrackedObject,
    object_name,
)
from rnnpose_ros.tracking.tracking_config import InitialPoseConfig, TrackingConfig
from rnnpose_ros.tracking.trust import doubted
from rnnpose_ros.tracking.upstream import UpstreamJudge
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult

_NS_PER_S = 1e9


class Tracker:
    """Keeps one list of tracks; call ``begin_frame`` and ``end_frame`` in turns, from one thread.

    After ``end_frame``, and once its outcome is published, ``begin_look`` and ``end_look`` let the network look at what
    was followed without it.
    """

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
        self._upstream = UpstreamJudge()
        self._search = SearchBudget()
        self._tracks: list[Track] = []
        self._starts: list[Start] = []
        self._followed: set[tuple[str, int]] = set()
        self._looks: list[Start] = []
        self._look_ns = 0
        self._stamp_ns: int | None = None

    def reset(self) -> None:
        """Forget every object."""
        self._tracks.clear()
        self._followed.clear()
        self._looks.clear()
        self._upstream.reset()
        self._search.reset()
        self._stamp_ns = None

    def begin_frame(self, stamp_ns: int, hypotheses: Sequence[PoseHypothesis]) -> list[PoseHypothesis]:
        """The poses to refine on this picture.

        A healthy track starts from its own last result, moved on as it moved before. A pose from outside is added
        where no track of its class is healthy, where it contradicts what is tracked again and again, and when a
        track is due for its re-check. What is not found is not looked for in every picture while other objects are
        tracked; see :mod:`.search`.

        Args:
            stamp_ns: The picture's.
            hypotheses: What detectors say about it, already judged good enough.
        """
        self._age_tracks(stamp_ns)
        outside: list[Start] = []
        for label in dict.fromkeys(h.label for h in hypotheses):
            outside += self._judge(label, [h for h in hypotheses if h.label == label], stamp_ns)
        searched = self._search.spend_on_lost(self._tracks, stamp_ns=stamp_ns, period_s=self.tracking.search_period)
        own = [Start(self._own_start(track, is_searched=track.key in searched), track.key) for track in self._tracks]
        self._starts = own + self._affordable(outside, stamp_ns)
        self._note_checks(stamp_ns)
        return [start.hypothesis for start in self._starts]

    def end_frame(self, results: Sequence[RefinementResult]) -> FrameOutcome:
        """What may be published, from the results of ``begin_frame``'s poses in the same order."""
        if len(results) != len(self._starts):
            raise ValueError(f"expected {len(self._starts)} results, one for each start pose, got {len(results)}")
        outcomes = [(start, self._questioned(start, r)) for start, r in zip(self._starts, results, strict=True)]
        self._starts = []
        self._note_misses(outcomes)
        kept: list[tuple[Track, RefinementResult]] = []
        lost: list[LostObject] = []
        for track in self._tracks:
            start, best = max((o for o in outcomes if o[0].key == track.key), key=lambda outcome: worth(outcome[1]))
            model, now_ns = self._objects.get(track.label), self._stamp_ns or 0
            kept.append(renewed(track, best, model, self.tracking, now_ns=now_ns, is_own=_is_own(start)))
        for start, result in outcomes:
            if start.key is None and not self._admit(kept, start.hypothesis, result):
                lost.append(LostObject(start.hypothesis.label, result))
        kept = self._without_twins(kept)
        lost += [LostObject(track.label, result, object_name(*track.key)) for track, result in kept if track.is_lost]
        self._tracks = [track for track, _ in kept if not self._is_forgotten(track)]
        self._followed = {track.key for track, result in kept if not track.is_lost and not result.by_network}
        return FrameOutcome(tuple(_published(t, r) for t, r in kept if not t.is_lost), tuple(lost))

    def begin_look(self) -> list[PoseHypothesis]:
        """Poses in the picture just judged that the network is due to look at, since they were followed without it."""
        now_ns = self._stamp_ns or 0
        due = [
            track
            for track in self._tracks
            if track.key in self._followed and network_is_due(track, self.tracking, now_ns=now_ns)
        ]
        self._followed.clear()
        self._looks = [Start(track.start(track.T_camera_object, source=TRACK_SOURCE), track.key) for track in due]
        self._look_ns = now_ns
        return [look.hypothesis for look in self._looks]

    def end_look(self, results: Sequence[RefinementResult]) -> tuple[LostObject, ...]:
        """What the network said of ``begin_look``'s poses, in the same order; returns what it does not believe in.

        The next picture starts from what it found. An object that is lost by it is published no more. Other pictures
        may have been judged meanwhile: where the object was followed in them, what the network moved is carried along;
        where it was lost, or the network looked again, this look has nothing to say any more.
        """
        looks, self._looks = self._looks, []
        if len(results) != len(looks):
            raise ValueError(f"expected {len(looks)} results, one for each look, got {len(results)}")
        said = {look.key: (look, result) for look, result in zip(looks, results, strict=True)}
        lost: list[LostObject] = []
        for i, track in enumerate(self._tracks):
            if track.key not in said or track.is_lost or track.asked_ns > self._look_ns:
                continue
            look, result = said[track.key]
            model, now_ns = self._objects.get(track.label), self._stamp_ns or 0
            result = self._questioned(look, result)
            if model is not None and worth(result) >= self.tracking.lost_score:
                track = contradicted(track, look.hypothesis.T_camera_object, result, model)
            result = carried_along(result, look.hypothesis, track)
            self._tracks[i], result = renewed(track, result, model, self.tracking, now_ns=now_ns, is_own=True)
            if self._tracks[i].is_lost:
                lost.append(LostObject(track.label, result, object_name(*track.key)))
        return tuple(lost)

    def _questioned(self, start: Start, result: RefinementResult) -> RefinementResult:
        track = next((t for t in self._tracks if t.key == start.key), None) if _is_own(start) else None
        is_tracked = track is not None and not track.is_lost
        model = self._objects.get(start.hypothesis.label)
        if track is not None and result.dissent is None:
            result = with_dissent(result, track)
        return doubted(result, start.hypothesis, model, self.tracking, is_tracked=is_tracked)

    def _affordable(self, outside: list[Start], stamp_ns: int) -> list[Start]:
        """Those poses from outside whose class was found lately, or not looked for; all while nothing is tracked."""
        if all(track.is_lost for track in self._tracks):
            return outside
        period_s = self.tracking.search_period
        return [
            start
            for start in outside
            if self._search.allows_outside(start.hypothesis.label, stamp_ns=stamp_ns, period_s=period_s)
        ]

    def _note_misses(self, outcomes: Sequence[tuple[Start, RefinementResult]]) -> None:
        """Of which classes poses from outside led to something that is believed."""
        outside = [(start.hypothesis.label, result) for start, result in outcomes if not _is_own(start)]
        found = {label for label, result in outside if worth(result) >= self.tracking.recover_score}
        for label in dict.fromkeys(label for label, _ in outside):
            self._search.note_outside(label, stamp_ns=self._stamp_ns or 0, found=label in found)

    def _is_forgotten(self, track: Track) -> bool:
        """Lost for too long; in the first picture without it that is no time yet."""
        return track.is_lost and (self._stamp_ns or 0) - track.lost_ns > self.tracking.max_lost_time * _NS_PER_S

    def _age_tracks(self, stamp_ns: int) -> None:
        last, self._stamp_ns = self._stamp_ns, stamp_ns
        if not self.tracking.enabled or (last is not None and stamp_ns < last):
            self._tracks = []
            self._upstream.reset()
            self._search.reset()
        elif last is not None and stamp_ns - last > self.tracking.max_gap * _NS_PER_S:
            # Where it was then says little: the full programme looks at once.
            self._tracks = [replace(t, lost_frames=SHORT_TRIES + 1, lost_ns=stamp_ns) for t in self._tracks]

    def _judge(self, label: str, hypotheses: list[PoseHypothesis], stamp_ns: int) -> list[Start]:
        """The starts that poses of one class are worth; their tracks are confirmed or doubted."""
        model = self._objects.get(label)
        verdict = self._upstream.judge(
            hypotheses,
            [track for track in self._tracks if track.label == label],
            stamp_ns=stamp_ns,
            needed=self.tracking.disagreements,
            bounds=self.initial_pose,
            symmetries=None if model is None else model.symmetries,
        )
        judged = {track.key: track for track in verdict.tracks}
        self._tracks = [judged.get(track.key, track) for track in self._tracks]
        rechecks = [Start(h, key) for key, h in verdict.confirmations.items() if self._is_due(judged[key])]
        return [*verdict.starts, *rechecks]

    def _is_due(self, track: Track) -> bool:
        period_ns = self.tracking.recheck_period * _NS_PER_S
        return bool(period_ns) and not track.is_lost and (self._stamp_ns or 0) - track.checked_ns >= period_ns

    def _own_start(self, track: Track, *, is_searched: bool) -> PoseHypothesis:
        now_ns = self._stamp_ns or 0
        source = RECHECK_SOURCE if is_searched or self._is_due(track) else TRACK_SOURCE
        T = expected_pose(track, self._objects.get(track.label), self.tracking, now_ns=now_ns)
        is_led = source == TRACK_SOURCE and may_be_followed(track, self.tracking, now_ns=now_ns)
        return track.start(T, source=source, may_be_followed=is_led)

    def _note_checks(self, stamp_ns: int) -> None:
        checked = {start.key for start in self._starts if start.hypothesis.source != TRACK_SOURCE}
        self._tracks = [replace(t, checked_ns=stamp_ns) if t.key in checked else t for t in self._tracks]

    def _admit(
        self, kept: list[tuple[Track, RefinementResult]], hypothesis: PoseHypothesis, result: RefinementResult
    ) -> bool:
        """Take a result in that no track stands behind; False when it is not believed."""
        if worth(result) < self.tracking.recover_score:
            return False
        label = hypothesis.label
        peers = [i for i, (track, _) in enumerate(kept) if track.label == label]
        same = self._index_at(label, result, [kept[i][0] for i in peers])
        weakest = min(peers, key=lambda i: _standing(kept[i][0]), default=None)
        is_full = len(peers) >= self.tracking.max_instances_per_class
        if same is not None:
            rival: int | None = peers[same]
        else:
            rival = weakest if weakest is not None and (is_full or self._is_doubtful(kept[weakest][0])) else None
        if rival is None:
            number = min(set(range(len(peers) + 1)) - {kept[i][0].number for i in peers})
            kept.append((self._new_track(hypothesis, number, result), result))
            return True
        track = kept[rival][0]
        if _standing(track) >= result.score:
            # A duplicate of a better track is no loss; an object that found no place is one.
            return same is not None
        renamed = replace(track, upstream_id=hypothesis.instance_id or track.upstream_id, disagreements=0)
        model, now_ns = self._objects.get(label), self._stamp_ns or 0
        kept[rival] = moved(renamed, result, model, self.tracking, now_ns=now_ns, is_own=False)
        return True

    def _index_at(self, label: str, result: RefinementResult, tracks: list[Track]) -> int | None:
        model = self._objects.get(label)
        same = associate(
            [result.T_camera_object],
            [track.T_camera_object for track in tracks],
            distance=self.initial_pose.association_distance,
            angle=self.initial_pose.association_angle,
            symmetries=None if model is None else model.symmetries,
        )
        if 0 in same or model is None:
            return same.get(0)
        T = result.T_camera_object
        return next((i for i, track in enumerate(tracks) if is_one_body(track.T_camera_object, T, model)), None)

    def _is_doubtful(self, track: Track) -> bool:
        """Lost, or neither sure of itself nor confirmed from outside: a sure newcomer is the same object found."""
        unsure = track.score < self.tracking.recover_score and track.confirmed_ns != self._stamp_ns
        return track.is_lost or unsure

    def _new_track(self, hypothesis: PoseHypothesis, number: int, result: RefinementResult) -> Track:
        now = self._stamp_ns or 0
        return Track(
            label=hypothesis.label,
            number=number,
            upstream_id=hypothesis.instance_id,
            T_camera_object=result.T_camera_object,
            score=result.score,
            seen_ns=now,
            confirmed_ns=now,
            checked_ns=now,
            measures=result.measures,
            asked_ns=now,
            dissent=result.dissent,
        )

    def _without_twins(self, kept: list[tuple[Track, RefinementResult]]) -> list[tuple[Track, RefinementResult]]:
        """Of healthy tracks that ended on one and the same object, the one that was there first."""
        alone: list[tuple[Track, RefinementResult]] = []
        for track, result in kept:
            model = self._objects.get(track.label)
            is_double = (
                model is not None
                and not track.is_lost
                and any(
                    other.label == track.label
                    and not other.is_lost
                    and is_one_body(other.T_camera_object, track.T_camera_object, model)
                    for other, _ in alone
                )
            )
            if not is_double:
                alone.append((track, result))
        return alone


def _is_own(start: Start) -> bool:
    """The start is the tracker's, not from outside."""
    return start.hypothesis.source in (TRACK_SOURCE, RECHECK_SOURCE)


def _standing(track: Track) -> float:
    return -1.0 if track.is_lost else track.score


def _published(track: Track, result: RefinementResult) -> TrackedObject:
    return TrackedObject(label=track.label, number=track.number, instance_id=track.instance_id, result=result)
