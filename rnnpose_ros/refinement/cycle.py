"""One render cycle of RNNPose: the loop itself. Training and inference both run this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.networks.rnnpose_network import CorrespondenceNetwork
from rnnpose_ros.refinement.dense_field import DenseField, PaperCycleInputs
from rnnpose_ros.refinement.field import CellField, CorrespondenceEstimator, CycleInputs, Matches, Solve
from rnnpose_ros.refinement.official_field import OfficialField
from rnnpose_ros.refinement.solver import SolverConfig, SolverStep
from rnnpose_ros.stages import stage

__all__ = ["CycleInputs", "CycleOutput", "IterationOutput", "WholeCycles", "open_field", "refine_cycle"]


@dataclass(frozen=True, slots=True, eq=False)
class IterationOutput:
    """Everything one iteration computed; the trace that losses and debug pictures read."""

    T_camera_object: Float[Tensor, "B 4 4"]
    induced_uv: Float[Tensor, "B h w 2"]
    target_uv: Float[Tensor, "B h w 2"]
    confidence_logit: Float[Tensor, "B h w"] | None
    """None from networks that estimate none."""
    similarity: Float[Tensor, "B h w"]
    weights: Float[Tensor, "B h w"]
    step: SolverStep


@dataclass(frozen=True, slots=True, eq=False)
class CycleOutput:
    """The iterations of one cycle and the cells they speak of."""

    iterations: tuple[IterationOutput, ...]
    cell_uv: Float[Tensor, "h w 2"]
    depth: Float[Tensor, "B h w"]
    """Of the render at the cells, metres; 0 = no object."""
    correlation: Float[Tensor, "M 1 _ _"]
    """Raw correlation volume, for the matching loss."""
    descriptors: tuple[Tensor, Tensor] | None
    """Of the render and of the photograph at the cells; None from estimators that have no such maps."""
    stride: int = 8
    """Crop pixels from cell to cell."""


@runtime_checkable
class WholeCycles(Protocol):
    """A network that computes whole cycles in its own way, with the same results."""

    def refine_cycle(
        self, inputs: CycleInputs, *, iterations: int, solver: SolverConfig, weighting: str, solve: Solve | None
    ) -> CycleOutput:
        """See :func:`refine_cycle`."""
        ...


def refine_cycle(
    network: CorrespondenceNetwork | PaperNetwork,
    inputs: CycleInputs,
    *,
    iterations: int,
    solver: SolverConfig,
    weighting: str = "both",
    solve: Solve | None = None,
    settled_step: float = 0.0,
) -> CycleOutput:
    """Refines the poses of one render: estimate the field, weigh it, solve for the pose, repeat.

    Args:
        network: Estimates correspondences.
        inputs: Render, photograph, camera, poses; of the network's own kind.
        iterations: Recurrent iterations, one solver step each; at most.
        solver: Damping and limits.
        weighting: "confidence", "similarity" or "both" (their product), where the network knows both.
        solve: Computes what the field's own step does, in another way.
        settled_step: The iteration in which every item's step, (v / D, omega) together, is shorter is the last; 0 for
            all iterations. A network that computes whole cycles computes all.
    """
    if isinstance(network, WholeCycles):
        return network.refine_cycle(inputs, iterations=iterations, solver=solver, weighting=weighting, solve=solve)
    field = open_field(network, inputs, weighting=weighting)
    K, T_render = inputs.camera.K.to(inputs.photo), inputs.T_render.to(inputs.photo)
    T = T_render
    solve = solve or field.solve
    outputs = []
    for _ in range(iterations):
        T = T.detach()
        points = transform(T @ inverse(T_render), field.points_render)
        induced = project(points, K)
        with stage("update"):
            matches = field.match(induced)
        with stage("solve"):
            step = solve(
                T,
                points,
                matches.target_uv,
                matches.weights,
                K,
                centre_camera=transform(T, inputs.centre_object[:, None])[:, 0],
                diameter=inputs.diameter,
                config=solver,
            )
        T = step.T_camera_object
        outputs.append(_as_maps(field, induced, matches, step))
        if settled_step > 0.0 and bool((step.step.norm(dim=-1) < settled_step).all()):
            break
    return CycleOutput(tuple(outputs), field.cell_uv, field.depth, field.correlation, field.descriptors, field.stride)


def open_field(
    network: CorrespondenceNetwork | PaperNetwork, inputs: CycleInputs, *, weighting: str
) -> CorrespondenceEstimator:
    """The estimation that goes with a network: encodes both pictures."""
    if isinstance(network, PaperNetwork):
        assert isinstance(inputs, PaperCycleInputs)
        official = network.trained_for.convention is CropConvention.OFFICIAL
        return OfficialField(network, inputs) if official else DenseField(network, inputs)
    return CellField(network, inputs, weighting=weighting)


def _as_maps(field: CorrespondenceEstimator, induced: Tensor, matches: Matches, step: SolverStep) -> IterationOutput:
    logit = matches.confidence_logit
    return IterationOutput(
        T_camera_object=step.T_camera_object,
        induced_uv=field.as_map(induced),
        target_uv=field.as_map(matches.target_uv),
        confidence_logit=None if logit is None else field.as_map(logit),
        similarity=field.as_map(matches.similarity),
        weights=field.as_map(matches.weights),
        step=step,
    )
