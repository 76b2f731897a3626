"""What the network's looks make of a track that is followed without it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from rnnpose_ros.geometry.se3 import inverse
from rnnpose_ros.tracking.renewal import contradicted, renewed
from rnnpose_ros.tracking.track import Track
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import RefinementResult, RefinementStatus

from .conftest import box, pose

MODEL = box()
FAR = 0.1 * MODEL.diameter


def result(T: Tensor, *, score: float = 0.9) -> RefinementResult:
    return RefinementResult("cube", T, RefinementStatus.CONVERGED, score, 0.5)


def track(T: Tensor) -> Track:
    return Track("cube", 0, "", T_camera_object=T, score=0.9)


def looked(before: Track, moved_by: Tensor) -> Track:
    """The network moved it in the object's frame, and the track is there."""
    T = before.T_camera_object @ moved_by
    return dataclasses.replace(contradicted(before, before.T_camera_object, result(T), MODEL), T_camera_object=T)


def test_what_two_looks_in_a_row_find_is_a_correction() -> None:
    pulled_back, pull = pose(turn_z=0.7), pose(FAR, z=0.0, turn_z=0.1)
    once = looked(track(pulled_back), pull)
    assert once.correction is None
    # Without a correction the pictures alone lead back.
    twice = looked(dataclasses.replace(once, T_camera_object=pulled_back), pull)
    assert twice.correction is not None
    torch.testing.assert_close(twice.correction, pull)


def test_a_correction_grows_by_what_the_network_still_moves() -> None:
    led_astray, pull, rest = pose(), pose(FAR, z=0.0), pose(0.2 * FAR, z=0.0)
    first = looked(track(led_astray), pull)
    second = looked(dataclasses.replace(first, T_camera_object=led_astray), pull)
    third = looked(second, rest)
    assert third.correction is not None
    torch.testing.assert_close(third.T_camera_object @ inverse(third.correction), led_astray)


@pytest.mark.parametrize(
    ("first", "second"), [(FAR, -FAR), (FAR, 3.0 * FAR), (0.02 * MODEL.diameter, 0.02 * MODEL.diameter)]
)
def test_looks_that_differ_or_move_little_correct_nothing(first: float, second: float) -> None:
    once = looked(track(pose()), pose(first, z=0.0))
    twice = looked(dataclasses.replace(once, T_camera_object=pose()), pose(second, z=0.0))
    assert twice.correction is None
    assert twice.dissent is not None


def test_a_correction_ends_when_the_network_takes_it_back() -> None:
    pull = pose(FAR, z=0.0)
    once = looked(track(pose()), pull)
    twice = looked(dataclasses.replace(once, T_camera_object=pose()), pull)
    assert looked(twice, inverse(pull)).correction is None


@pytest.mark.parametrize(("is_own", "score", "keeps"), [(True, 0.9, True), (False, 0.9, False), (True, 0.1, True)])
def test_an_object_found_from_outside_starts_without_a_correction(*, is_own: bool, score: float, keeps: bool) -> None:
    corrected = dataclasses.replace(track(pose()), correction=pose(FAR, z=0.0))
    found, _ = renewed(corrected, result(pose(), score=score), MODEL, TrackingConfig(), now_ns=1, is_own=is_own)
    assert (found.correction is not None) is keeps
    lost = dataclasses.replace(corrected, lost_frames=1)
    again, _ = renewed(lost, result(pose()), MODEL, TrackingConfig(), now_ns=1, is_own=True)
    assert again.correction is None
