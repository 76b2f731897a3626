"""Endless random training samples: photographs of known objects, and the wrong poses to mend."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnpose_ros.data.synthetic.backgrounds import BackgroundPool, CutOuts, occluder, over
from rnnpose_ros.data.synthetic.camera_look import photographed
from rnnpose_ros.data.synthetic.lighting import lit_colors, random_illumination
from rnnpose_ros.data.synthetic.objects import ObjectPool, PooledObject
from rnnpose_ros.data.synthetic.randomization import SceneConfig
from rnnpose_ros.data.synthetic.textures import noise_field
from rnnpose_ros.data.synthetic.views import nearest_symmetric_pose, random_cameras, random_poses, start_poses
from rnnpose_ros.geometry.crop import crop_camera, object_window
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import CameraIntrinsics, TrainingBatch

Array = NDArray[np.float32]
_MIN_VISIBLE_PX = 40


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One object as the renderer saw it, ``factor`` times finer than the crop."""

    color: Array
    normals: Array
    depth: Array
    K: NDArray[np.float64]
    factor: int


class SceneGenerator:
    """Draws training batches. The same seed gives the same batches."""

    def __init__(self, renderer: Renderer, *, config: SceneConfig = SceneConfig(), seed: int) -> None:  # noqa: B008
        self._renderer = renderer
        self._config = config
        self._rng = np.random.default_rng(seed)
        self._torch_rng = torch.Generator().manual_seed(seed)
        self._objects = ObjectPool(renderer, ranges=config.objects, rng=np.random.default_rng([seed, 1]))
        self._cutouts = CutOuts(config.look.cutouts)
        self._backgrounds = BackgroundPool(config.look, cutouts=self._cutouts, rng=np.random.default_rng([seed, 2]))

    def batch(self, batch_size: int, *, size: int, margin: float) -> TrainingBatch:
        """New samples.

        Args:
            batch_size: How many.
            size: Side of the crops, pixels.
            margin: Half side of a crop in units of the object's largest projected extent, about which
                it is jittered.

        Returns:
            Tensors on the CPU; poses and cameras are float64, depth float32.
        """
        drawn = [self._objects.draw() for _ in range(batch_size)]
        models = tuple(item.model for item in drawn)
        view = self._config.view
        image_camera = random_cameras(batch_size, view, rng=self._rng)
        T_true = random_poses(models, image_camera, view, rng=self._rng)
        T_initial = start_poses(T_true, models, view, rng=self._rng, generator=self._torch_rng)
        T_nearest = torch.stack(
            [
                nearest_symmetric_pose(T, T0, item.model.symmetries, item.hull_points)
                for T, T0, item in zip(T_true, T_initial, drawn, strict=True)
            ]
        )
        affine = self._windows(drawn, T_initial, image_camera, margin=margin, size=size)
        camera = crop_camera(image_camera, affine, size=size)
        photos, depths = self._photographs(drawn, T_nearest, camera, affine.numpy())
        return TrainingBatch(
            photo=torch.from_numpy(np.ascontiguousarray(photos.transpose(0, 3, 1, 2))),
            photo_depth=torch.from_numpy(depths),
            camera=camera,
            T_camera_object=T_nearest,
            T_camera_object_initial=T_initial,
            objects=models,
            valid=torch.from_numpy((depths > 0).sum((1, 2)) >= _MIN_VISIBLE_PX),
        )

    def _windows(
        self, drawn: list[PooledObject], T_initial: Tensor, camera: CameraIntrinsics, *, margin: float, size: int
    ) -> Tensor:
        """The crop around each start pose, every one with its own margin."""
        jitter = self._config.view.margin_jitter
        affines = []
        for i, item in enumerate(drawn):
            one = CameraIntrinsics(K=camera.K[i : i + 1], height=camera.height, width=camera.width)
            own_margin = max(1.0, margin * (1 + self._rng.uniform(-jitter, jitter)))
            affines.append(
                object_window(
                    item.hull_points[None].double(),
                    item.model.centre[None].double(),
                    T_initial[i : i + 1],
                    one,
                    margin=own_margin,
                    size=size,
                )
            )
        return torch.cat(affines)

    def _photographs(
        self, drawn: list[PooledObject], T: Tensor, camera: CameraIntrinsics, affine: NDArray
    ) -> tuple[NDArray[np.uint8], Array]:
        """The photographs (B S S 3) and the depth of what is seen of the objects in them."""
        plain = self._views(drawn, T, camera, factor=1)
        fine = self._rng.random(len(drawn)) < self._config.look.supersample_share
        chosen = np.flatnonzero(fine)
        views = list(plain)
        if len(chosen):
            picks = torch.from_numpy(chosen)
            sub_camera = CameraIntrinsics(K=camera.K[picks], height=camera.height, width=camera.width)
            finer = self._views([drawn[i] for i in chosen], T[picks], sub_camera, factor=2)
            for i, view in zip(chosen, finer, strict=True):
                views[i] = view
        photos = np.empty((len(drawn), camera.height, camera.width, 3), np.uint8)
        depths = np.empty((len(drawn), camera.height, camera.width), np.float32)
        for i, item in enumerate(drawn):
            photos[i], hidden = self._compose(item, views[i], plain[i].depth, affine[i])
            depths[i] = np.where(hidden, 0, plain[i].depth)
        return photos, depths

    def _views(self, drawn: list[PooledObject], T: Tensor, camera: CameraIntrinsics, *, factor: int) -> list[_View]:
        """The objects rendered at the crop cameras, ``factor`` samples a pixel along each side."""
        zoom = torch.tensor([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])
        K = zoom.to(camera.K) @ camera.K
        finer = CameraIntrinsics(K=K, height=camera.height * factor, width=camera.width * factor)
        buffers = self._renderer.render([item.uploaded for item in drawn], T, finer)
        color = buffers.color.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        normals = buffers.attributes[:, :3].permute(0, 2, 3, 1).cpu().contiguous().numpy()
        depth = buffers.depth.cpu().numpy()
        return [_View(color[i], normals[i], depth[i], K[i].numpy(), factor) for i in range(len(drawn))]

    def _compose(
        self, item: PooledObject, view: _View, depth: Array, affine: NDArray
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """One photograph, and where something hides the object or the photograph ends."""
        rng, look = self._rng, self._config.look
        size = depth.shape[0]
        front = self._lit(item, view, size)
        if rng.random() < 0.5 and view.factor == 1:
            front = cv2.GaussianBlur(front, (3, 3), rng.uniform(0.35, 0.6))
        background = self._backgrounds.draw(size)
        for _ in range(int(rng.integers(0, 4)) if len(self._cutouts) else 0):
            centre = tuple(rng.uniform(0, size, 2))
            background = over(
                self._cutouts.draw(rng, size, centre=centre, extent=rng.uniform(0.2, 0.9) * size), background
            )
        background = self._with_shadow(background, front[..., 3])
        picture = over(front, background)
        self._cutouts.add(front, depth > 0)
        picture, hidden = self._occluded(picture, depth > 0)
        if rng.random() < 0.3:
            shade = 1 + np.float32(rng.uniform(0.1, 0.4)) * noise_field(rng, size, octaves=1)
            picture = picture * np.maximum(shade, 0.2)
        source_px = size / float(affine[0, 0])
        grid = min(size, max(16, round(source_px)))
        if grid < 0.95 * size:
            picture = cv2.resize(picture, (grid, grid), interpolation=cv2.INTER_AREA)
        finished = photographed(picture, look, rng=rng)
        if finished.shape[0] != size:
            finished = cv2.resize(finished, (size, size), interpolation=cv2.INTER_LINEAR)
        outside = self._outside(affine, size)
        finished[outside] = 0
        return finished, hidden | outside

    def _lit(self, item: PooledObject, view: _View, size: int) -> Array:
        """The object alone under random lamps, premultiplied RGBA, size x size."""
        rng = self._rng
        rows, columns = np.nonzero(view.depth > 0)
        rays = np.stack(
            [(columns - view.K[0, 2]) / view.K[0, 0], (rows - view.K[1, 2]) / view.K[1, 1], np.ones(len(rows))], 1
        ).astype(np.float32)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        shadow = None
        if rng.random() < 0.35:
            field = noise_field(rng, size, octaves=2)[..., 0]
            sharp = np.clip(0.5 + rng.uniform(0.7, 4.0) * field, rng.uniform(0.0, 0.5), 1).astype(np.float32)
            shadow = sharp[rows // view.factor, columns // view.factor]
        albedo = view.color[rows, columns]
        if rng.random() < 0.35:
            albedo = albedo * (1 + rng.normal(0, 0.12, 3)).clip(0.5, 1.5).astype(np.float32)
        light = random_illumination(rng)
        color = lit_colors(albedo, view.normals[rows, columns], rays, light=light, surface=item.surface, shadow=shadow)
        rgba = np.zeros((*view.depth.shape, 4), np.float32)
        rgba[rows, columns, :3] = color
        rgba[rows, columns, 3] = 1.0
        if view.factor > 1:
            rgba = cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA)
        return rgba

    def _with_shadow(self, background: Array, alpha: Array) -> Array:
        """The soft shadow that the object throws on what is behind it."""
        rng = self._rng
        if rng.random() > 0.6:
            return background
        size = alpha.shape[0]
        shift = np.array([[1, 0, rng.normal(0, 0.06) * size], [0, 1, rng.uniform(-0.02, 0.12) * size]])
        small = cv2.warpAffine(alpha, shift, (size, size))
        reach = int(rng.uniform(0.03, 0.12) * size) * 2 + 1
        soft = cv2.blur(cv2.blur(small, (reach, reach)), (reach, reach))
        return background * (1 - np.float32(rng.uniform(0.2, 0.75)) * soft[..., None])

    def _occluded(self, picture: Array, mask: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
        """Something laid over the picture, unless it would leave too little of the object."""
        rng, look = self._rng, self._config.look
        hidden = np.zeros_like(mask)
        if rng.random() >= look.occluder_share:
            return picture, hidden
        size = mask.shape[0]
        for _ in range(int(rng.integers(1, 3))):
            texture = self._backgrounds.draw(size)
            front = occluder(rng, size, self._cutouts, texture=texture)
            covers = hidden | (front[..., 3] > 0.5)
            if (mask & ~covers).sum() < look.min_visible * mask.sum():
                continue
            picture, hidden = over(front, picture), covers
        return picture, hidden

    def _outside(self, affine: NDArray, size: int) -> NDArray[np.bool_]:
        """Crop pixels that lie beyond the photograph."""
        width, height = self._config.view.image_px
        ticks = np.arange(size)
        u, v = (ticks - affine[0, 2]) / affine[0, 0], (ticks - affine[1, 2]) / affine[1, 1]
        outside_u = (u < -0.5) | (u > width - 0.5)
        outside_v = (v < -0.5) | (v > height - 0.5)
        return outside_v[:, None] | outside_u[None]
