"""Refinement measured on the path-traced benchmark SYN: every frame, every start, every error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.bop.dataset import BopImage
from rnnpose_ros.data.syn.reading import Benchmark, ObjectEntry
from rnnpose_ros.data.syn.starts import start_at_angle
from rnnpose_ros.errors import InputError
from rnnpose_ros.evaluation.grey_pictures import without_colour
from rnnpose_ros.evaluation.metrics import PoseErrors, pose_errors, visible_points
from rnnpose_ros.objects.symmetry import nearest_symmetric
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, ObjectModel, PoseHypothesis, RefinementResult

BASIN_DEG = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0)

Retake = Callable[[BopImage, CameraIntrinsics], ImageFrame]
"""Another picture of the same object at the same pose, for the same camera or one that is a part of it."""


@dataclass(frozen=True, slots=True)
class SynTrial:
    """One refinement of one frame from one start. ``add`` is ADD-S for symmetric objects."""

    label: str
    kind: str
    scene_id: int
    image_id: int
    start: int
    pictures: str
    """Which pictures: "path-traced", "grey", "training renderer"."""
    start_deg: float
    """Angle between start and truth, for a symmetric object to the nearest equal pose."""
    asked_deg: float
    """In the basin: by how much the start was turned; NaN elsewhere."""
    visible_share: float
    size_px: float
    """The diameter at the object's distance, in pixels."""
    initial_add: float
    """Diameters."""
    add: float
    add_at_true_depth: float
    """Of the refined pose moved along the ray through the object's centre to where it is true, diameters."""
    mssd: float
    """Diameters."""
    mspd_px: float
    initial_px: float
    """Projection error over all vertices."""
    refined_px: float
    initial_visible_px: float
    """Over the visible surface."""
    refined_visible_px: float
    rotation_deg: float
    translation_mm: float
    status: str
    score: float
    T_camera_object: tuple[float, ...]
    """Refined, row by row, metres."""


