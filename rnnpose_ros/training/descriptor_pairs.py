"""Which pixels of a photograph show which vertices: the pairs that the circle loss learns from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from rnnpose_ros.geometry.camera import backproject
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.training.circle_loss import CircleConfig
from rnnpose_ros.types import Mesh

_LOGGER = logging.getLogger(__name__)
_COARSE = 0.0625
"""Radius of the finest convolution of the 3D encoders: vertices farther apart than this do not see each other."""

_REACH = 0.7
"""Of the spacing of vertices: in a triangle of equal sides no point is farther than 0.58 from a corner."""


@dataclass(frozen=True, slots=True, eq=False)
class DescriptorPairs:
    """Drawn pairs: ``N`` pixels, the first of them on the object, and the vertex of each of those."""

    uv: Float[Tensor, "N 2"]
    """Pixels of the photograph; the last ``N - M`` show something else."""
    vertex: Int[Tensor, "M"]
    positive: Bool[Tensor, "N N"]
    """Pixel against vertex; pixels beside the object stand on both sides."""
    negative: Bool[Tensor, "N N"]


class VertexSearch:
    """An object's vertices in a KD-tree, and the radii that suit their spacing.

    Args:
        mesh: Of the object.
        config: The published radii suit dense meshes; on coarser ones they grow in proportion until every
            point of the surface has a vertex within its radius.
        name: What messages call the object.
    """

    def __init__(self, mesh: Mesh, *, config: CircleConfig, name: str) -> None:
        vertices = mesh.vertices.detach().cpu().double().numpy()
        self._extent = float(np.ptp(vertices, axis=0).max())
        self._vertices = vertices
        self._tree = cKDTree(vertices)
        corners = vertices[mesh.faces.cpu().numpy()]
        edges = np.linalg.norm(corners - corners[:, [1, 2, 0]], axis=2)
        spacing = float(np.median(edges)) / self._extent
        if spacing > _COARSE:
            _LOGGER.warning(
                "%s: its vertices lie %.2f of its size apart; features live on vertices, so subdivide its faces "
                "until that is below %.2f",
                name,
                spacing,
                _COARSE,
            )
        factor = max(1.0, _REACH * spacing / config.pair_radius)
        self.config = replace(
            config,
            pair_radius=factor * config.pair_radius,
            positive_radius=factor * config.positive_radius,
            negative_radius=factor * config.negative_radius,
        )

    def draw(
        self,
        depth: Float[Tensor, "H W"],
        T_camera_object: Float[Tensor, "4 4"],
        K: Float[Tensor, "3 3"],
        *,
        random: torch.Generator,
    ) -> DescriptorPairs:
        """Pairs of one photograph.

        Args:
            depth: Of the object's visible surface in it, metres; 0 elsewhere.
            T_camera_object: The truth.
            K: Of the photograph, integer pixel centres.
            random: On the CPU.
        """
        depth, T, K = depth.detach().cpu().double(), T_camera_object.cpu().double(), K.cpu().double()
        on, beside = (depth > 0).flatten().nonzero()[:, 0], (depth == 0).flatten().nonzero()[:, 0]
        count = round(self.config.pairs / (1 + self.config.background_share))
        # A few more than wanted: some pixels have no vertex near.
        on = _some(on, 2 * count, random)
        points = transform(inverse(T), _lift(on, depth, K)).numpy()
        distance, index = self._tree.query(points, k=range(1, self.config.neighbours + 1))
        pixel, rank = np.nonzero(distance < self.config.pair_radius * self._extent)
        chosen = _some(torch.arange(len(pixel)), count, random).numpy()
        pixel, vertex = pixel[chosen], index[pixel[chosen], rank[chosen]]
        beside = _some(beside, round(len(chosen) * self.config.background_share), random)
        positive, negative = self._sets(points[pixel], self._vertices[vertex], len(beside))
        both = torch.cat([on[torch.from_numpy(pixel)], beside])
        width = depth.shape[1]
        v = torch.div(both, width, rounding_mode="floor")
        uv = torch.stack([both - v * width, v], -1).double()
        return DescriptorPairs(uv, torch.from_numpy(vertex), torch.from_numpy(positive), torch.from_numpy(negative))

    def _sets(self, points: np.ndarray, vertices: np.ndarray, beside: int) -> tuple[np.ndarray, np.ndarray]:
        """Positive and negative pairs; pixels beside the object are alike and differ from all of it."""
        gap = np.linalg.norm(points[:, None] - vertices[None], axis=2) / self._extent
        positive = np.pad(gap < self.config.positive_radius, ((0, beside), (0, beside)))
        negative = np.pad(gap > self.config.negative_radius, ((0, beside), (0, beside)), constant_values=True)
        if beside:
            positive[-beside:, -beside:] = True
            negative[-beside:, -beside:] = False
        return positive, negative


def _some(items: Int[Tensor, "N"], count: int, random: torch.Generator) -> Int[Tensor, "M"]:
    """At most so many of the items, in random order."""
    return items[torch.randperm(len(items), generator=random)[:count]]


def _lift(pixel: Int[Tensor, "N"], depth: Float[Tensor, "H W"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "N 3"]:
    """Points in the camera frame of pixels ``row * width + column``."""
    v = torch.div(pixel, depth.shape[1], rounding_mode="floor")
    uv = torch.stack([pixel - v * depth.shape[1], v], -1).double()
    return backproject(depth.flatten()[pixel][None], uv[None], K[None])[0]
