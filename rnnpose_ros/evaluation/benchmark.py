"""Refinement measured on recorded sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.evaluation.grey_pictures import without_colour
from rnnpose_ros.evaluation.metrics import pose_errors, visible_points
from rnnpose_ros.geometry.perturbation import N1, PoseNoise, perturb
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.refinement.restarts import poses_around
from rnnpose_ros.sources.sequence import Sequence as ImageSequence
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult, RefinementStatus


@dataclass(frozen=True, slots=True)
class Trial:
    """One refinement of one frame from one start, measured against the reference pose."""

    frame: int
    seed: int
    initial_px: float
    """Mean projection error over all vertices, pixels."""
    initial_visible_px: float
    """Over the surface visible at the reference pose."""
    refined_px: float
    refined_visible_px: float
    rotation_deg: float
    translation_mm: float
    add_diameters: float
    status: str
    score: float


def evaluate_sequence(
    refiner: Refiner,
    sequence: ImageSequence,
    *,
    seeds: int = 3,
    noise: PoseNoise = N1,
    noise_scale: float = 1.0,
    spread: int = 1,
    cycles: int | None = None,
    every: int = 1,
    grey: bool = False,
) -> Iterator[Trial]:
    """Refines every frame that has a reference pose, from start noise.

    The start of a frame and seed is always the same: the noise is drawn from ``1000 * frame + seed``.

    Args:
        refiner: With its weights.
        sequence: Pictures and reference poses.
        seeds: Starts per frame.
        noise: Of the starts.
        noise_scale: Factor on it.
        spread: Poses that each is refined from, the start and turns of it within 90 degrees.
        cycles: Instead of the configured number.
        every: Only every so many reference frames.
        grey: Take the colour out of the pictures.
    """
    model, camera = sequence.object, sequence.camera
    for index, rgb in sequence.frames(sorted(sequence.poses)[::every]):
        truth = sequence.poses[index]
        frame = ImageFrame(rgb=without_colour(rgb) if grey else rgb, camera=camera)
        starts = torch.cat([_start(truth, model.centre, index, seed, noise, noise_scale) for seed in range(seeds)])
        buffers = refiner.renderer.render([refiner.features.get(model).mesh], truth[None], camera)
        seen = visible_points(buffers.depth[0], truth, camera)
        results = _refined(refiner, frame, starts, model, spread=spread, cycles=cycles)
        refined = torch.stack([r.T_camera_object for r in results])
        truths = truth.expand(seeds, 4, 4)
        before = pose_errors(starts, truths, model=model, camera=camera, visible_points_object=seen)
        after = pose_errors(refined, truths, model=model, camera=camera, visible_points_object=seen)
        assert before.visible_projection_px is not None
        assert after.visible_projection_px is not None
        for seed, result in enumerate(results):
            yield Trial(
                frame=index,
                seed=seed,
                initial_px=float(before.projection_px[seed]),
                initial_visible_px=float(before.visible_projection_px[seed]),
                refined_px=float(after.projection_px[seed]),
                refined_visible_px=float(after.visible_projection_px[seed]),
                rotation_deg=float(torch.rad2deg(after.rotation[seed])),
                translation_mm=1000.0 * float(after.translation[seed]),
                add_diameters=float(after.add[seed]) / model.diameter,
                status=result.status.value,
                score=result.score,
            )


def summarize(trials: Sequence[Trial]) -> dict[str, float]:
    """Shares and medians of a list of trials."""
    columns = {name: torch.tensor([getattr(t, name) for t in trials]) for name in Trial.__slots__ if name != "status"}
    summary: dict[str, float] = {"cases": float(len(trials))}
    for name in ("initial_px", "refined_px", "initial_visible_px", "refined_visible_px"):
        values = columns[name]
        summary[f"{name}_median"] = float(values.nanmedian())
        for limit in (1, 2, 5):
            summary[f"{name}_under_{limit}"] = float((values < limit).float().mean())
    summary["rotation_deg_median"] = float(columns["rotation_deg"].nanmedian())
    summary["translation_mm_median"] = float(columns["translation_mm"].nanmedian())
    summary["add_01d"] = float((columns["add_diameters"] < 0.1).float().mean())
    good = {RefinementStatus.CONVERGED.value, RefinementStatus.NOT_CONVERGED.value}
    summary["usable"] = sum(t.status in good for t in trials) / max(len(trials), 1)
    return summary


def _refined(
    refiner: Refiner,
    frame: ImageFrame,
    starts: Float[Tensor, "K 4 4"],
    model: ObjectModel,
    *,
    spread: int,
    cycles: int | None,
) -> list[RefinementResult]:
    """One result of each start."""
    objects = {model.label: model}
    if spread == 1:
        hypotheses = [PoseHypothesis(model.label, T, source="perturbed") for T in starts]
        return refiner.refine(frame, hypotheses, objects, cycles=cycles)
    results = []
    for start in starts:
        poses = poses_around(start, model, count=spread, within_deg=90.0)
        hypotheses = [PoseHypothesis(model.label, T, source="perturbed") for T in poses]
        results += refiner.refine_best(frame, hypotheses, objects, cycles=cycles)
    return results


def _start(
    truth: Float[Tensor, "4 4"], centre: Float[Tensor, "3"], index: int, seed: int, noise: PoseNoise, scale: float
) -> Float[Tensor, "1 4 4"]:
    generator = torch.Generator().manual_seed(1000 * index + seed)
    return perturb(truth[None], noise=noise, scale=scale, generator=generator, centre_object=centre[None])
