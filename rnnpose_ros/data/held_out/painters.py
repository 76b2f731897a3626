"""Who makes held-out pictures: a path tracer, or where that is not installed, the reference ray caster.

Neither shares light, materials, surroundings or code with the pictures that networks are trained on: a network's
score on those says little about photographs.
"""

from __future__ import annotations

import importlib.util
import logging
import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from rnnpose_ros.data.path_traced.mitsuba_tracer import renderer_version
from rnnpose_ros.data.path_traced.views import traced_view
from rnnpose_ros.data.synthetic.randomization import ViewRanges
from rnnpose_ros.data.synthetic.views import random_cameras, random_poses
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.geometry.camera import backproject, pixel_grid, project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.rendering.reference_renderer import ReferenceRenderer
from rnnpose_ros.rendering.renderer import ray_weights
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, Mesh, ObjectModel

_LOGGER = logging.getLogger(__name__)
_TILE_PX = 16
_OCCLUDED_SHARE = 0.4
_REMAPPED_AT_ONCE = 16_000
"""OpenCV takes no more than 32767 places along a side."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutView:
    """A picture with a known answer."""

    frame: ImageFrame
    T_camera_object: Float[Tensor, "4 4"]
    visible_share: float
    """Part of the object's picture that nothing hides, 0..1."""


@runtime_checkable
class Painter(Protocol):
    """Makes pictures of one object."""

    name: str
    """What reports call it."""

    def view(self, model: ObjectModel, *, seed: int) -> HeldOutView:
        """A picture from somewhere. The same seed gives the same."""
        ...


PAINTERS = ("auto", "path-traced", "ray-cast")


def choose_painter(name: str = "auto", *, width: int = 640) -> Painter:
    """A painter by its name; ``auto`` is the path tracer where it is installed, else the ray caster, aloud.

    Args:
        name: One of ``PAINTERS``.
        width: Of the pictures, px.

    Raises:
        BackendUnavailableError: The path tracer was asked for and is not installed.
        ConfigError: There is no such name.
    """
    if name not in PAINTERS:
        raise ConfigError(f"pictures: expected one of {', '.join(PAINTERS)}, got {name!r}")
    if name == "path-traced":
        renderer_version()
    if name == "ray-cast":
        return RayCasting(width)
    if importlib.util.find_spec("mitsuba") is not None:
        return PathTracing(width)
    _LOGGER.warning(
        "Mitsuba is not installed (pip install 'rnnpose_ros[pathtracer]'): held-out pictures are ray-cast under "
        "simple light instead of path-traced"
    )
    return RayCasting(width)


class PathTracing:
    """Mitsuba's pictures: global light, rough and glossy materials, clutter on a table, a camera's faults."""

    name = "path-traced (Mitsuba 3)"

    def __init__(self, width: int) -> None:
        self._width = width

    def view(self, model: ObjectModel, *, seed: int) -> HeldOutView:
        """See :class:`Painter`."""
        view = traced_view(model, seed=seed, width=self._width)
        return HeldOutView(replace(view.frame, depth=None), view.T_camera_object, view.visible_share)


class RayCasting:
    """The reference ray caster's pictures: matt surfaces under two lamps before blurred patches, some half hidden."""

    name = "ray-cast (reference renderer)"

    def __init__(self, width: int) -> None:
        self._width = width

    def view(self, model: ObjectModel, *, seed: int) -> HeldOutView:
        """See :class:`Painter`."""
        rng = np.random.default_rng(seed)
        ranges = ranges_for(model.diameter, width=self._width)
        camera = random_cameras(1, ranges, rng=rng)
        T = random_poses((model,), camera, ranges, rng=rng)[0]
        rgb, share = self._picture(model, T, camera, rng)
        return HeldOutView(ImageFrame(rgb=rgb, camera=camera), T, share)

    def _picture(
        self, model: ObjectModel, T: Float[Tensor, "4 4"], camera: CameraIntrinsics, rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "H W 3"], float]:
        picture = _patches(rng, camera)
        seen = _cast(model.mesh, T, camera)
        mask = seen.mask
        picture[mask] = _lit(_albedo(model.mesh, T, camera, seen), seen.normals, rng)
        hidden = _strip(rng, mask) if rng.random() < _OCCLUDED_SHARE else np.zeros_like(mask)
        picture[hidden] = rng.uniform(0.05, 0.9, 3)
        picture = np.asarray(cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.4, 0.8)), float)
        picture = np.clip(picture * rng.uniform(0.75, 1.2), 0, 1) ** rng.uniform(0.85, 1.15)
        picture = picture + rng.normal(0, rng.uniform(0.003, 0.02), picture.shape)
        rgb = np.clip(255 * picture + 0.5, 0, 255).astype(np.uint8)
        return torch.from_numpy(rgb), float((mask & ~hidden).sum()) / max(1, int(mask.sum()))


