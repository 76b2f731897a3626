"""Recorded poses and what noise makes of them."""

from __future__ import annotations

import math

import pytest
import torch

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.perturbation import N1
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.sources.perturbed import PerturbedPoses
from rnnpose_ros.sources.pose_source import PoseSource
from rnnpose_ros.sources.recorded import FrameClock, RecordedPoses
from rnnpose_ros.types import ImageFrame

CLOCK = FrameClock(fps=30.0, start_ns=1_700_000_000_123_456_789)


def poses(count: int) -> dict[int, torch.Tensor]:
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.8
    return {i: T for i in range(count)}


def frame(stamp_ns: int) -> ImageFrame:
    camera = intrinsics(10.0, 10.0, 1.0, 1.0, width=2, height=2)
    return ImageFrame(rgb=torch.zeros(2, 2, 3, dtype=torch.uint8), camera=camera, stamp_ns=stamp_ns)


def test_the_clock_finds_every_frame_by_its_stamp():
    for fps in (15.0, 29.97, 30.0, 60.0):
        clock = FrameClock(fps, start_ns=CLOCK.start_ns)
        assert [clock.index(clock.stamp_ns(i)) for i in range(2000)] == list(range(2000))


def test_a_recorded_pose_is_proposed_at_its_stamp_and_nothing_between():
    source: PoseSource = RecordedPoses({7: poses(1)[0]}, label="tin", clock=CLOCK)
    (hypothesis,) = source.propose(frame(CLOCK.stamp_ns(7)))
    assert hypothesis.label == "tin"
    assert torch.equal(hypothesis.T_camera_object, poses(1)[0])
    assert source.propose(frame(CLOCK.stamp_ns(8))) == []


def perturbed(seed: int = 0, *, scale: float = 1.0, count: int = 300) -> PerturbedPoses:
    return PerturbedPoses(RecordedPoses(poses(count), label="tin", clock=CLOCK), clock=CLOCK, seed=seed, scale=scale)


def test_a_frame_starts_from_the_same_pose_whenever_it_is_asked_for():
    source = perturbed()
    first = [source.propose_at(i)[0].T_camera_object for i in (5, 3, 5)]
    assert torch.equal(first[0], first[2])
    assert torch.equal(first[0], perturbed().propose(frame(CLOCK.stamp_ns(5)))[0].T_camera_object)
    assert not torch.equal(first[0], first[1])


def test_another_seed_gives_other_poses():
    assert not torch.equal(perturbed(0).propose_at(5)[0].T_camera_object, perturbed(1).propose_at(5)[0].T_camera_object)


def test_the_noise_has_the_spread_it_says_and_keeps_its_cap():
    T = torch.stack([perturbed().propose_at(i)[0].T_camera_object for i in range(300)])
    shift = T[:, :3, 3] - poses(1)[0][:3, 3]
    assert shift.std(0).tolist() == pytest.approx([0.01, 0.01, 0.05], rel=0.15)
    assert rotation_angle(T[:, :3, :3]).max() <= N1.rotation_cap + 1e-9
    assert math.degrees(rotation_angle(T[:, :3, :3]).mean()) == pytest.approx(23.0, abs=2.5)


def test_no_noise_leaves_the_recorded_pose():
    torch.testing.assert_close(perturbed(scale=0.0).propose_at(1)[0].T_camera_object, poses(1)[0])


def test_a_frame_without_a_recorded_pose_has_no_start():
    assert perturbed(count=3).propose_at(3) == []
