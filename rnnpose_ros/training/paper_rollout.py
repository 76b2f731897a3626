"""One training sample of the published recipe: a whole refinement, cycle after cycle, held against the truth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.objects.symmetry import nearest_symmetric
from rnnpose_ros.refinement.cycle import refine_cycle
from rnnpose_ros.refinement.features import ObjectFeatures
from rnnpose_ros.refinement.paper_views import PaperViews
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.circle_loss import CircleConfig, circle_loss
from rnnpose_ros.training.descriptor_pairs import DescriptorPairs
from rnnpose_ros.training.losses import matching_entropy
from rnnpose_ros.training.paper_losses import alignment_loss, cell_targets, dense_targets, endpoint_error, flow_loss
from rnnpose_ros.types import CameraIntrinsics

_ZOOM_OVER_PHOTO = 3 / 4
_LEAST_PX = 64
"""Pixels of the object that a render must show for a cycle to be worth anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One photograph of one object, the truth, and where refinements start."""

    photo: UInt8[Tensor, "S S 3"]
    depth: Float[Tensor, "S S"]
    """Of the object's visible surface, metres; 0 elsewhere."""
    camera: CameraIntrinsics
    T_true: Float[Tensor, "4 4"]
    T_starts: Float[Tensor, "N 4 4"]
    """Each refined by itself; around the first one the photograph is described."""
    features: ObjectFeatures
    """Encoded with gradients."""


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """What the refinements of a sample got wrong, unweighted: means over its starts.

    Pose and flow are sums over all iterations, matching over cycles.
    """

    pose: Float[Tensor, ""]
    flow: Float[Tensor, ""]
    circle: Float[Tensor, ""]
    matching: Float[Tensor, ""]
    endpoint_px: Float[Tensor, ""]
    """Of the last field, crop pixels."""
    final_pose: Float[Tensor, ""]
    """Alignment after the last iteration, metres."""

    @classmethod
    def of(
        cls,
        network: PaperNetwork,
        renderer: Renderer,
        sample: Sample,
        pairs: DescriptorPairs,
        *,
        cycles: int,
        iterations: int,
        margin: float,
        circle: CircleConfig,
    ) -> Rollout:
        """Refines the sample. No gradient flows from one cycle into the one before, as published.

        Args:
            network: In training.
            renderer: Draws the references.
            sample: Of any object; zooms have three quarters of its photograph's pixels.
            pairs: Drawn from its photograph.
            cycles: Renders; fewer where the estimates have lost the object.
            iterations: Of each.
            margin: Of the zooms.
            circle: Of the circle loss.
        """
        model = sample.features.model
        size = network.stride * round(_ZOOM_OVER_PHOTO * sample.camera.height / network.stride)
        views = PaperViews(network, renderer, sample.photo, sample.camera, [sample.features], size=size, margin=margin)
        points = model.mesh.vertices.to(sample.photo.device, torch.float32)
        zero = network.sigma.sum() * 0.0
        pose = flow = matching = last_endpoint = last_pose = zero
        T = sample.T_starts
        for _ in range(cycles):
            inputs, _ = views.prepare(T, [0] * len(T))
            seen = inputs.shown.sum(1) >= _LEAST_PX
            if not bool(seen.all()):
                T = T[seen.to(T.device)]
                if not len(T):
                    break
                inputs, _ = views.prepare(T, [0] * len(T))
            share = len(T) / len(sample.T_starts)
            T_true = nearest_symmetric(sample.T_true.expand_as(T), model.symmetries.to(T), T)
            targets = dense_targets(inputs.render.depth, inputs.camera, T_render=T, T_true=T_true)
            output = refine_cycle(network, inputs, iterations=iterations, solver=SolverConfig(robust_steps=0))
            cells = cell_targets(
                targets,
                inputs.camera,
                stride=network.stride,
                photo_depth=sample.depth.expand(len(T), -1, -1),
                photo_camera=sample.camera,
                diameter=model.diameter,
            )
            matching = matching + share * matching_entropy(output.correlation[:, 0], cells, stride=network.stride)
            for it in output.iterations:
                last_pose = alignment_loss(it.T_camera_object, T_true.to(it.T_camera_object), points)
                pose, flow = pose + share * last_pose, flow + share * flow_loss(it.target_uv, targets)
                last_endpoint = endpoint_error(it.target_uv, targets)
            T = output.iterations[-1].T_camera_object.detach().double()
            T = T[torch.isfinite(T).all(-1).all(-1) & (T[:, 2, 3] >= NEAR_M)]
            if not len(T):
                break
            T[:, :3, :3] = nearest_rotation(T[:, :3, :3])
        described = views.described(0, sample.T_starts[0])
        rows = described.at(pairs.uv.to(sample.photo.device))
        encoded = sample.features.encoded
        assert encoded is not None
        on_object = encoded.features.descriptors[pairs.vertex.to(rows.device)]
        columns = torch.cat([on_object, rows[len(on_object) :]])
        alike = circle_loss(
            rows, columns, pairs.positive.to(rows.device), pairs.negative.to(rows.device), config=circle
        )
        return cls(pose, flow, alike, matching, last_endpoint, last_pose.detach())