def ranges_for(diameter: float, *, width: int = 640) -> ViewRanges:
    """Distances from which an object of this size is looked at, in a camera of this width; else as in training."""
    ranges = ViewRanges()
    finer = width / ranges.image_px[0]
    low, high = ranges.distance_m
    near = max(min(low, max(3.0 * diameter, 0.06)), 1.2 * diameter)
    return replace(
        ranges,
        distance_m=(near, max(high, 8.0 * diameter)),
        image_px=(width, round(width * ranges.image_px[1] / ranges.image_px[0])),
        focal_px=tuple(finer * f for f in ranges.focal_px),
        object_px=tuple(finer * px for px in ranges.object_px),
        principal_jitter_px=finer * ranges.principal_jitter_px,
    )


def _patches(rng: np.random.Generator, camera: CameraIntrinsics) -> NDArray[np.float64]:
    """Surroundings: coarse colours with edges, out of focus."""
    coarse = rng.uniform(0.1, 0.9, (4, 5, 3))
    picture = cv2.resize(coarse, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(3, 12))):
        u, v = rng.integers(0, camera.width), rng.integers(0, camera.height)
        radius = int(rng.uniform(0.03, 0.2) * camera.height)
        cv2.circle(picture, (int(u), int(v)), radius, tuple(map(float, rng.uniform(0, 1, 3))), -1)
    return np.asarray(np.clip(cv2.GaussianBlur(picture, (0, 0), rng.uniform(1.0, 3.0)), 0, 1))


