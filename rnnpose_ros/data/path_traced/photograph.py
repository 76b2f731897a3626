"""A photograph of one object by a path tracer: other light, materials and surroundings than a trainer's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from rnnpose_ros.data.path_traced.look import TracedLook
from rnnpose_ros.data.path_traced.mitsuba_tracer import PathTracer
from rnnpose_ros.data.path_traced.props import random_coat
from rnnpose_ros.data.path_traced.scene import Body, Geometry, Thing
from rnnpose_ros.data.path_traced.sensor import photographed
from rnnpose_ros.data.path_traced.surroundings import Furnisher
from rnnpose_ros.rendering.warp_renderer import WarpMesh, WarpRenderer
from rnnpose_ros.types import CameraIntrinsics, Mesh, ObjectModel

_WINDOW = 1.6
"""Side of the well-sampled part of a picture in units of the object's box in it."""
_FEATHER_PX = 10


@dataclass(frozen=True, slots=True, eq=False)
class TracedPhotograph:
    """A picture and what is known of it."""

    rgb: UInt8[Tensor, "H W 3"]
    depth: Float[Tensor, "H W"]
    """Of everything in the scene, metres; 0 = nothing."""
    object_mask: Bool[Tensor, "H W"]
    """Where the object would be seen if it were alone."""
    visible_mask: Bool[Tensor, "H W"]
    """Where it is seen."""

    @property
    def visible_share(self) -> float:
        """Part of the object's picture that nothing hides, 0..1; 0 where it is outside the picture."""
        return float(self.visible_mask.sum()) / max(1, int(self.object_mask.sum()))


def trace_photograph(
    model: ObjectModel,
    T_camera_object: Float[Tensor, "4 4"],
    camera: CameraIntrinsics,
    *,
    look: TracedLook = TracedLook(),  # noqa: B008
    seed: int,
    thing: Thing | None = None,
    others: Sequence[Thing] = (),
) -> TracedPhotograph:
    """A photograph of an object at a pose in random surroundings. The same seed gives the same picture.

    Args:
        model: The object; its own colours under a random finish, unless ``thing`` says better.
        T_camera_object: Its pose; the whole object in front of the camera.
        camera: B = 1, without skew.
        look: What is random, and how much.
        seed: What it becomes.
        thing: The real thing, where it looks different from its model; of the same shape.
        others: Things to take for clutter beside the built-in ones.

    Raises:
        BackendUnavailableError: Mitsuba is not installed.
        InputError: The camera has skew.
    """
    rng = np.random.default_rng(seed)
    body = Body(thing or Thing(model.mesh, (random_coat(rng),)), T_camera_object.detach().cpu().double())
    view = _View(camera)
    scene = Furnisher(body, look=look, rng=rng, silhouette=view.silhouette, others=others).scene()
    object_mask = view.silhouette(body.thing, body.T_camera_object)
    seen = view.of(scene.bodies)
    visible_mask = seen.body == 0
    tracer = PathTracer(scene, camera)
    radiance = _traced(tracer, camera, object_mask, look=look, seed=int(rng.integers(2**31)))
    metered = visible_mask if visible_mask.any() else np.ones_like(visible_mask)
    picture = photographed(
        radiance,
        seen.depth,
        focus_m=float(body.T_camera_object[2, 3]),
        meter=radiance[metered],
        look=look.sensor,
        rng=rng,
    )
    return TracedPhotograph(
        rgb=torch.from_numpy(picture),
        depth=torch.from_numpy(seen.depth),
        object_mask=torch.from_numpy(object_mask),
        visible_mask=torch.from_numpy(visible_mask),
    )


class _View:
    """What one camera sees of things, without light: by the z-buffer, which agrees with the tracer and is faster."""

    def __init__(self, camera: CameraIntrinsics) -> None:
        self._camera = camera
        self._renderer = WarpRenderer()
        self._uploaded: dict[Thing, WarpMesh] = {}

    def silhouette(self, thing: Thing, T_camera_object: Tensor) -> Bool[np.ndarray, "H W"]:
        """Where a thing at a pose would be seen if it were alone."""
        return self._depth(thing, T_camera_object) > 0

    def of(self, bodies: Sequence[Body]) -> Geometry:
        """What is seen of all bodies together."""
        depths = np.stack([self._depth(body.thing, body.T_camera_object) for body in bodies])
        depths[depths == 0] = np.inf
        body, depth = depths.argmin(0), depths.min(0)
        seen = np.isfinite(depth)
        return Geometry(np.where(seen, depth, 0).astype(np.float32), np.where(seen, body, -1))

    def _depth(self, thing: Thing, T_camera_object: Tensor) -> Float[np.ndarray, "H W"]:
        mesh = self._uploaded.get(thing)
        if mesh is None:
            shape = Mesh(thing.mesh.vertices, thing.mesh.faces, thing.mesh.corner_normals)
            mesh = self._uploaded[thing] = self._renderer.upload(shape)
        return self._renderer.render([mesh], T_camera_object[None], self._camera).depth[0].numpy()


