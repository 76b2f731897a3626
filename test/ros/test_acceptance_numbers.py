"""Acceptance A13, A14, A17: what is published of uncertainty and score is so, and nothing grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from rnnpose_ros.evaluation.metrics import add
from rnnpose_ros.evaluation.score_quality import auroc
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.perturbation import N1, perturb
from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, log_so3, transform
from rnnpose_ros.refinement.solver import SolverConfig, lm_step, pose_covariance
from rnnpose_ros.ros.fake_engine import FakeEngine
from rnnpose_ros.ros.loading import Engines
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult

from .conftest import Graph

pytest.importorskip("rclpy", reason="no ROS 2 on this machine")
pytestmark = pytest.mark.ros

T0 = 1_700_000_000_123_456_789
STEP = 33_333_333
TRIALS = 300
NOISE_PX = 0.3
TRUTH = from_rotation_translation(
    exp_so3(torch.tensor([0.4, -0.7, 0.2], dtype=torch.float64)), torch.tensor([0.03, -0.02, 0.5], dtype=torch.float64)
)


class NoisyEngine(FakeEngine):
    """Solves for the pose, as the real one does, from correspondences with noise of a known size."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(13)
        self._points = 0.1 * (torch.rand(40, 3, generator=self._generator, dtype=torch.float64) - 0.3)

    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        **options: Any,
    ) -> list[RefinementResult]:
        results = super().refine(frame, hypotheses, objects, **options)
        return [self._solve(result, frame, objects[result.label]) for result in results]

    def _solve(self, result: RefinementResult, frame: ImageFrame, model: ObjectModel) -> RefinementResult:
        K = frame.camera.K.double()
        seen = project(transform(TRUTH[None], self._points[None]), K)
        seen = seen + NOISE_PX * torch.randn(seen.shape, generator=self._generator, dtype=torch.float64)
        T = TRUTH[None]
        for _ in range(3):
            centre = transform(T, model.centre.double()[None, None])[:, 0]
            step = lm_step(
                T, transform(T, self._points[None]), seen, torch.ones(1, len(self._points), dtype=torch.float64), K,
                centre_camera=centre, diameter=torch.tensor([model.diameter], dtype=torch.float64),
                config=SolverConfig(damping=0.0, prior=0.0),
            )  # fmt: skip
            T = step.T_camera_object
        offset = T[0, :3, 3] - transform(T, model.centre.double()[None, None])[0, 0]
        covariance = pose_covariance(
            step.normal_matrix[0], NOISE_PX**2, diameter=model.diameter, origin_from_centre=offset
        )
        return replace(result, T_camera_object=T[0], covariance=covariance)


def test_a13_covariance(graph: Graph, cube_mesh: Path) -> None:
    """Of 300 noisy trials: the normalised squared error lies in its chi-square band, 68 % within one sigma."""
    from rnnpose_ros.ros.messages import matrix_from_pose

    refiner = graph.start_refiner(
        cube_mesh, tracking__max_gap=60.0, covariance__min_std_position=0.0, covariance__min_std_rotation=0.0
    )
    refiner.pipeline.engines = Engines.of_one(NoisyEngine())
    quaternion = quaternion_xyzw_from_matrix(TRUTH[:3, :3])
    graph.send_pose(T0, position=tuple(TRUTH[:3, 3].tolist()), quaternion=tuple(quaternion.tolist()))
    squared, inside = [], []
    for i in range(TRIALS):
        detections = graph.round_trip(T0 + i * STEP).detections
        assert len(detections) == 1, i
        pose = detections[0].results[0].pose
        T = matrix_from_pose(pose.pose)
        turned = log_so3(T[:3, :3] @ TRUTH[:3, :3].T)
        error = torch.cat([T[:3, 3] - TRUTH[:3, 3], turned]).numpy()
        covariance = np.array(pose.covariance).reshape(6, 6)
        squared.append(error @ np.linalg.solve(covariance, error))
        inside.append(np.abs(error) < np.sqrt(covariance.diagonal()))
    low, high = chi2.ppf((0.0005, 0.9995), 6 * TRIALS) / TRIALS
    assert low < np.mean(squared) < high
    assert 0.58 < np.mean(inside) < 0.78
    assert np.all(np.abs(np.mean(inside, axis=0) - 0.68) < 0.1), "along and about every axis"
    assert np.mean(np.array(squared) < chi2.ppf(0.95, 6)) > 0.9, "the 95 % ellipsoid holds what it says"


