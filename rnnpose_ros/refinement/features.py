"""What is prepared once per object and used at every frame."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import ObjectModel

_DIRECTIONS = 96


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFeatures:
    """One object, ready to refine."""

    model: ObjectModel
    """Kept so that its identity, the cache's key, stays alive."""
    mesh: Any
    """Uploaded to the renderer."""
    outline: Float[Tensor, "N 3"]
    """Extreme vertices that span the object, metres."""


class FeatureCache:
    """Features of the objects used last, by the identity of their model.

    Args:
        renderer: Where meshes are uploaded to.
        capacity: Objects kept; the one unused for longest goes first.
    """

    def __init__(self, renderer: Renderer, *, capacity: int = 256) -> None:
        self.renderer = renderer
        self._capacity = capacity
        self._entries: OrderedDict[int, ObjectFeatures] = OrderedDict()

    def get(self, model: ObjectModel) -> ObjectFeatures:
        """The features of an object, made at first use."""
        key = id(model)
        if key not in self._entries:
            mesh = self.renderer.upload(model.mesh)
            self._entries[key] = ObjectFeatures(model, mesh, extreme_points(model.mesh.vertices))
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key]


def extreme_points(vertices: Float[Tensor, "V 3"], *, directions: int = _DIRECTIONS) -> Float[Tensor, "N 3"]:
    """The vertices farthest out along directions spread evenly over the sphere (Fibonacci lattice)."""
    i = torch.arange(directions, dtype=torch.float64) + 0.5
    z = 1 - 2 * i / directions
    angle = math.pi * (1 + 5**0.5) * i
    r = (1 - z * z).sqrt()
    axes = torch.stack([r * angle.cos(), r * angle.sin(), z], -1).to(vertices)
    return vertices[(vertices @ axes.T).argmax(0)]
