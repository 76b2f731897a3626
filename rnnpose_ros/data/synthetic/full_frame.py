"""Full pictures with several objects: each rendered whole, the nearest surface seen at every sample.

Objects float before a flat background, none inside another, as in much of the field's rendered training data: no
table holds them, and they throw soft shadows on the background only. Light, materials, background and camera are
those of the training samples. What hides an object is other objects, annotated or not, and has its true depth.
A picture depends on the seed, its scene and its number alone, not on the pictures made before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rnnpose_ros.data.bop.scene_writer import SceneFrame, SceneObject
from rnnpose_ros.data.synthetic.backgrounds import BackgroundPool
from rnnpose_ros.data.synthetic.camera_look import photographed
from rnnpose_ros.data.synthetic.depth_noise import measured_depth
from rnnpose_ros.data.synthetic.layers import CutOuts, shaded
from rnnpose_ros.data.synthetic.lighting import (
    Illumination,
    Surface,
    lit_colors,
    pixel_rays,
    random_illumination,
    random_surface,
)
from rnnpose_ros.data.synthetic.objects import random_object
from rnnpose_ros.data.synthetic.randomization import FullFrameConfig, ObjectRanges
from rnnpose_ros.data.synthetic.shade import soft_shadow, unevenly_lit
from rnnpose_ros.data.synthetic.views import random_cameras, random_poses
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import CameraIntrinsics, ObjectModel, RenderBuffers

_SAMPLES = 2
"""Along each side of a pixel, for the colours; depth and masks are exact at the pixel's centre."""
_TRIES = 60


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """Something that can stand in a picture."""

    object_id: int | None
    """None for a distractor."""
    model: ObjectModel
    mesh: Any
    """Uploaded."""
    surface: Surface


