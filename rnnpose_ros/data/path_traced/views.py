"""Path-traced pictures of one object with its pose known: of the benchmark's objects or of anybody's mesh."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.path_traced.look import TracedLook
from rnnpose_ros.data.path_traced.mitsuba_tracer import renderer_version
from rnnpose_ros.data.path_traced.photograph import TracedPhotograph, trace_photograph
from rnnpose_ros.data.path_traced.scene import Thing
from rnnpose_ros.geometry.rotations import matrix_from_quaternion_xyzw
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, ObjectModel

WIDTH, HEIGHT = 640, 480
LEAST_VISIBLE_SHARE = 0.4
_FOCAL_PX = (480.0, 900.0)
_OBJECT_PX = (70.0, 260.0)
_DISTANCE_M = (0.25, 1.3)
_USUAL_DIAMETERS_M = (0.05, 0.4)
"""What the rooms are furnished for; an object of another size is photographed enlarged or reduced to it."""
_TRIES = 20


@dataclass(frozen=True, slots=True, eq=False)
class PlannedView:
    """Which camera sees an object where; the picture's seed."""

    seed: int
    camera: CameraIntrinsics
    T_camera_object: Float[Tensor, "4 4"]


class TracedView(NamedTuple):
    """A picture of one object."""

    frame: ImageFrame
    T_camera_object: Tensor
    """4 x 4, metres, float64."""
    visible_share: float
    """Part of the object's picture that nothing hides, 0..1."""


def traced_views(
    model: ObjectModel,
    *,
    count: int,
    seed: int,
    width: int = WIDTH,
    look: TracedLook = TracedLook(),  # noqa: B008
) -> Iterator[TracedView]:
    """Pictures of one object at random poses, in random light, surroundings and occlusion; any mesh of any size.

    The same arguments give the same pictures, and a larger ``count`` the same ones and more. The object is whole
    inside each picture and at least four tenths of it are visible, where twenty tries find such a picture.

    Args:
        model: The object, with its own colours under random finishes.
        count: How many.
        seed: Which ones.
        width: Of the pictures, px; three quarters of it high.
        look: What is random, and how much; fewer paths are faster and noisier.

    Raises:
        BackendUnavailableError: Mitsuba is not installed; at once, not with the first picture.
    """
    renderer_version()
    return (traced_view(model, seed=1000 * seed + i, width=width, look=look) for i in range(count))


def plan_view(model: ObjectModel, *, seed: int, width: int = WIDTH) -> PlannedView:
    """Camera and pose of an object of usual size, whole inside the picture; the same for the same seed."""
    rng = np.random.default_rng([seed, 1])
    size = np.array([width, round(width * HEIGHT / WIDTH)])
    finer = width / WIDTH
    focal = finer * rng.uniform(*_FOCAL_PX)
    K = torch.eye(3, dtype=torch.float64)[None].clone()
    K[0, 0, 0], K[0, 1, 1] = focal, focal * (1 + rng.normal(0, 0.003))
    K[0, 0, 2], K[0, 1, 2] = size[0] / 2 - 0.5 + finer * rng.normal(0, 12), size[1] / 2 - 0.5 + finer * rng.normal(0, 9)
    camera = CameraIntrinsics(K=K, height=int(size[1]), width=int(size[0]))
    wanted_px = finer * math.exp(rng.uniform(math.log(_OBJECT_PX[0]), math.log(_OBJECT_PX[1])))
    z = float(np.clip(focal * model.diameter / wanted_px, *_DISTANCE_M))
    margin = 0.6 * focal * model.diameter / z
    place = np.clip(rng.normal(0.5, 0.16, 2) * size, margin, size - margin)
    ray = torch.linalg.solve(K[0], torch.tensor([*place, 1.0], dtype=torch.float64))
    quaternion = torch.from_numpy(rng.normal(0, 1, 4))
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = matrix_from_quaternion_xyzw(quaternion / quaternion.norm())
    T[:3, 3] = z * ray - T[:3, :3] @ model.centre.double()
    return PlannedView(seed, camera, T)


def photograph_view(
    view: PlannedView,
    model: ObjectModel,
    *,
    look: TracedLook,
    thing: Thing | None = None,
    others: Sequence[Thing] = (),
) -> TracedPhotograph:
    """The planned picture; taken again while too much of the object is hidden, the best of all tries in the end.

    Args:
        view: Camera and pose.
        model: The object.
        look: What is random, and how much.
        thing: The real thing, where it looks different from its model.
        others: Things to take for clutter beside the built-in ones.
    """
    best: TracedPhotograph | None = None
    for attempt in range(_TRIES):
        photograph = trace_photograph(
            model,
            view.T_camera_object,
            view.camera,
            look=look,
            seed=view.seed + 1_000_003 * attempt,
            thing=thing,
            others=others,
        )
        if best is None or photograph.visible_share > best.visible_share:
            best = photograph
        if best.visible_share >= LEAST_VISIBLE_SHARE:
            break
    assert best is not None
    return best


def traced_view(
    model: ObjectModel,
    *,
    seed: int,
    width: int = WIDTH,
    look: TracedLook = TracedLook(),  # noqa: B008
) -> TracedView:
    """One picture; see :func:`traced_views`.

    The object is photographed at a usual size: a scene looks the same at any scale, once distances have its unit.
    """
    scale = float(np.clip(model.diameter, *_USUAL_DIAMETERS_M)) / model.diameter
    usual = model if scale == 1.0 else _scaled(model, scale)
    view = plan_view(usual, seed=seed, width=width)
    photograph = photograph_view(view, usual, look=look)
    T = view.T_camera_object.clone()
    T[:3, 3] /= scale
    frame = ImageFrame(rgb=photograph.rgb, camera=view.camera, depth=photograph.depth / scale)
    return TracedView(frame, T, photograph.visible_share)


def _scaled(model: ObjectModel, scale: float) -> ObjectModel:
    """Shape and colours of another size; of its symmetries only what needs no scaling, none."""
    mesh = dataclasses.replace(model.mesh, vertices=model.mesh.vertices * scale)
    return ObjectModel(
        label=model.label,
        mesh=mesh,
        diameter=model.diameter * scale,
        symmetries=torch.eye(4, dtype=torch.float64)[None],
        centre=model.centre * scale,
    )
