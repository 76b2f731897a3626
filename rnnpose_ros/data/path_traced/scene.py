"""What a path tracer is told: bodies with their finish, lamps, surroundings. No renderer is named here.

Everything stands in the camera frame (x right, y down, z forward; metres).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from rnnpose_ros.types import Mesh


class Finish(Enum):
    """How a surface throws light back; its colour comes from the mesh."""

    MATT = "matt"
    PLASTIC = "plastic"
    """A clear rough coat over paint."""
    LACQUER = "lacquer"
    """Disney's principled model with a clear coat."""
    PAPER = "paper"
    """Principled, rough, with some sheen."""
    METAL = "metal"
    """A rough conductor in the mesh's colour."""
    STEEL = "steel"
    """A rough conductor with chromium's own colour; the mesh's colour does not matter."""
    ALUMINIUM = "aluminium"


@dataclass(frozen=True, slots=True)
class Coat:
    """A finish and how rough it is."""

    finish: Finish
    roughness: float
    """0.05 (a mirror, nearly) to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A mesh and what covers it."""

    mesh: Mesh
    coats: tuple[Coat, ...]
    part_of_face: Int[np.ndarray, "F"] | None = None
    """Which of the coats each face wears; the first where None."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A thing somewhere in front of the camera."""

    thing: Thing
    T_camera_object: Float[Tensor, "4 4"]


@dataclass(frozen=True, slots=True)
class Lamp:
    """A luminous rectangle, shining towards where it faces."""

    centre: tuple[float, float, float]
    facing: tuple[float, float, float]
    """A point it is turned to."""
    side_m: float
    radiance: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture's whole contents."""

    bodies: tuple[Body, ...]
    """The first one is the object that the picture is about."""
    lamps: tuple[Lamp, ...]
    environment: Float[np.ndarray, "He We 3"]
    """Radiance from all around, linear RGB; first row up, columns once around."""
    up_camera: tuple[float, float, float]
    """Where up is in the camera frame, unit."""
    environment_turn: float = 0.0
    """Radians about ``up_camera``."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """What is seen through each pixel's centre."""

    depth: Float[np.ndarray, "H W"]
    """Metres along z; 0 = nothing."""
    body: Int[np.ndarray, "H W"]
    """Index into the scene's bodies; -1 = nothing."""