@pytest.mark.parametrize("frames", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_a14_score(frames: int) -> None:
    """The score tells right results from wrong ones: area under the ROC curve at least 0.95."""
    from rnnpose_ros.cli.engine import load_refiner
    from rnnpose_ros.sources.sequence import read_sequence

    sequence = read_sequence("package://rnnpose_ros/models/sequences/tea_box")
    model, refiner = sequence.object, load_refiner(None)
    points = model.mesh.vertices.double()
    generator = torch.Generator().manual_seed(14)
    scores, right = [], []
    indices = [sorted(sequence.poses)[i] for i in np.linspace(0, len(sequence.poses) - 1, frames).astype(int)]
    for index, rgb in sequence.frames(indices):
        truth = sequence.poses[index].double()
        near = perturb(truth[None], noise=N1, scale=0.5, generator=generator)[0]
        half_turn = exp_so3(torch.tensor([1.5, 1.5, 0.0], dtype=torch.float64))
        far = from_rotation_translation(truth[:3, :3] @ half_turn, truth[:3, 3].clone())
        far[0, 3] += 0.7 * model.diameter
        starts = [PoseHypothesis(model.label, T) for T in (near, far)]
        frame = ImageFrame(rgb=rgb, camera=sequence.camera)
        for result in refiner.refine(frame, starts, {model.label: model}):
            error_m = float(add(result.T_camera_object[None], truth[None], points_object=points)[0])
            scores.append(result.score if result.is_usable else 0.0)
            right.append(error_m < 0.1 * model.diameter)
    assert 0 < sum(right) < len(right), "both kinds are there"
    assert auroc(np.array(scores), np.array(right)) >= 0.95


@pytest.mark.parametrize(
    ("minutes", "rate_hz", "engine"), [(0.08, 15.0, "fake"), pytest.param(5.0, 2.0, "auto", marks=pytest.mark.slow)]
)
def test_a17_soak(tmp_path: Path, minutes: float, rate_hz: float, engine: str) -> None:
    """Fed for a while, the node answers, fails nowhere, speaks of no picture before it was taken, and ends in time."""
    from rnnpose_ros.cli.soak_runs import soak_replay

    report = soak_replay(
        "package://rnnpose_ros/models/sequences/tea_box",
        minutes=minutes,
        rate_hz=rate_hz,
        engine=engine,
        out=tmp_path / "soak.json",
    )
    assert report.answers > 0
    assert report.answers <= report.images
    assert (report.exit_code, report.tracebacks, report.newer_than_image) == (0, 0, 0)
    assert report.stop_s < 2.0
    if engine != "fake":
        assert report.growth_kb_min < 100.0


def test_a17_soak_of_starts_and_stops(tmp_path: Path) -> None:
    """Each is up, answers, and is gone within two seconds of an interrupt."""
    from rnnpose_ros.cli.soak_runs import soak_cycles

    report = soak_cycles(
        "package://rnnpose_ros/models/sequences/tea_box", 2, engine="fake", out=tmp_path / "soak.json", preloaded=True
    )
    assert report.holds, report


def test_steps_of_the_allocator_are_no_growth_but_a_leak_is() -> None:
    from rnnpose_ros.cli.soak_runs import memory_growth_kb_min

    seconds = np.arange(0.0, 1800.0, 10.0)
    steps = 500_000.0 + 4000.0 * (seconds > 40.0)
    assert abs(memory_growth_kb_min(seconds, steps)) < 1.0
    leak = steps + 50.0 / 60.0 * seconds + np.random.default_rng(0).normal(0.0, 100.0, seconds.shape)
    assert memory_growth_kb_min(seconds, leak) == pytest.approx(50.0, rel=0.1)
