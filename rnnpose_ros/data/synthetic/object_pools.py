"""The objects in use: slowly changing sets of random ones, or given ones in changing looks.

Everything in a pool is made from a seed of its own, its number. So a pool's state is a list of numbers, however
large its meshes and textures are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.synthetic.lighting import Surface, random_surface
from rnnpose_ros.data.synthetic.objects import random_object
from rnnpose_ros.data.synthetic.randomization import ObjectRanges
from rnnpose_ros.data.synthetic.wrapping import plain_texture, worn_copy
from rnnpose_ros.errors import InputError
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import Mesh, ObjectModel

_LOOKS = 4
"""Of each given object, kept ready."""


@dataclass(frozen=True, slots=True, eq=False)
class PooledObject:
    """An object in use."""

    model: ObjectModel
    """What a refiner is told."""
    photographed: Any
    """The uploaded mesh of the thing itself: the model's shape, perhaps in other colours."""
    surface: Surface
    hull_points: Float[Tensor, "128 3"]
    """The vertices that span it from wherever it is seen, object frame."""


@runtime_checkable
class ObjectPool(Protocol):
    """Where scenes get their objects from."""

    def draw(self) -> PooledObject:
        """An object for one sample."""
        ...

    def state(self) -> dict[str, Any]:
        """All that the next draws depend on, in plain types."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state` was taken, in a pool of the same seed and ranges."""
        ...


class RandomObjects:
    """A slowly changing set of random objects, filled as they are asked for."""

    def __init__(self, renderer: Renderer, *, ranges: ObjectRanges, seed: Sequence[int]) -> None:
        self._renderer = renderer
        self._ranges = ranges
        self._seed = tuple(seed)
        self._rng = np.random.default_rng(self._seed)
        self._objects: list[PooledObject] = []
        self._numbers: list[int] = []
        self._drawn = 0
        self._made = 0

    def draw(self) -> PooledObject:
        """An object of the pool; every ``samples_per_object`` draws one is replaced by a new one.

        While the pool fills, a new one is made at every second draw only, so that starting is quick.
        """
        self._drawn += 1
        full = len(self._objects) >= self._ranges.pool_size
        if not full and (len(self._objects) < 8 or self._drawn % 2 == 0):
            self._made += 1
            self._numbers.append(self._made)
            self._objects.append(self._make(self._made))
            return self._objects[-1]
        if full and self._drawn % self._ranges.samples_per_object == 0:
            self._made += 1
            index = int(self._rng.integers(len(self._objects)))
            self._numbers[index], self._objects[index] = self._made, self._make(self._made)
        return self._objects[int(self._rng.integers(len(self._objects)))]

    def state(self) -> dict[str, Any]:
        """See :class:`ObjectPool`."""
        return {
            "random": self._rng.bit_generator.state,
            "numbers": list(self._numbers),
            "drawn": self._drawn,
            "made": self._made,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See :class:`ObjectPool`; makes the set again, which takes seconds for a full one."""
        self._rng.bit_generator.state = state["random"]
        self._numbers, self._drawn, self._made = list(state["numbers"]), state["drawn"], state["made"]
        self._objects = [self._make(number) for number in self._numbers]

    def _make(self, number: int) -> PooledObject:
        rng = np.random.default_rng((*self._seed, number))
        model, thing = random_object(rng, self._ranges, label=f"object_{number:06d}")
        surface = random_surface(rng, metallic_share=self._ranges.metallic_share)
        return PooledObject(model, self._renderer.upload(thing), surface, hull_points(model.mesh.vertices))


class GivenObjects:
    """Given objects, each equally often, in looks that change slowly and surfaces that change every time.

    Raises:
        InputError: There are none.
    """

    def __init__(
        self, renderer: Renderer, models: Sequence[ObjectModel], *, ranges: ObjectRanges, seed: Sequence[int]
    ) -> None:
        if not models:
            raise InputError("expected at least one object to make scenes of, got none")
        self._renderer = renderer
        self._models = tuple(models)
        self._ranges = ranges
        self._seed = tuple(seed)
        self._rng = np.random.default_rng(self._seed)
        self._hulls = [hull_points(model.mesh.vertices) for model in models]
        self._as_given = [renderer.upload(model.mesh) for model in models]
        self._numbers: dict[int, int] = {}
        self._looks: dict[int, Any] = {}
        self._drawn = 0

    def draw(self) -> PooledObject:
        """One of the objects; every ``samples_per_object`` draws one look is replaced by a new one."""
        self._drawn += 1
        slot = int(self._rng.integers(len(self._models) * _LOOKS))
        if slot not in self._looks or self._drawn % self._ranges.samples_per_object == 0:
            self._numbers[slot], self._looks[slot] = self._drawn, self._make(slot, self._drawn)
        index = slot // _LOOKS
        surface = random_surface(self._rng, metallic_share=self._ranges.metallic_share)
        return PooledObject(self._models[index], self._looks[slot], surface, self._hulls[index])

    def state(self) -> dict[str, Any]:
        """See :class:`ObjectPool`."""
        return {"random": self._rng.bit_generator.state, "numbers": dict(self._numbers), "drawn": self._drawn}

    def restore(self, state: dict[str, Any]) -> None:
        """See :class:`ObjectPool`; the models must be the same."""
        self._rng.bit_generator.state = state["random"]
        self._numbers, self._drawn = dict(state["numbers"]), state["drawn"]
        self._looks = {slot: self._make(slot, number) for slot, number in self._numbers.items()}

    def _make(self, slot: int, number: int) -> Any:
        """The uploaded thing: as its model shows it, duller, or in any plain colour where the model shows none."""
        index = slot // _LOOKS
        rng = np.random.default_rng((*self._seed, number))
        mesh = self._models[index].mesh
        if mesh.texture is None and mesh.vertex_colors is None:
            return self._renderer.upload(_plain_thing(rng, mesh))
        if mesh.texture is None or rng.random() >= self._ranges.worn_model_share:
            return self._as_given[index]
        worn = torch.from_numpy(worn_copy(rng, mesh.texture.cpu().numpy()))
        return self._renderer.upload(replace(mesh, texture=worn))


def _plain_thing(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    texture, uvs = plain_texture(rng, np.zeros(len(mesh.faces), np.int64))
    return replace(mesh, texture=torch.from_numpy(texture), corner_uvs=torch.from_numpy(uvs).float())


def hull_points(vertices: Float[Tensor, "V 3"]) -> Float[Tensor, "128 3"]:
    """The vertices that lie furthest along 128 directions: they span every view of the object."""
    steps = torch.arange(128) + 0.5
    z = 1 - steps / 64
    angle = math.pi * (1 + 5**0.5) * steps
    radius = (1 - z * z).sqrt()
    directions = torch.stack([radius * angle.cos(), radius * angle.sin(), z])
    return vertices[(vertices @ directions).argmax(0)]
