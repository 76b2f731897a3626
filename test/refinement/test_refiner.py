"""The refiner with the packaged weights on the packaged sequence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from rnnpose_ros.checkpoints.checkpoint import default_weights, load_network
from rnnpose_ros.errors import InputError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.perturbation import perturb
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.refinement.alignment import AlignmentConfig
from rnnpose_ros.refinement.pictures import overlay, similarity_map
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.refinement.status import Calibration
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.sources.sequence import Sequence, read_sequence
from rnnpose_ros.types import ImageFrame, PoseHypothesis, RefinementStatus

INDEX = 20


@pytest.fixture(scope="module")
def sequence() -> Sequence:
    return read_sequence("package://rnnpose_ros/models/sequences/tea_box")


@pytest.fixture(scope="module")
def frame(sequence: Sequence) -> ImageFrame:
    return ImageFrame(rgb=sequence.frame(INDEX), camera=sequence.camera)


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    network, info = load_network(default_weights())
    return Refiner(network, WarpRenderer("cpu"), calibration=Calibration.from_mapping(info.calibration))


def starts(sequence: Sequence, count: int, *, scale: float = 0.6) -> list[PoseHypothesis]:
    truth = sequence.poses[INDEX].expand(count, 4, 4)
    centre = sequence.object.centre.expand(count, 3)
    poses = perturb(truth, generator=torch.Generator().manual_seed(0), scale=scale, centre_object=centre)
    return [PoseHypothesis(sequence.object.label, T) for T in poses]


def test_wrong_starts_are_brought_within_a_few_millimetres(
    refiner: Refiner, frame: ImageFrame, sequence: Sequence
) -> None:
    hypotheses = starts(sequence, 4)
    results = refiner.refine(frame, hypotheses, {"tea_box": sequence.object})
    for hypothesis, result in zip(hypotheses, results, strict=True):
        before = (hypothesis.T_camera_object - sequence.poses[INDEX])[:3, 3].norm()
        after = (result.T_camera_object - sequence.poses[INDEX])[:3, 3].norm()
        assert result.is_usable
        assert after < max(0.4 * before, torch.tensor(0.01))
        assert result.score > 0.5


def test_two_runs_give_the_same_bits(refiner: Refiner, frame: ImageFrame, sequence: Sequence) -> None:
    objects = {"tea_box": sequence.object}
    first, second = (refiner.refine(frame, starts(sequence, 1), objects)[0] for _ in range(2))
    assert torch.equal(first.T_camera_object, second.T_camera_object)
    assert first.score == second.score


def test_a_batch_equals_single_runs(refiner: Refiner, frame: ImageFrame, sequence: Sequence) -> None:
    objects, hypotheses = {"tea_box": sequence.object}, starts(sequence, 3)
    together = refiner.refine(frame, hypotheses, objects)
    for hypothesis, result in zip(hypotheses, together, strict=True):
        (alone,) = refiner.refine(frame, [hypothesis], objects)
        torch.testing.assert_close(alone.T_camera_object, result.T_camera_object, rtol=0, atol=1e-4)


def test_failures_of_one_object_are_values_and_leave_the_others_alone(
    refiner: Refiner, frame: ImageFrame, sequence: Sequence
) -> None:
    (good,) = starts(sequence, 1)
    behind, aside, nan = (good.T_camera_object.clone() for _ in range(3))
    behind[2, 3] = -0.5
    aside[0, 3] = 3.0
    nan[0, 0] = float("nan")
    hypotheses = [good, *(dataclasses.replace(good, T_camera_object=T) for T in (behind, aside, nan))]
    results = refiner.refine(frame, hypotheses, {"tea_box": sequence.object})
    assert results[0].is_usable
    assert [r.status for r in results[1:]] == [
        RefinementStatus.OUT_OF_VIEW,
        RefinementStatus.OUT_OF_VIEW,
        RefinementStatus.SINGULAR,
    ]
    assert torch.equal(results[2].T_camera_object, aside)
    assert all(r.score == 0.0 and r.covariance is None for r in results[1:])


def test_alignment_betters_what_the_network_found(refiner: Refiner, frame: ImageFrame, sequence: Sequence) -> None:
    objects, hypotheses = {"tea_box": sequence.object}, starts(sequence, 4)
    alone = refiner.with_config(dataclasses.replace(refiner.config, alignment=AlignmentConfig(steps=0)))
    points, truth = (
        sequence.object.mesh.vertices.double(),
        transform(sequence.poses[INDEX], sequence.object.mesh.vertices.double()),
    )
    errors = [
        torch.stack([(transform(r.T_camera_object, points) - truth).norm(dim=-1).mean() for r in results])
        for results in (refiner.refine(frame, hypotheses, objects), alone.refine(frame, hypotheses, objects))
    ]
    assert errors[0].median() < 0.6 * errors[1].median()


def test_score_falls_where_there_is_no_object(refiner: Refiner, frame: ImageFrame, sequence: Sequence) -> None:
    hypotheses, objects = starts(sequence, 1, scale=0.2), {"tea_box": sequence.object}
    blank = dataclasses.replace(frame, rgb=torch.full_like(frame.rgb, 128))
    here = refiner.refine(frame, hypotheses, objects)[0].score
    nowhere = refiner.refine(blank, hypotheses, objects)[0].score
    assert nowhere < 0.5 < here


def test_covariance_is_positive_and_about_the_size_of_the_error(
    refiner: Refiner, frame: ImageFrame, sequence: Sequence
) -> None:
    (result,) = refiner.refine(frame, starts(sequence, 1), {"tea_box": sequence.object})
    assert result.covariance is not None
    assert float(torch.linalg.eigvalsh(result.covariance).min()) > 0
    deviation = result.covariance.diagonal()[:3].sqrt()
    assert 1e-5 < float(deviation.max()) < 0.1


def test_trace_and_pictures_show_the_object_where_it_is(
    refiner: Refiner, frame: ImageFrame, sequence: Sequence
) -> None:
    objects, hypotheses = {"tea_box": sequence.object}, starts(sequence, 1)
    results = refiner.refine(frame, hypotheses, objects, trace=True)
    assert results[0].trace is not None
    cycles = len(results[0].trace) // 4
    assert 1 <= cycles <= 3
    assert [(t.cycle, t.iteration) for t in results[0].trace] == [(c, i) for c in range(cycles) for i in range(4)]
    first, second = results[0].trace[:2]
    shown = first.depth[::8, ::8] > 0
    torch.testing.assert_close(first.rectified_uv[shown], second.induced_uv[shown], rtol=0, atol=0.01)
    picture = overlay(frame, results, objects, refiner.features, initial=hypotheses)
    assert picture.shape == (480, 640, 3)
    assert np.any(picture != frame.rgb.numpy())
    similarity = similarity_map(frame, results)
    depth = (
        refiner.renderer.render(
            [refiner.features.get(sequence.object).mesh], results[0].T_camera_object[None], frame.camera
        )
        .depth[0]
        .numpy()
    )
    inside, outside = similarity[depth > 0].mean(), similarity[depth == 0].mean()
    assert inside > 0.1
    assert outside < 0.1 * inside


def test_image_that_does_not_fit_its_camera_and_unknown_labels_are_refused(
    refiner: Refiner, frame: ImageFrame, sequence: Sequence
) -> None:
    hypotheses, objects = starts(sequence, 1), {"tea_box": sequence.object}
    small = intrinsics(300.0, 300.0, 160.0, 120.0, width=320, height=240)
    with pytest.raises(InputError, match="640 x 480 but its camera is 320 x 240"):
        refiner.refine(dataclasses.replace(frame, camera=small), hypotheses, objects)
    zero = dataclasses.replace(frame.camera, K=torch.zeros(1, 3, 3, dtype=torch.float64))
    with pytest.raises(InputError, match="not calibrated"):
        refiner.refine(dataclasses.replace(frame, camera=zero), hypotheses, objects)
    with pytest.raises(InputError, match="no object is called 'mug'"):
        refiner.refine(frame, [dataclasses.replace(hypotheses[0], label="mug")], objects)


def test_of_several_starts_the_one_near_the_object_wins(
    refiner: Refiner, frame: ImageFrame, sequence: Sequence
) -> None:
    (near,) = starts(sequence, 1, scale=0.3)
    aside = near.T_camera_object.clone()
    aside[0, 3] += 0.15
    hypotheses = [dataclasses.replace(near, T_camera_object=aside), near]
    (best,) = refiner.refine_best(frame, hypotheses, {"tea_box": sequence.object}, cycles=2, iterations=2, trace=True)
    assert float((best.T_camera_object - sequence.poses[INDEX])[:3, 3].norm()) < 0.01
    assert best.trace is not None
    assert [(t.cycle, t.iteration) for t in best.trace] == [(c, i) for c in range(2) for i in range(2)]


def test_starts_of_several_objects_and_none_to_keep_are_refused(
    refiner: Refiner, frame: ImageFrame, sequence: Sequence
) -> None:
    hypotheses, objects = starts(sequence, 2), {"tea_box": sequence.object}
    for wrong, keep in (
        ([], 1),
        ([hypotheses[0], dataclasses.replace(hypotheses[1], label="mug")], 1),
        (hypotheses, 0),
    ):
        with pytest.raises(InputError, match="starts of one object"):
            refiner.refine_best(frame, wrong, objects, keep=keep)
