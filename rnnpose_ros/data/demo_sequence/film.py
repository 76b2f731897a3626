"""The camera: sub-frames of the lit scene added up over the exposure, then noise and tone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from rnnpose_ros.data.demo_sequence.light import Lamp, Located, lamp_camera, lamps
from rnnpose_ros.data.demo_sequence.motion import CAMERA, BoxMotion, camera_pose, shifted
from rnnpose_ros.data.demo_sequence.scenery import Prop
from rnnpose_ros.geometry.se3 import inverse
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import CameraIntrinsics, Mesh

EXPOSURE = 0.012
"""Seconds."""
_OFFSETS_PX = ((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375))
"""Where in a pixel each sub-frame samples; their mean is the pixel's centre."""
_BOUNCE = 0.10
_BOX_GLOSS = 0.10
_SHININESS = 40.0
_ALBEDO = 0.86


@dataclass(frozen=True, slots=True, eq=False)
class _Surface:
    """What one sub-frame sees, pixels in a row."""

    points_world: Float[Tensor, "N 3"]
    normals_world: Float[Tensor, "N 3"]
    albedo: Float[Tensor, "N 3"]
    """Linear."""
    gloss: Float[Tensor, "N"]
    depth: Float[Tensor, "N"]
    """0 = nothing."""

    def at(self, index: Tensor) -> _Surface:
        return _Surface(
            *(x[index] for x in (self.points_world, self.normals_world, self.albedo, self.gloss, self.depth))
        )


@dataclass(frozen=True, slots=True, eq=False)
class _SubFrame:
    """What does not change from frame to frame."""

    camera: CameraIntrinsics
    lamps: Sequence[Lamp]
    scenery: _Surface
    lamp_depths: Sequence[Float[Tensor, "S S"]]
    """What each lamp sees of the scenery."""
    located: Sequence[Located]
    """The scenery's pixels in each lamp's shadow map."""
    arriving: Sequence[Float[Tensor, "N 3"]]
    """Light of each lamp from every pixel of the scenery, its own shadows counted."""
    radiance: Float[Tensor, "N 3"]
    """All lamps together."""


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """One picture and what is known about it."""

    rgb: UInt8[np.ndarray, "H W 3"]
    T_camera_box: Float[Tensor, "4 4"]
    visible_share: float
    """Of the box's pixels on an unlimited picture, those that this one shows."""


