"""The traps are what they say they are, and the counts count what they say."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnpose_ros.cli.main import main
from rnnpose_ros.evaluation.score_quality import mahalanobis_squared
from rnnpose_ros.evaluation.trap_scenes import PICTURES, SHARES, TrapEpisode, TrapScenes, seen_again
from rnnpose_ros.evaluation.traps import (
    TrapAnswer,
    TrapPictureResult,
    run_traps,
    summarize_traps,
)
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_se3
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.tracking.tracking_config import TrackingConfig
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus


class NoDrawing(TrapScenes):
    """The same episodes, their pictures left grey: drawing light and lens takes most of the time."""

    def _photo(self, arrangement: Any, camera: Any, rng: Any) -> Any:
        return torch.full((camera.height, camera.width, 3), 128, dtype=torch.uint8).numpy()


@pytest.fixture(scope="module")
def scenes() -> NoDrawing:
    return NoDrawing(WarpRenderer("cpu"), seed=3)


@pytest.fixture(scope="module")
def episodes(scenes: NoDrawing) -> dict[str, TrapEpisode]:
    found: dict[str, TrapEpisode] = {}
    for number in range(60):
        episode = scenes.episode(number)
        found.setdefault(episode.kind, episode)
        if len(found) == len(SHARES):
            return found
    pytest.fail(f"only {sorted(found)} came up")


def test_every_kind_of_trap_comes_up_and_says_what_is_true(episodes: dict[str, TrapEpisode]) -> None:
    seen = {kind: [p.T_camera_object is not None for p in episode.pictures] for kind, episode in episodes.items()}
    fair = {kind: [p.is_fair for p in episode.pictures] for kind, episode in episodes.items()}
    always, never, first = [True] * PICTURES, [False] * PICTURES, [True] + [False] * (PICTURES - 1)
    assert seen == {
        "clear": always,
        "wrong start": always,
        "absent": never,
        "wrong mesh": never,
        "hidden": first,
        "taken away": first,
    }
    assert fair == {**seen, "wrong start": never}
    assert [len(p.starts) for p in episodes["taken away"].pictures] == [1] + [0] * (PICTURES - 1)


def test_an_episode_is_the_same_whenever_it_is_made(scenes: NoDrawing) -> None:
    first = scenes.episode(5)
    scenes.episode(45)
    again = scenes.episode(5)
    assert first.kind == again.kind
    for a, b in zip(first.pictures, again.pictures, strict=True):
        assert torch.equal(a.frame.rgb, b.frame.rgb)
        assert all(torch.equal(s.T_camera_object, t.T_camera_object) for s, t in zip(a.starts, b.starts, strict=True))


class Oracle:
    """Answers with a fixed pose, score and covariance."""

    def __init__(self, T: Tensor, score: float) -> None:
        self._T, self._score = T, score

    def refine(
        self, frame: ImageFrame, hypotheses: Sequence[PoseHypothesis], objects: Mapping[str, ObjectModel], **_: Any
    ) -> list[RefinementResult]:
        covariance = torch.diag(torch.tensor([1e-3] * 6, dtype=torch.float64)) ** 2
        return [
            RefinementResult(h.label, self._T, RefinementStatus.CONVERGED, self._score, 0.1, covariance)
            for h in hypotheses
        ]


class OneEpisode:
    """A truth that is seen in two pictures and then gone."""

    def __init__(self, model: ObjectModel, T: Tensor) -> None:
        self.objects = {model.label: model}
        camera = intrinsics(60.0, 60.0, 32.0, 24.0, width=64, height=48)
        self._start = PoseHypothesis(model.label, T)
        self._frame = ImageFrame(torch.zeros(48, 64, 3, dtype=torch.uint8), camera)
        self._T = T

    def episode(self, number: int) -> TrapEpisode:
        from rnnpose_ros.evaluation.trap_scenes import TrapPicture

        pictures = tuple(
            TrapPicture(
                dataclasses.replace(self._frame, stamp_ns=1 + i), self._T if i < 2 else None, i < 2, (self._start,)
            )
            for i in range(3)
        )
        return TrapEpisode("hidden", self._start.label, pictures)


@pytest.mark.parametrize(
    ("offset", "score", "published", "wrong", "availability"),
    [(0.0, 0.9, 3, 1, 1.0), (0.05, 0.9, 3, 3, 0.0), (0.0, 0.1, 0, 0, 0.0)],
    ids=["right but never silent", "wrong and sure", "silent"],
)
def test_wrong_poses_are_counted_and_so_is_silence(
    scenes: NoDrawing, offset: float, score: float, published: int, wrong: int, availability: float
) -> None:
    scenes.episode(0)
    model = dataclasses.replace(next(iter(scenes.objects.values())), diameter=0.2)
    T = exp_se3(torch.tensor([0.0, 0.0, 0.6, 0.0, 0.0, 0.0], dtype=torch.float64))
    answer = T.clone()
    answer[0, 3] += offset
    results = list(run_traps(Oracle(answer, score), OneEpisode(model, T), pictures=3, config=TrackingConfig()))
    summary = summarize_traps(results)
    assert (summary.pictures, summary.published, summary.wrong) == (3, published, wrong)
    assert summary.availability == availability


@pytest.mark.parametrize(("score", "pictures"), [(0.9, 8), (0.1, 3)], ids=["published", "not"])
def test_what_is_published_is_followed_for_longer(scenes: NoDrawing, score: float, pictures: int) -> None:
    scenes.episode(0)
    model = next(iter(scenes.objects.values()))
    T = exp_se3(torch.tensor([0.0, 0.0, 0.6, 0.0, 0.0, 0.0], dtype=torch.float64))
    oracle, shown = Oracle(T, score), OneEpisode(model, T)
    results = list(run_traps(oracle, shown, pictures=1, config=TrackingConfig(), follow=5))
    summary = summarize_traps(results)
    assert (summary.pictures, summary.fair) == (pictures, 2)


def test_later_pictures_are_the_same_scene_read_out_again(episodes: dict[str, TrapEpisode]) -> None:
    episode = episodes["clear"]
    last, later = episode.pictures[-1], [seen_again(episode, index) for index in (4, 5)]
    assert [p.frame.stamp_ns for p in later] == sorted({last.frame.stamp_ns + 33_333_333 * i for i in (1, 2)})
    assert not torch.equal(later[0].frame.rgb, later[1].frame.rgb)
    difference = later[0].frame.rgb.double() - last.frame.rgb.double()
    assert float(difference.std()) == pytest.approx(2.0, rel=0.1)
    assert torch.equal(seen_again(episode, 4).frame.rgb, later[0].frame.rgb)


def test_the_ellipsoid_holds_as_many_errors_as_it_says() -> None:
    """Drawn from a covariance, 95 % of the truths lie in its ellipsoid."""
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(6, 6, generator=generator, dtype=torch.float64) * 0.003
    covariance = A @ A.T
    T = exp_se3(torch.tensor([0.1, 0.0, 0.6, 0.5, -0.3, 0.2], dtype=torch.float64))
    inside = 0
    for _ in range(1000):
        error = A @ torch.randn(6, generator=generator, dtype=torch.float64)
        truth = T.clone()
        truth[:3, :3] = exp_se3(torch.cat([torch.zeros(3).double(), error[3:]]))[:3, :3] @ T[:3, :3]
        truth[:3, 3] += error[:3]
        inside += mahalanobis_squared(T, truth, covariance) < 12.591587
    assert 930 <= inside <= 970


def test_a_summary_without_anything_has_no_rates() -> None:
    answer = TrapAnswer("absent", 0, 0, False, True, "converged", 0.9, math.nan, math.nan)
    summary = summarize_traps([TrapPictureResult("absent", False, (answer,))])
    assert (summary.wrong, math.isnan(summary.availability), math.isnan(summary.coverage)) == (1, True, True)


@pytest.mark.slow
def test_the_verb_prints_its_table_and_writes_every_answer(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "traps.json"
    arguments = ["--pictures", "8", "--set", "cycles=1", "--set", "iterations=1", "--out", str(out)]
    assert main(["evaluate", "traps", *arguments]) == 0
    assert "availability" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["kinds"]["all"]["pictures"] == 8
    assert written["answers"]
