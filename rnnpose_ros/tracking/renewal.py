"""One track from picture to picture: where it should be, whether the network is needed, what a result makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.se3 import inverse, mean_squared_difference
from rnnpose_ros.refinement.status import SCORE_MEASURES
from rnnpose_ros.refinement.symmetric_pose import mean_distance, nearest_member
from rnnpose_ros.tracking.motion import carried_on, velocity
from rnnpose_ros.tracking.search import SHORT_TRIES
from rnnpose_ros.tracking.track import Track
from rnnpose_ros.tracking.tracking_config import LEAST_AGREEMENT, TrackingConfig
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus

_NS_PER_S = 1e9
_LEAST_PULL = 0.03
"""Of the diameter: what moves an object less is left to the alignment, which is the finer where it is right."""
_ALIKE = 0.5
"""Of a motion's length: two motions that differ less are alike."""


def worth(result: RefinementResult) -> float:
    """Its score; less than any score where it failed or is not believed."""
    return result.score if result.is_usable else -1.0


def expected_pose(
    track: Track, model: ObjectModel | None, config: TrackingConfig, *, now_ns: int
) -> Float[Tensor, "4 4"]:
    """Where the object should be now: moved on as it moved before, unless that is too long ago."""
    since_s = (now_ns - track.seen_ns) / _NS_PER_S
    if model is None or track.velocity is None or not 0.0 < since_s <= config.prediction:
        return track.T_camera_object
    return carried_on(track.T_camera_object, track.velocity, seconds=since_s, centre_object=model.centre)


def may_be_followed(track: Track, config: TrackingConfig, *, now_ns: int) -> bool:
    """Whether the pictures agreed enough to do without the network, which has looked not long ago or may look later.

    Where it was not believed, the pictures may say a few times more that the object is still there.
    """
    if track.measures is None or max(track.lost_frames, track.network_misses) > SHORT_TRIES:
        return False
    if _agreement(track.measures) < LEAST_AGREEMENT or not _network_period(track, track.measures, config):
        return False
    return config.publish_first or not network_is_due(track, config, now_ns=now_ns)


def network_is_due(track: Track, config: TrackingConfig, *, now_ns: int) -> bool:
    """Whether the network's last look is so long ago that it should look again; sooner where pictures agree little."""
    if track.measures is None:
        return True
    return (now_ns - track.asked_ns) / _NS_PER_S >= _network_period(track, track.measures, config)


def _network_period(track: Track, measures: Sequence[float], config: TrackingConfig) -> float:
    agrees_well = _agreement(measures) >= config.follow_agreement and not track.network_misses
    return config.network_period if agrees_well else min(config.doubt_period, config.network_period)


def _agreement(measures: Sequence[float]) -> float:
    return measures[SCORE_MEASURES.index("agreement")]


def with_dissent(result: RefinementResult, track: Track) -> RefinementResult:
    """A result that starts from a track, as unsure as the track's witnesses lie apart."""
    if track.dissent is None or result.covariance is None:
        return result
    return replace(result, covariance=result.covariance + track.dissent)


def contradicted(track: Track, T_followed: Float[Tensor, "4 4"], result: RefinementResult, model: ObjectModel) -> Track:
    """The track after the network looked at where it was followed to, in the same picture: they may lie apart.

    How far makes the track unsure; the last looks count most, each half as much as the next. Where two looks in a row
    move it alike, render and photograph alone lead astray (another light than the render's, a shape that shows little),
    and the network has more to go by: from then on what is followed is corrected by that motion.
    """
    T = nearest_member(result, model, T_followed).T_camera_object.double()
    apart = mean_squared_difference(T[None], T_followed.double())
    dissent = apart if track.dissent is None else 0.5 * (track.dissent + apart)
    pull = inverse(T_followed.double()) @ T
    if track.correction is not None:
        pull = track.correction @ pull
    lasts = track.pull is not None and _is_lasting(track.pull, pull, model)
    return replace(track, dissent=dissent, pull=pull, correction=pull if lasts else None)