class Film:
    """Takes pictures of the moving box in the scenery."""

    def __init__(self, box: Mesh, scenery: Sequence[Prop], *, seed: int) -> None:
        """Draws and lights the scenery once per sub-frame."""
        self._renderer = WarpRenderer("cpu")
        self._box = self._renderer.upload(box)
        self._props = [(self._renderer.upload(p.mesh), p) for p in scenery]
        self._T_camera_world = camera_pose()
        self._rng = np.random.default_rng(seed)
        self._sub_frames = [self._prepare(offset) for offset in _OFFSETS_PX]

    def expose(self, motion: BoxMotion, seconds: float) -> Exposure:
        """The picture whose exposure has its middle at a time."""
        count = len(self._sub_frames)
        total = torch.zeros(CAMERA.height * CAMERA.width, 3)
        for i, sub_frame in enumerate(self._sub_frames):
            T_world_box = motion.pose_in_world(seconds + EXPOSURE * ((i + 0.5) / count - 0.5))
            total += self._lit(sub_frame, T_world_box) / count
        T_camera_box = self._T_camera_world @ motion.pose_in_world(seconds)
        linear = total.reshape(CAMERA.height, CAMERA.width, 3).numpy()
        return Exposure(self._developed(linear), T_camera_box, self._visible_share(T_camera_box))

    def _prepare(self, offset_px: tuple[float, float]) -> _SubFrame:
        camera = shifted(CAMERA, offset_px)
        scenery = self._nearest([self._surface(m, p.T_world_object, camera, p.gloss) for m, p in self._props])
        chosen = lamps(self._rng)
        depths = [self._lamp_depth(lamp) for lamp in chosen]
        located = [lamp.locate(scenery.points_world) for lamp in chosen]
        arriving = [
            self._from_lamp(lamp, scenery, at.hidden(depth))
            for lamp, at, depth in zip(chosen, located, depths, strict=True)
        ]
        radiance = sum(arriving) + _BOUNCE * scenery.albedo
        return _SubFrame(camera, chosen, scenery, depths, located, arriving, radiance)

    def _lit(self, sub_frame: _SubFrame, T_world_box: Tensor) -> Tensor:
        scenery = sub_frame.scenery
        whole = self._surface(self._box, T_world_box, sub_frame.camera, _BOX_GLOSS)
        seen = torch.nonzero((whole.depth > 0) & ((scenery.depth == 0) | (whole.depth < scenery.depth)))[:, 0]
        box = whole.at(seen)
        radiance = sub_frame.radiance.clone()
        box_radiance = _BOUNCE * box.albedo
        for i, lamp in enumerate(sub_frame.lamps):
            shade = self._renderer.render([self._box], (lamp.T_lamp_world @ T_world_box)[None], lamp_camera()).depth[0]
            hidden = torch.nonzero(sub_frame.located[i].hidden(shade))[:, 0]
            radiance[hidden] -= sub_frame.arriving[i][hidden]
            box_hidden = lamp.locate(box.points_world).hidden(sub_frame.lamp_depths[i])
            box_radiance = box_radiance + self._from_lamp(lamp, box, box_hidden)
        radiance[seen] = box_radiance
        return radiance

    def _from_lamp(self, lamp: Lamp, surface: _Surface, hidden: Bool[Tensor, "N"]) -> Tensor:
        """Matt and mirrored light of one lamp."""
        facing = (surface.normals_world @ lamp.direction).clamp_min(0.0) * ~hidden
        light = surface.albedo * facing[:, None]
        if lamp.has_gloss:
            eye = inverse(self._T_camera_world)[:3, 3].float()
            to_eye = torch.nn.functional.normalize(eye - surface.points_world, dim=-1)
            half = torch.nn.functional.normalize(to_eye + lamp.direction, dim=-1)
            peak = (surface.normals_world * half).sum(-1).clamp_min(0.0) ** _SHININESS
            light = light + (surface.gloss * peak * (facing > 0))[:, None]
        return light * lamp.color

    def _surface(self, mesh: object, T_world_object: Tensor, camera: CameraIntrinsics, gloss: float) -> _Surface:
        T_camera_object = self._T_camera_world @ T_world_object
        buffers = self._renderer.render([mesh], T_camera_object[None], camera)  # type: ignore[list-item]
        depth = buffers.depth[0].reshape(-1)
        v, u = torch.meshgrid(torch.arange(camera.height), torch.arange(camera.width), indexing="ij")
        K = camera.K[0].float()
        rays = torch.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], torch.ones_like(u)], -1).reshape(-1, 3)
        T_world_camera = inverse(self._T_camera_world).float()
        R = T_world_camera[:3, :3]
        normals = buffers.attributes[0, :3].reshape(3, -1).T @ R.T
        return _Surface(
            points_world=(rays * depth[:, None]) @ R.T + T_world_camera[:3, 3],
            normals_world=normals,
            albedo=_ALBEDO * buffers.color[0].reshape(3, -1).T ** 2.2,
            gloss=torch.full_like(depth, gloss),
            depth=depth,
        )

    def _nearest(self, surfaces: Sequence[_Surface]) -> _Surface:
        merged = surfaces[0]
        for other in surfaces[1:]:
            nearer = (other.depth > 0) & ((merged.depth == 0) | (other.depth < merged.depth))
            pairs = [
                (other.points_world, merged.points_world),
                (other.normals_world, merged.normals_world),
                (other.albedo, merged.albedo),
            ]
            points, normals, albedo = (torch.where(nearer[:, None], a, b) for a, b in pairs)
            merged = _Surface(
                points,
                normals,
                albedo,
                torch.where(nearer, other.gloss, merged.gloss),
                torch.where(nearer, other.depth, merged.depth),
            )
        return merged

    def _lamp_depth(self, lamp: Lamp) -> Tensor:
        """The nearest of all that throws shadows."""
        camera = lamp_camera()
        nearest = torch.full((camera.height, camera.width), torch.inf)
        for mesh, prop in self._props:
            if prop.casts_shadow:
                depth = self._renderer.render([mesh], (lamp.T_lamp_world @ prop.T_world_object)[None], camera).depth[0]
                nearest = torch.where(depth > 0, torch.minimum(nearest, depth), nearest)
        return torch.where(torch.isfinite(nearest), nearest, torch.zeros_like(nearest))

    def _visible_share(self, T_camera_box: Tensor) -> float:
        wide = CameraIntrinsics(CAMERA.K.clone(), height=3 * CAMERA.height, width=3 * CAMERA.width)
        wide.K[:, 0, 2] += CAMERA.width
        wide.K[:, 1, 2] += CAMERA.height
        whole = int((self._renderer.render([self._box], T_camera_box[None], wide).depth > 0).sum())
        alone = self._renderer.render([self._box], T_camera_box[None], CAMERA).depth[0].reshape(-1)
        before = self._sub_frames[0].scenery.depth
        seen = (alone > 0) & ((before == 0) | (alone < before))
        return int(seen.sum()) / whole if whole else 0.0

    def _developed(self, linear: np.ndarray) -> np.ndarray:
        """A lens that is a little soft and dark at its corners, a sensor with noise, and a soft shoulder."""
        soft = cv2.GaussianBlur(linear, (0, 0), 0.45)
        height, width = soft.shape[:2]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        radius = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width / 2) ** 2
        exposed = soft * (1.0 - 0.14 * radius)[..., None]
        exposed += self._rng.standard_normal(exposed.shape, dtype=np.float32) * np.sqrt(2e-5 + 1.2e-4 * exposed.clip(0))
        toned = 1.0 - np.exp(-1.55 * exposed.clip(0))
        return (255.0 * (toned / toned.max().clip(0.9)) ** (1 / 2.2) + 0.5).clip(0, 255).astype(np.uint8)