def _traced(
    tracer: PathTracer,
    camera: CameraIntrinsics,
    object_mask: Bool[np.ndarray, "H W"],
    *,
    look: TracedLook,
    seed: int,
) -> Float[np.ndarray, "H W 3"]:
    """The light in the whole picture: coarse and much filtered, but full and hardly filtered about the object."""
    height, width = camera.height, camera.width
    coarse = tracer.radiance(_halved(camera), samples=look.samples_elsewhere, seed=seed)
    doubled = cv2.resize(_smoothed(coarse), None, fx=2.0, fy=2.0, interpolation=cv2.INTER_LINEAR)
    picture = np.ascontiguousarray(doubled[:height, :width])
    window = _window(object_mask)
    if window is not None:
        u0, v0, u1, v1 = window
        samples = round(min(max(look.paths / ((u1 - u0) * (v1 - v0)), look.samples[0]), look.samples[1]))
        fine = tracer.radiance(camera, samples=samples, seed=seed + 1, window=window)
        share = _feathered(window, (height, width))[..., None]
        part = picture[v0:v1, u0:u1]
        picture[v0:v1, u0:u1] = part + share * (_calmed(fine) - part)
    return picture


def _halved(camera: CameraIntrinsics) -> CameraIntrinsics:
    """The camera whose pixels are two of the given one's wide; the first covers the first two."""
    to_coarse = torch.tensor([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]], dtype=torch.float64)
    K = to_coarse @ camera.K.double()
    return CameraIntrinsics(K=K, height=(camera.height + 1) // 2, width=(camera.width + 1) // 2)


def _feathered(window: tuple[int, int, int, int], shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """1 inside the window, falling to 0 over its last pixels, but not where the picture itself ends."""
    u0, v0, u1, v1 = window
    sides = []
    for low, high, end in ((v0, v1, shape[0]), (u0, u1, shape[1])):
        ramp = np.ones(high - low, np.float32)
        reach = min(_FEATHER_PX, (high - low) // 4)
        rise = (np.arange(reach, dtype=np.float32) + 1) / (reach + 1)
        if low > 0:
            ramp[:reach] = rise
        if high < end:
            ramp[len(ramp) - reach :] = rise[::-1]
        sides.append(ramp)
    return np.minimum(sides[0][:, None], sides[1][None])


def _window(object_mask: Bool[np.ndarray, "H W"]) -> tuple[int, int, int, int] | None:
    """The object's box, grown; None where there is no object."""
    rows, columns = np.nonzero(object_mask)
    if len(rows) == 0:
        return None
    height, width = object_mask.shape
    u, v = 0.5 * (columns.min() + columns.max()), 0.5 * (rows.min() + rows.max())
    half = 0.5 * _WINDOW * max(np.ptp(columns), np.ptp(rows)) + 4
    u0, v0, u1, v1 = (round(float(x)) for x in (u - half, v - half, u + half, v + half))
    return max(u0, 0), max(v0, 0), min(u1, width), min(v1, height)


def _without_sparks(picture: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Single pixels that a few lucky paths made bright, brought down to three times what is around them."""
    around = cv2.blur(np.minimum(picture, 4 * cv2.blur(picture, (9, 9))), (3, 3))
    return np.minimum(picture, 3 * around + np.float32(1e-4))


def _calmed(picture: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Without sparks and with less of the grain of few paths, as a camera's own noise reduction; edges stay."""
    display = np.sqrt(_without_sparks(picture))
    return cv2.bilateralFilter(display, 5, 0.12 * float(display.mean()), 1.5) ** 2


def _smoothed(picture: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Without sparks and most of the grain, by likeness of patches; light above 16 times the mean is cut off."""
    display = np.sqrt(_without_sparks(picture))
    white = 4.0 * max(float(display.mean()), 1e-6)
    coded = (np.minimum(display / white, 1.0) * 255).round().astype(np.uint8)
    smooth = cv2.fastNlMeansDenoisingColored(coded, None, 12.0, 12.0, 3, 11)
    return (smooth.astype(np.float32) * np.float32(white / 255)) ** 2
