"""One object measured on held-out pictures: from start noise, and from starts ever further away (the basin)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.held_out.painters import HeldOutView
from rnnpose_ros.evaluation.metrics import PoseErrors, pose_errors, visible_points
from rnnpose_ros.files import make_folder, write_json
from rnnpose_ros.geometry.perturbation import N1, PoseNoise, perturb
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.types import ObjectModel, PoseHypothesis, RefinementResult

BASIN_DEG = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0)
_HIDDEN = 0.05
"""Pictures that show less of the object say nothing."""


@dataclass(frozen=True, slots=True)
class ObjectTrial:
    """One refinement of one picture from one start. ``add`` is ADD-S for symmetric objects."""

    view: int
    asked_deg: float
    """In the basin: the angle of the start; -1 for a start from noise."""
    initial_add: float
    """Diameters."""
    add: float
    initial_px: float
    """Projection error over all vertices."""
    refined_px: float
    initial_visible_px: float
    """Over the visible surface."""
    refined_visible_px: float
    initial_deg: float
    rotation_deg: float
    initial_mm: float
    translation_mm: float
    status: str
    score: float
    T_start: tuple[float, ...]
    """Row by row, metres."""
    T_refined: tuple[float, ...]

    @property
    def is_from_noise(self) -> bool:
        """Counts for the recalls; the others for the basin."""
        return self.asked_deg < 0


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """Which starts each picture gets."""

    noise_starts: int = 4
    basin_deg: tuple[float, ...] = BASIN_DEG
    seed: int = 0

    def starts(
        self, number: int, truth: Float[Tensor, "4 4"], model: ObjectModel
    ) -> tuple[Float[Tensor, "N 4 4"], list[float]]:
        """The starts of a picture, and for each the angle that was asked for."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + number)
        noise = N1.for_diameter(model.diameter)
        centre = model.centre[None]
        noisy = perturb(
            truth.repeat(self.noise_starts, 1, 1),
            noise=noise,
            generator=generator,
            centre_object=centre.repeat(self.noise_starts, 1),
        )
        turned = [
            perturb(truth[None], noise=_turned_by(angle, noise), generator=generator, centre_object=centre)
            for angle in self.basin_deg
        ]
        return torch.cat([noisy, *turned]), [-1.0] * self.noise_starts + list(self.basin_deg)


def _turned_by(angle_deg: float, noise: PoseNoise) -> PoseNoise:
    angle = math.radians(angle_deg)
    return PoseNoise(translation_std=noise.translation_std, rotation_range=(angle, angle))


class ObjectMeter:
    """Measures networks on the same pictures and starts, and keeps what was measured.

    Args:
        model: The object.
        view: Gives a picture by its number.
        plan: The starts.
        folder: What was measured of a picture is kept here and not measured again.
    """

    def __init__(
        self, model: ObjectModel, view: Callable[[int], HeldOutView], *, plan: TrialPlan, folder: Path
    ) -> None:
        self._model = model
        self._view = view
        self._plan = plan
        self._folder = folder

    def measure(self, refiner: Refiner, name: str, numbers: Sequence[int]) -> Iterator[list[ObjectTrial]]:
        """The trials of one picture after the other.

        Args:
            refiner: With the network.
            name: Of the network, in the kept files.
            numbers: Of the pictures.

        Raises:
            OutputError: What was measured cannot be kept.
        """
        for number in numbers:
            path = self._folder / f"{name}_{number:03d}.json"
            trials = _read(path)
            if trials is None:
                trials = self._measured(refiner, number)
                make_folder(self._folder)
                write_json(path, [asdict(trial) for trial in trials])
            yield trials

    def _measured(self, refiner: Refiner, number: int) -> list[ObjectTrial]:
        view, model = self._view(number), self._model
        truth = view.T_camera_object
        starts, asked = self._plan.starts(number, truth, model)
        buffers = refiner.renderer.render([refiner.features.get(model).mesh], truth[None], view.frame.camera)
        seen = visible_points(buffers.depth[0], truth, view.frame.camera)
        if view.visible_share < _HIDDEN or len(seen) == 0:
            return []
        results = refiner.refine(view.frame, [PoseHypothesis(model.label, T) for T in starts], {model.label: model})
        before = self._errors(starts, view, seen)
        after = self._errors(torch.stack([r.T_camera_object for r in results]), view, seen)
        return [
            self._trial(number, angle, starts[i], result, (before, after), i)
            for i, (angle, result) in enumerate(zip(asked, results, strict=True))
        ]

    def _errors(self, T: Float[Tensor, "N 4 4"], view: HeldOutView, seen: Float[Tensor, "M 3"]) -> PoseErrors:
        truths = view.T_camera_object.expand(len(T), 4, 4)
        return pose_errors(T, truths, model=self._model, camera=view.frame.camera, visible_points_object=seen)

    def _trial(
        self,
        number: int,
        angle: float,
        T_start: Float[Tensor, "4 4"],
        result: RefinementResult,
        errors: tuple[PoseErrors, PoseErrors],
        i: int,
    ) -> ObjectTrial:
        before, after = errors
        assert before.visible_projection_px is not None
        assert after.visible_projection_px is not None
        is_symmetric = len(self._model.symmetries) > 1
        initial_add, add = (e.add_s if is_symmetric else e.add for e in errors)
        return ObjectTrial(
            view=number,
            asked_deg=angle,
            initial_add=float(initial_add[i]) / self._model.diameter,
            add=float(add[i]) / self._model.diameter,
            initial_px=float(before.projection_px[i]),
            refined_px=float(after.projection_px[i]),
            initial_visible_px=float(before.visible_projection_px[i]),
            refined_visible_px=float(after.visible_projection_px[i]),
            initial_deg=math.degrees(float(before.rotation[i])),
            rotation_deg=math.degrees(float(after.rotation[i])),
            initial_mm=1000.0 * float(before.translation[i]),
            translation_mm=1000.0 * float(after.translation[i]),
            status=result.status.value,
            score=result.score,
            T_start=tuple(T_start.reshape(-1).tolist()),
            T_refined=tuple(result.T_camera_object.reshape(-1).tolist()),
        )


def precision(trials: Sequence[ObjectTrial]) -> float:
    """Area under the recall curve of ADD(-S) from 0 to a tenth of the diameter, 0..1, over the starts from noise.

    It counts a miss as a miss and a precise pose for more than a barely right one, so that it tells two networks
    apart on few pictures where the recall alone would not.
    """
    errors = np.array([t.add for t in trials if t.is_from_noise])
    gains = np.clip(1.0 - np.nan_to_num(errors, nan=np.inf) / 0.1, 0.0, 1.0)
    return float(gains.mean()) if len(gains) else 0.0


def _read(path: Path) -> list[ObjectTrial] | None:
    """None where it was not measured, or not kept whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            ObjectTrial(**{**t, "T_start": tuple(t["T_start"]), "T_refined": tuple(t["T_refined"])}) for t in content
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return None
