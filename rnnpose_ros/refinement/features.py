"""What is prepared once per object and used at every frame."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.errors import AssetError
from rnnpose_ros.networks.paper_network import PaperNetwork, VertexFeatures
from rnnpose_ros.objects.point_pyramid import build_pyramid, fingerprint
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.surface import Surface, make_surface
from rnnpose_ros.types import ObjectModel

_DIRECTIONS = 96


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSurface:
    """What a network with 3D encoders says of a mesh, and where on it."""

    surface: Surface
    features: VertexFeatures


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFeatures:
    """One object, ready to refine."""

    model: ObjectModel
    """Kept so that its identity, the cache's key, stays alive."""
    mesh: Any
    """Uploaded to the renderer."""
    outline: Float[Tensor, "N 3"]
    """Extreme vertices that span the object, metres."""
    encoded: EncodedSurface | None = None
    """For networks with 3D encoders; None for the others."""


class FeatureCache:
    """Features of the objects used last, by the identity of their model; safe between threads.

    Args:
        renderer: Where meshes are uploaded to.
        capacity: Objects kept; the one unused for longest goes first.
        network: One with 3D encoders, which encodes each object once; None for the others.
    """

    def __init__(self, renderer: Renderer, *, capacity: int = 256, network: PaperNetwork | None = None) -> None:
        self.renderer = renderer
        self.network = network
        self._capacity = capacity
        self._entries: OrderedDict[int, ObjectFeatures] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model: ObjectModel) -> ObjectFeatures:
        """The features of an object, made at first use.

        Raises:
            AssetError: The network was trained for other meshes.
        """
        key = id(model)
        with self._lock:
            if key not in self._entries:
                self._entries[key] = self._make(model)
                while len(self._entries) > self._capacity:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(key)
            return self._entries[key]

    def _make(self, model: ObjectModel) -> ObjectFeatures:
        mesh, outline = self.renderer.upload(model.mesh), extreme_points(model.mesh.vertices)
        if self.network is None:
            return ObjectFeatures(model, mesh, outline)
        trained = self.network.trained_for
        _check_mesh(model, trained.fingerprints)
        pyramid = model.pyramid or build_pyramid(model.mesh, limits=trained.neighbour_limits or None)
        surface = make_surface(model.mesh, device=self.renderer.device, name=f"object {model.label!r}")
        return ObjectFeatures(model, mesh, outline, EncodedSurface(surface, self.network.encode_object(pyramid)))


def _check_mesh(model: ObjectModel, fingerprints: Mapping[str, str]) -> None:
    """Features lie on the vertices of one mesh; on another's they would be nonsense."""
    if not fingerprints or fingerprint(model.mesh) in fingerprints.values():
        return
    known = model.label in fingerprints
    what = "its mesh is not the one" if known else f"it is none of {sorted(fingerprints)}"
    raise AssetError(
        f"object {model.label!r}: {what} that these weights were made for (vertices, their order, or faces "
        "differ); give that very mesh file and scale, or convert the weights again with this one, or train for it"
    )


def extreme_points(vertices: Float[Tensor, "V 3"], *, directions: int = _DIRECTIONS) -> Float[Tensor, "N 3"]:
    """The vertices farthest out along directions spread evenly over the sphere (Fibonacci lattice)."""
    i = torch.arange(directions, dtype=torch.float64) + 0.5
    z = 1 - 2 * i / directions
    angle = math.pi * (1 + 5**0.5) * i
    r = (1 - z * z).sqrt()
    axes = torch.stack([r * angle.cos(), r * angle.sin(), z], -1).to(vertices)
    return vertices[(vertices @ axes.T).argmax(0)]