def _lit(albedo: NDArray[np.float64], normals: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Lambert's law for two lamps on the viewer's side, and light from everywhere."""
    lamps = rng.normal(0, 1, (2, 3)) - np.array([0.0, 0.5, 1.5])
    lamps /= np.linalg.norm(lamps, axis=1, keepdims=True)
    strengths = rng.uniform(0.15, 0.5, (2, 1)) * rng.uniform(0.9, 1.1, (2, 3))
    light = rng.uniform(0.3, 0.7) + np.maximum(normals @ lamps.T, 0) @ strengths
    return np.asarray(albedo * light)


def _strip(rng: np.random.Generator, mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """A band over the object that hides up to half of it."""
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return np.zeros_like(mask)
    angle = rng.uniform(0, np.pi)
    place = columns * np.cos(angle) + rows * np.sin(angle)
    start = rng.uniform(0.1, 0.6)
    low, high = np.quantile(place, [start, start + rng.uniform(0.05, 0.4)])
    v, u = np.indices(mask.shape)
    across = u * np.cos(angle) + v * np.sin(angle)
    return np.asarray((across > low) & (across < high))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What rays meet, at the P pixels where they meet anything."""

    mask: Bool[np.ndarray, "H W"]
    face: Int[Tensor, "P"]
    normals: Float[np.ndarray, "P 3"]


def _cast(mesh: Mesh, T_camera_object: Float[Tensor, "4 4"], camera: CameraIntrinsics) -> _Seen:
    """Tile by tile, each with the faces that can be seen in it: every ray meets every face that it is given."""
    renderer = ReferenceRenderer()
    face_ids = torch.full((camera.height, camera.width), -1)
    normals = np.zeros((camera.height, camera.width, 3))
    uv = project(transform(T_camera_object, mesh.vertices.double())[None], camera.K)[0][mesh.faces]
    low, high = uv.amin(1) - 1, uv.amax(1) + 1
    for v in range(0, camera.height, _TILE_PX):
        in_rows = (high[:, 1] >= v) & (low[:, 1] < v + _TILE_PX)
        for u in range(0, camera.width, _TILE_PX):
            chosen = (in_rows & (high[:, 0] >= u) & (low[:, 0] < u + _TILE_PX)).nonzero()[:, 0]
            if not len(chosen):
                continue
            tile = _tile_of(camera, u, v)
            part = Mesh(mesh.vertices, mesh.faces[chosen], mesh.corner_normals[chosen])
            seen = renderer.render([part], T_camera_object[None], tile)
            where = slice(v, v + tile.height), slice(u, u + tile.width)
            ids = seen.face_ids[0].long()
            face_ids[where] = torch.where(ids >= 0, chosen[ids.clamp_min(0)], -1)
            normals[where] = seen.attributes[0, :3].permute(1, 2, 0).numpy()
    mask = face_ids >= 0
    return _Seen(mask.numpy(), face_ids[mask], normals[mask.numpy()])


def _tile_of(camera: CameraIntrinsics, u: int, v: int) -> CameraIntrinsics:
    K = camera.K.clone()
    K[:, 0, 2] -= u
    K[:, 1, 2] -= v
    return CameraIntrinsics(K=K, height=min(_TILE_PX, camera.height - v), width=min(_TILE_PX, camera.width - u))


def _albedo(
    mesh: Mesh, T_camera_object: Float[Tensor, "4 4"], camera: CameraIntrinsics, seen: _Seen
) -> Float[np.ndarray, "P 3"]:
    """Unlit colours: of the texture, at one level of detail for the whole picture, or of the vertices, or grey."""
    faces = mesh.faces[seen.face]
    corners = transform(T_camera_object, mesh.vertices.double())[faces]
    pixels = pixel_grid(camera.height, camera.width, dtype=torch.float64)[torch.from_numpy(seen.mask)]
    rays = backproject(torch.ones(1, len(pixels), dtype=torch.float64), pixels[None], camera.K)[0]
    weights = ray_weights(corners, rays)[..., None]
    if mesh.texture is None or mesh.corner_uvs is None:
        if mesh.vertex_colors is None:
            return np.full((len(faces), 3), 0.7)
        return np.asarray((mesh.vertex_colors[faces].double() / 255.0 * weights).sum(1).numpy())
    corner_uvs = mesh.corner_uvs[seen.face].double()
    uv = (corner_uvs * weights).sum(1).numpy()
    texture = _at_scale(mesh.texture.numpy(), corner_uvs, project(corners[None], camera.K)[0])
    height, width = texture.shape[:2]
    x, y = (uv[:, 0] % 1.0) * width - 0.5, ((1.0 - uv[:, 1]) % 1.0) * height - 0.5
    count = len(x) // _REMAPPED_AT_ONCE + 1
    drawn = [
        cv2.remap(texture, u[:, None], v[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).reshape(-1, 3)
        for u, v in zip(np.array_split(np.float32(x), count), np.array_split(np.float32(y), count), strict=True)
    ]
    return np.concatenate(drawn) / 255.0


def _at_scale(
    texture: UInt8[np.ndarray, "Ht Wt 3"], corner_uvs: Float[Tensor, "P 3 2"], corners_px: Float[Tensor, "P 3 2"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The texture at about one texel a pixel, where it has more."""
    texels = _areas(corner_uvs).median() * texture.shape[0] * texture.shape[1]
    step = math.sqrt(max(1.0, float(texels / _areas(corners_px).median().clamp_min(1e-9))))
    size = max(1, round(texture.shape[1] / step)), max(1, round(texture.shape[0] / step))
    return np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA))


def _areas(triangles: Float[Tensor, "P 3 2"]) -> Float[Tensor, "P"]:
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs()