@dataclass(frozen=True, slots=True, eq=False)
class SceneSetup:
    """What all pictures of a scene share."""

    number: int
    camera: CameraIntrinsics
    objects: tuple[Thing, ...]
    distractors: tuple[Thing, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Composition:
    """The nearest surface at every sample."""

    depth: NDArray[np.float32]
    """H W, infinite where there is nothing."""
    owner: NDArray[np.int32]
    """H W, index of the thing, -1 for none."""


class Studio:
    """Takes full pictures of known objects."""

    def __init__(
        self, renderer: Renderer, models: Mapping[int, ObjectModel], *, config: FullFrameConfig, seed: int
    ) -> None:
        """Uploads the objects.

        Args:
            renderer: Draws them.
            models: By object id.
            config: What is random.
            seed: Of everything.
        """
        self._renderer = renderer
        self._config = config
        self._seed = seed
        self._models = models
        self._meshes = {number: renderer.upload(model.mesh) for number, model in models.items()}

    def set_up(self, scene: int, *, camera: CameraIntrinsics | None = None) -> SceneSetup:
        """A scene's camera (a random one where none is given), its materials and distractors."""
        rng = np.random.default_rng([self._seed, scene])
        drawn = random_cameras(1, self._config.view, rng=rng)
        objects = tuple(
            Thing(number, model, self._meshes[number], random_surface(rng, metallic_share=0.0))
            for number, model in self._models.items()
        )
        distractors = tuple(self._distractor(rng, i) for i in range(2 * self._config.distractors))
        return SceneSetup(scene, camera or drawn, objects, distractors)

    def take(self, setup: SceneSetup, image: int) -> SceneFrame:
        """One picture with its depth, masks and poses."""
        rng = np.random.default_rng([self._seed, setup.number, image + 1])
        things, poses = self.arrange(setup, rng)
        plain = [self.render(thing, T, setup.camera) for thing, T in zip(things, poses, strict=True)]
        seen = nearest_surface([buffers.depth[0].cpu().numpy() for buffers in plain])
        photo = self.photograph(things, poses, setup.camera, seen.owner >= 0, rng)
        depth = np.where(np.isfinite(seen.depth), seen.depth, np.float32(0))
        if self._config.depth_noise > 0:
            depth = measured_depth(depth, factor=self._config.depth_noise, rng=rng)
        objects = [
            self._annotated(thing, T, plain[i], seen.owner == i, setup.camera)
            for i, (thing, T) in enumerate(zip(things, poses, strict=True))
            if thing.object_id is not None
        ]
        return SceneFrame(rgb=photo, depth=depth, K=setup.camera.K[0], objects=tuple(objects))

    def _distractor(self, rng: np.random.Generator, index: int) -> Thing:
        ranges = ObjectRanges()
        model, thing = random_object(rng, ranges, label=f"distractor_{index}")
        surface = random_surface(rng, metallic_share=ranges.metallic_share)
        return Thing(None, model, self._renderer.upload(thing), surface)

    def arrange(self, setup: SceneSetup, rng: np.random.Generator) -> tuple[list[Thing], list[torch.Tensor]]:
        """Which things stand where: no two of their enclosing spheres meet. What finds no place stays away."""
        chosen: list[Thing] = []
        for stock, count in ((setup.objects, self._config.objects), (setup.distractors, self._config.distractors)):
            chosen += [stock[i] for i in rng.permutation(len(stock))[:count]]
        things, poses = [], []
        centres, radii = torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
        for thing in chosen:
            radius = 0.5 * thing.model.diameter
            for _ in range(_TRIES):
                T = random_poses((thing.model,), setup.camera, self._config.view, rng=rng)[0]
                centre = transform(T, thing.model.centre.double()[None])
                if bool(((centres - centre).norm(dim=-1) > radii + radius).all()):
                    things.append(thing)
                    poses.append(T)
                    centres, radii = torch.cat([centres, centre]), torch.cat([radii, radii.new_tensor([radius])])
                    break
        return things, poses

    def render(self, thing: Thing, T: torch.Tensor, camera: CameraIntrinsics) -> RenderBuffers:
        """One thing alone."""
        return self._renderer.render([thing.mesh], T[None], camera)

    def photograph(
        self,
        things: list[Thing],
        poses: list[torch.Tensor],
        camera: CameraIntrinsics,
        covered: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """The picture that a camera delivers."""
        height, width = covered.shape
        front = self._lit(things, poses, camera, random_illumination(rng), rng)
        room = BackgroundPool(self._config.look, cutouts=CutOuts(1), rng=rng).draw(max(width, height))
        top, left = (max(width, height) - height) // 2, (max(width, height) - width) // 2
        picture = np.ascontiguousarray(room[top : top + height, left : left + width])
        if rng.random() < 0.6:
            picture = shaded(picture, soft_shadow(covered, rng=rng))
        alpha = front[..., 3]
        picture = shaded(picture, 1 - alpha) + front[..., :3]
        return photographed(unevenly_lit(picture, rng=rng), self._config.look, rng=rng)

    def _lit(
        self,
        things: list[Thing],
        poses: list[torch.Tensor],
        camera: CameraIntrinsics,
        light: Illumination,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """All things under the same lamps (H W 4, premultiplied), several samples to a pixel."""
        finer = _finer(camera)
        K = finer.K[0].numpy()
        depth = np.full((finer.height, finer.width), np.inf, np.float32)
        rgba = np.zeros((finer.height, finer.width, 4), np.float32)
        for thing, T in zip(things, poses, strict=True):
            buffers = self.render(thing, T, finer)
            own = buffers.depth[0].cpu().numpy()
            rows, columns = np.nonzero((own > 0) & (own < depth))
            albedo = buffers.color[0].cpu().numpy()[:, rows, columns]
            if rng.random() < 0.35:
                albedo = albedo * (1 + rng.normal(0, 0.12, (3, 1))).clip(0.5, 1.5).astype(np.float32)
            normals = buffers.attributes[0, :3].cpu().numpy()[:, rows, columns]
            rays = pixel_rays(rows, columns, K)
            rgba[rows, columns, :3] = lit_colors(albedo, normals, rays, light=light, surface=thing.surface).T
            rgba[rows, columns, 3] = 1.0
            depth[rows, columns] = own[rows, columns]
        return cv2.resize(rgba, (camera.width, camera.height), interpolation=cv2.INTER_AREA)

    def _annotated(
        self,
        thing: Thing,
        T: torch.Tensor,
        plain: RenderBuffers,
        visible: NDArray[np.bool_],
        camera: CameraIntrinsics,
    ) -> SceneObject:
        """The object's annotation; its outline is drawn on a larger canvas where the picture cuts it off."""
        outline, border = plain.depth[0].cpu().numpy() > 0, 0
        if outline[[0, -1]].any() or outline[:, [0, -1]].any() or not outline.any():
            border = max(camera.width, camera.height)
            outline = self.render(thing, T, _wider(camera, border)).depth[0].cpu().numpy() > 0
        assert thing.object_id is not None
        return SceneObject(thing.object_id, T, outline, border, visible)


def nearest_surface(depths: list[NDArray[np.float32]]) -> Composition:
    """What is seen where several things were drawn alone."""
    whole = np.stack([np.where(depth > 0, depth, np.inf) for depth in depths])
    owner = whole.argmin(0).astype(np.int32)
    depth = whole.min(0)
    return Composition(depth.astype(np.float32), np.where(np.isfinite(depth), owner, -1))


def _finer(camera: CameraIntrinsics) -> CameraIntrinsics:
    """The same view in ``_SAMPLES`` times as many pixels along each side."""
    shift = (_SAMPLES - 1) / 2
    A = torch.tensor([[_SAMPLES, 0, shift], [0, _SAMPLES, shift], [0, 0, 1]], dtype=camera.K.dtype)
    return CameraIntrinsics(K=A @ camera.K, height=camera.height * _SAMPLES, width=camera.width * _SAMPLES)


def _wider(camera: CameraIntrinsics, border_px: int) -> CameraIntrinsics:
    """The same pixels, and so many more on all sides."""
    K = camera.K.clone()
    K[:, :2, 2] += border_px
    return replace(camera, K=K, height=camera.height + 2 * border_px, width=camera.width + 2 * border_px)
