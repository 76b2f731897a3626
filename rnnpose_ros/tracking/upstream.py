"""Which poses from outside deserve a refinement, when objects are tracked already.

A pose near a healthy track confirms it and costs nothing. One that contradicts what is tracked costs a full
refinement only when it repeats itself: detectors err now and then, and the tracker's own pose is the better
one most of the time. While an object of the class is lost, or none is known, every pose is welcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.tracking.association import associate
from rnnpose_ros.tracking.track import Start, Track
from rnnpose_ros.tracking.tracking_config import InitialPoseConfig
from rnnpose_ros.types import PoseHypothesis


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What poses from outside mean for the tracks of their class."""

    tracks: tuple[Track, ...]
    """The same tracks, confirmed or doubted."""
    starts: tuple[Start, ...]
    confirmations: dict[tuple[str, int], PoseHypothesis]
    """The pose that agreed with a healthy track, by the track's key."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stranger:
    """A place where no track is, and how often in a row it was reported."""

    T_camera_object: Tensor
    sightings: int


class UpstreamJudge:
    """Judges all poses of one class that came for one picture; remembers the doubtful ones."""

    def __init__(self) -> None:
        self._strangers: dict[str, list[_Stranger]] = {}

    def reset(self) -> None:
        """Forget every doubt."""
        self._strangers.clear()

    def judge(
        self,
        hypotheses: Sequence[PoseHypothesis],
        tracks: Sequence[Track],
        *,
        stamp_ns: int,
        needed: int,
        bounds: InitialPoseConfig,
        symmetries: Float[Tensor, "S 4 4"] | None = None,
    ) -> Verdict:
        """The verdict on the poses of one class.

        Args:
            hypotheses: At least one, all of one label.
            tracks: Of this label.
            stamp_ns: The picture's.
            needed: Contradictions in a row that are worth a refinement.
            bounds: What counts as the same place.
            symmetries: Of the object.
        """
        label = hypotheses[0].label
        near = _associate([h.T_camera_object for h in hypotheses], tracks, bounds, symmetries)
        named = {track.upstream_id: track for track in tracks if track.upstream_id}
        updated = {track.key: track for track in tracks}
        is_settled = bool(tracks) and not any(track.is_lost for track in tracks)
        starts: list[Start] = []
        strangers: list[PoseHypothesis] = []
        confirmations: dict[tuple[str, int], PoseHypothesis] = {}
        for index, hypothesis in enumerate(hypotheses):
            # Place before name: some detectors number what they see anew in every picture.
            by_place = tracks[near[index]] if index in near else None
            by_name = named.get(hypothesis.instance_id)
            if by_place is not None and not by_place.is_lost:
                confirmations[by_place.key] = hypothesis
                updated[by_place.key] = replace(by_place, disagreements=0, confirmed_ns=stamp_ns)
            elif by_name is not None and not by_name.is_lost:
                updated[by_name.key] = doubted = _doubt(updated[by_name.key], needed)
                if doubted.disagreements == 0:
                    starts.append(Start(hypothesis, by_name.key))
            elif (lost := by_name or by_place) is not None:
                starts.append(Start(hypothesis, lost.key))
            elif is_settled:
                strangers.append(hypothesis)
            else:
                starts.append(Start(hypothesis, None))
        starts += [Start(h, None) for h in self._repeated(label, strangers, needed, bounds, symmetries)]
        return Verdict(tuple(updated.values()), tuple(starts), confirmations)

    def _repeated(
        self,
        label: str,
        strangers: list[PoseHypothesis],
        needed: int,
        bounds: InitialPoseConfig,
        symmetries: Tensor | None,
    ) -> list[PoseHypothesis]:
        """Those strangers that were reported often enough in a row; their count starts anew."""
        known = self._strangers.get(label, [])
        same = _associate([h.T_camera_object for h in strangers], known, bounds, symmetries)
        worth: list[PoseHypothesis] = []
        remembered: list[_Stranger] = []
        for index, hypothesis in enumerate(strangers):
            sightings = 1 + (known[same[index]].sightings if index in same else 0)
            if sightings >= needed:
                worth.append(hypothesis)
                sightings = 0
            remembered.append(_Stranger(hypothesis.T_camera_object, sightings))
        self._strangers[label] = remembered
        return worth


def _doubt(track: Track, needed: int) -> Track:
    """One contradiction more; back to 0 when it is time to check."""
    count = track.disagreements + 1
    return replace(track, disagreements=0 if count >= needed else count)


def _associate(
    poses: list[Tensor],
    others: Sequence[Track] | Sequence[_Stranger],
    bounds: InitialPoseConfig,
    symmetries: Tensor | None,
) -> dict[int, int]:
    return associate(
        poses,
        [other.T_camera_object for other in others],
        distance=bounds.association_distance,
        angle=bounds.association_angle,
        symmetries=symmetries,
    )