def _is_lasting(before: Float[Tensor, "4 4"], now: Float[Tensor, "4 4"], model: ObjectModel) -> bool:
    """Two looks in a row moved the object by much the same, and so far that it matters."""
    moved, differs = (
        mean_distance(now, other, model) / model.diameter for other in (torch.eye(4, dtype=now.dtype), before)
    )
    return moved > _LEAST_PULL and differs < _ALIKE * moved


def carried_along(result: RefinementResult, start: PoseHypothesis, track: Track) -> RefinementResult:
    """A result of an earlier picture, where the track has come since: moved as much from there, in the object's frame.

    Args:
        result: Of the earlier picture.
        start: Where it began there, which is where the track was.
        track: Where it is now.
    """
    moved_by = inverse(start.T_camera_object.double()) @ result.T_camera_object.double()
    return replace(result, T_camera_object=track.T_camera_object.double() @ moved_by)


def renewed(
    track: Track,
    result: RefinementResult,
    model: ObjectModel | None,
    config: TrackingConfig,
    *,
    now_ns: int,
    is_own: bool,
) -> tuple[Track, RefinementResult]:
    """The track after the best result for it, and the result as it may be published.

    Args:
        track: Before.
        result: Judged by :func:`~rnnpose_ros.tracking.trust.doubted`.
        model: Of the object.
        config: What is believed.
        now_ns: Stamp of the picture.
        is_own: The result's start was the track's, not from outside.
    """
    if worth(result) >= (config.recover_score if track.is_lost else config.lost_score):
        return moved(track, result, model, config, now_ns=now_ns, is_own=is_own)
    missed = replace(track, lost_frames=track.lost_frames + 1, lost_ns=track.lost_ns if track.is_lost else now_ns)
    if result.by_network:
        missed = replace(missed, asked_ns=now_ns, network_misses=track.network_misses + 1)
    if result.status is RefinementStatus.UNCERTAIN and result.score >= config.recover_score:
        # Seen, but not so well that it may be published: the next picture starts from there all the same.
        return _placed(missed, result, model, config, now_ns=now_ns, is_own=is_own)
    return missed, result


def moved(
    track: Track,
    result: RefinementResult,
    model: ObjectModel | None,
    config: TrackingConfig,
    *,
    now_ns: int,
    is_own: bool,
) -> tuple[Track, RefinementResult]:
    """The track at a result that is believed; see :func:`renewed`."""
    placed, result = _placed(track, result, model, config, now_ns=now_ns, is_own=is_own)
    dissent = track.dissent if result.dissent is None else result.dissent
    correction = track.correction if is_own and not track.is_lost else None
    found = replace(
        placed, score=result.score, lost_frames=0, measures=result.measures, dissent=dissent, correction=correction
    )
    return (replace(found, asked_ns=now_ns, network_misses=0) if result.by_network else found), result


def _placed(
    track: Track,
    result: RefinementResult,
    model: ObjectModel | None,
    config: TrackingConfig,
    *,
    now_ns: int,
    is_own: bool,
) -> tuple[Track, RefinementResult]:
    """Track and result at the symmetric pose nearest to the track's last one, and how fast it came there."""
    result = nearest_member(result, model, track.T_camera_object)
    since_s, speed = (now_ns - track.seen_ns) / _NS_PER_S, None
    # A pose from outside says that it was elsewhere all the time: that is no motion.
    if is_own and since_s == 0.0:
        # A second look at the same picture.
        speed = track.velocity
    elif is_own and model is not None and 0.0 < since_s <= config.prediction:
        T_before, T_now = track.T_camera_object, result.T_camera_object
        speed = velocity(T_before, T_now, seconds=since_s, centre_object=model.centre)
    return replace(track, T_camera_object=result.T_camera_object, seen_ns=now_ns, velocity=speed), result
