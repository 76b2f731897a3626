"""Every error of the estimates of one object in one picture, against every true instance of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.evaluation.bop_recall import Pairs
from rnnpose_ros.evaluation.metrics import pose_errors, visible_points
from rnnpose_ros.evaluation.vsd import DepthViews, distances, vsd
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import ImageFrame, ObjectModel

_BOP_WIDTH_PX = 640.0


@dataclass(frozen=True, slots=True, eq=False)
class TargetErrors:
    """Each measure with E estimates against G instances."""

    add: Pairs
    """ADD, or ADD-S for an object that counts as symmetric; diameters."""
    projection: Pairs
    """Over all vertices, px."""
    visible_projection: Pairs
    """Over the surface seen at the true pose, px."""
    mssd: Pairs
    """Diameters."""
    mspd: Pairs
    """Pixels of a picture 640 wide."""
    vsd: Pairs | None
    """One measure for each tau; None without depth."""
    turn_and_shift: Pairs
    """Degrees to the nearest symmetric truth, and centimetres between the centres."""


MEASURES = TargetErrors.__slots__


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What is known of one object in one picture."""

    frame: ImageFrame
    model: ObjectModel
    T_references: Float[Tensor, "G 4 4"]
    wanted: Bool[np.ndarray, "G"]
    is_symmetric: bool


class ErrorMeter:
    """Measures estimates; draws what it needs to see."""

    def __init__(self, renderer: Renderer, *, delta: float) -> None:
        """Allocates nothing until the first object comes.

        Args:
            renderer: Draws objects alone.
            delta: Of VSD, metres.
        """
        self._renderer = renderer
        self._delta = delta
        self._meshes: dict[str, object] = {}

    def measure(
        self,
        target: Target,
        T_estimates: Float[Tensor, "E 4 4"],
        scores: Float[np.ndarray, "E"],
        groups: Sequence[np.ndarray],
    ) -> list[TargetErrors]:
        """The errors of several groups of estimates, in one go.

        Args:
            target: The object in its picture.
            T_estimates: Of all groups.
            scores: Of all groups.
            groups: Indices of each group's estimates.
        """
        columns = [self._against(target, T_estimates, T) for T in target.T_references]
        names = [name for name in MEASURES if name != "vsd" or target.frame.depth is not None]
        nothing = np.zeros((len(scores), 0, 1))
        stacked = {name: np.stack([c[name] for c in columns], 1) if columns else nothing for name in names}
        answers = []
        for group in groups:
            pairs = {name: Pairs(scores[group], target.wanted, values[group]) for name, values in stacked.items()}
            answers.append(TargetErrors(**{"vsd": None, **pairs}))  # type: ignore[arg-type]
        return answers

    def _against(
        self, target: Target, T_estimates: Float[Tensor, "E 4 4"], T_reference: Float[Tensor, "4 4"]
    ) -> dict[str, np.ndarray]:
        """Each measure of all estimates against one instance, E K."""
        model, camera = target.model, target.frame.camera
        depth = self._depth(model, T_reference, target.frame)
        seen = visible_points(depth, T_reference, camera)
        T_references = T_reference.expand(len(T_estimates), 4, 4)
        errors = pose_errors(T_estimates, T_references, model=model, camera=camera, visible_points_object=seen)
        assert errors.visible_projection_px is not None
        distance = errors.add_s if target.is_symmetric else errors.add
        width_factor = _BOP_WIDTH_PX / camera.width
        columns = {
            "add": distance / model.diameter,
            "projection": errors.projection_px,
            "visible_projection": errors.visible_projection_px,
            "mssd": errors.mssd / model.diameter,
            "mspd": errors.mspd * width_factor,
        }
        measured = {name: values[:, None].numpy() for name, values in columns.items()}
        both = torch.stack([torch.rad2deg(errors.rotation), 100.0 * errors.translation], -1)
        measured["turn_and_shift"] = both.numpy()
        if target.frame.depth is not None:
            measured["vsd"] = self._vsd(target, T_estimates, depth)
        return measured

    def _vsd(self, target: Target, T_estimates: Tensor, depth_reference: Float[Tensor, "H W"]) -> np.ndarray:
        camera = target.frame.camera
        assert target.frame.depth is not None
        views = DepthViews(distances(target.frame.depth, camera), self._delta)
        reference = distances(depth_reference, camera)
        errors = [
            vsd(
                distances(self._depth(target.model, T, target.frame), camera),
                reference,
                views,
                diameter=target.model.diameter,
            )
            for T in T_estimates
        ]
        return torch.stack(errors).numpy() if errors else np.zeros((0, 10))

    def _depth(self, model: ObjectModel, T: Float[Tensor, "4 4"], frame: ImageFrame) -> Float[Tensor, "H W"]:
        """The object alone."""
        if model.label not in self._meshes:
            self._meshes[model.label] = self._renderer.upload(model.mesh)
        return self._renderer.render([self._meshes[model.label]], T[None], frame.camera).depth[0].cpu()