class SynMeter:
    """Refines and measures on one benchmark."""

    def __init__(self, benchmark: Benchmark, refiners: Mapping[str, Refiner], *, every: int = 1) -> None:
        """Allocates nothing.

        Args:
            benchmark: What is measured on.
            refiners: Those that refine, by the label of the object; other objects are left out.
            every: Take every so many frames of each object.
        """
        self._benchmark = benchmark
        self._refiners = refiners
        self._every = every

    def trials(
        self, *, noise: str = "N1", starts: int = 1, grey: bool = False, retake: Retake | None = None
    ) -> Iterator[SynTrial]:
        """Refines every frame from its stored starts.

        Args:
            noise: N1, N2 or N3.
            starts: The first so many of each frame.
            grey: Take the colour out of the pictures.
            retake: Other pictures instead of the path-traced ones.

        Raises:
            InputError: The benchmark has no such starts.
        """
        pictures = "training renderer" if retake is not None else "grey" if grey else "path-traced"
        for image in self.frames():
            there = self._benchmark.starts.get((image.scene_id, image.image_id, noise))
            if there is None or len(there) < starts:
                raise InputError(
                    f"{self._benchmark.dataset.folder}: expected {starts} starts {noise} for image {image.image_id} "
                    f"of scene {image.scene_id}, got {0 if there is None else len(there)}"
                )
            yield from self._measured(image, there[:starts], pictures, retake=retake)

    def basin(self, *, sparser: int = 1, angles_deg: Sequence[float] = BASIN_DEG) -> Iterator[SynTrial]:
        """Refines every so many frames from starts at fixed angles about random axes, moved as by N1."""
        for image in self.frames(sparser=sparser):
            model, truth = self._model(image), _truth(image)
            seed = 1000 * image.scene_id + image.image_id
            starts = [
                start_at_angle(truth, model, angle_deg=angle, seed=100 * seed + i) for i, angle in enumerate(angles_deg)
            ]
            for trial, angle in zip(self._measured(image, torch.stack(starts), "path-traced"), angles_deg, strict=True):
                yield replace(trial, asked_deg=float(angle))

    def frames(self, *, sparser: int = 1) -> list[BopImage]:
        """The frames that are taken, objects in turn, so that what is measured first is a fair sample."""
        images = [image for image in self._benchmark.images if self._entry(image).label in self._refiners]
        chosen = [image for image in images if image.image_id % (sparser * self._every) == 0]
        return sorted(chosen, key=lambda image: (image.image_id, image.scene_id))

    def _entry(self, image: BopImage) -> ObjectEntry:
        assert image.annotations
        return self._benchmark.objects[image.annotations[0].object_id]

    def _model(self, image: BopImage) -> ObjectModel:
        assert image.annotations
        return self._benchmark.dataset.models[image.annotations[0].object_id]

    def _refiner(self, image: BopImage) -> Refiner:
        return self._refiners[self._entry(image).label]

    def _measured(
        self, image: BopImage, starts: Float[Tensor, "N 4 4"], pictures: str, *, retake: Retake | None = None
    ) -> Iterator[SynTrial]:
        assert image.annotations
        dataset, model = self._benchmark.dataset, self._model(image)
        number = image.annotations[0].object_id
        frame = dataset.frame(image)
        if retake is not None:
            frame = retake(image, frame.camera)
        elif pictures == "grey":
            frame = replace(frame, rgb=without_colour(frame.rgb))
        hypotheses = [PoseHypothesis(model.label, T, source="perturbed") for T in starts]
        results = self._refiner(image).refine(frame, hypotheses, {model.label: model})
        before, after, at_depth = self._errors(image, frame, starts, results)
        symmetric = dataset.models.objects[number].is_symmetric
        entry = self._entry(image)
        for k, result in enumerate(results):
            yield SynTrial(
                label=entry.label,
                kind=entry.kind,
                scene_id=image.scene_id,
                image_id=image.image_id,
                start=k,
                pictures=pictures,
                start_deg=math.degrees(float(before.rotation[k])),
                asked_deg=math.nan,
                visible_share=image.annotations[0].visible_share,
                size_px=float(image.K[0, 0, 0]) * model.diameter / float(_truth(image)[2, 3]),
                initial_add=float((before.add_s if symmetric else before.add)[k]) / model.diameter,
                add=float((after.add_s if symmetric else after.add)[k]) / model.diameter,
                add_at_true_depth=float((at_depth.add_s if symmetric else at_depth.add)[k]) / model.diameter,
                mssd=float(after.mssd[k]) / model.diameter,
                mspd_px=float(after.mspd[k]),
                initial_px=float(before.projection_px[k]),
                refined_px=float(after.projection_px[k]),
                initial_visible_px=_first(before.visible_projection_px, k),
                refined_visible_px=_first(after.visible_projection_px, k),
                rotation_deg=math.degrees(float(after.rotation[k])),
                translation_mm=1000.0 * float(after.translation[k]),
                status=result.status.value,
                score=result.score,
                T_camera_object=tuple(result.T_camera_object.double().flatten().tolist()),
            )

    def _errors(
        self, image: BopImage, frame: ImageFrame, starts: Tensor, results: Sequence[RefinementResult]
    ) -> tuple[PoseErrors, PoseErrors, PoseErrors]:
        """Of the starts, of the results, and of the results at their true depth.

        Of a pose that has equals, the one nearest to the truth is measured.
        """
        assert image.annotations
        truth, model = _truth(image), self._benchmark.dataset.evaluation_models[image.annotations[0].object_id]
        refiner = self._refiner(image)
        mesh = refiner.features.get(self._model(image)).mesh
        depth = refiner.renderer.render([mesh], truth[None], frame.camera).depth[0]
        seen = visible_points(depth, truth, frame.camera)
        refined = torch.stack([result.T_camera_object.double().cpu() for result in results])
        truths = truth.expand_as(refined)
        before, after, at_depth = (
            pose_errors(
                nearest_symmetric(T, model.symmetries, truths),
                truths,
                model=model,
                camera=frame.camera,
                visible_points_object=seen,
            )
            for T in (starts, refined, at_true_depth(refined, truth, model.centre.double()))
        )
        return before, after, at_depth


def at_true_depth(
    T_camera_object: Float[Tensor, "N 4 4"], truth: Float[Tensor, "4 4"], centre_object: Float[Tensor, "3"]
) -> Float[Tensor, "N 4 4"]:
    """The poses moved along the ray through the object's centre until that is as deep as it truly is."""
    centres = T_camera_object[:, :3, :3] @ centre_object + T_camera_object[:, :3, 3]
    true_depth = truth[2, :3] @ centre_object + truth[2, 3]
    moved = T_camera_object.clone()
    moved[:, :3, 3] += centres * (true_depth / centres[:, 2:] - 1)
    return moved


def _truth(image: BopImage) -> Float[Tensor, "4 4"]:
    assert image.annotations
    return image.annotations[0].T_camera_object.double()


def _first(values: Tensor | None, k: int) -> float:
    return math.nan if values is None else float(values[k])
