"""Endless random training samples: photographs of known objects, and the wrong poses to mend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rnnpose_ros.data.synthetic.object_pools import GivenObjects, ObjectPool, PooledObject, RandomObjects
from rnnpose_ros.data.synthetic.photograph import Photographer, RenderedView
from rnnpose_ros.data.synthetic.randomization import SceneConfig
from rnnpose_ros.data.synthetic.views import nearest_symmetric_pose, random_cameras, random_poses, start_poses
from rnnpose_ros.geometry.crop import crop_camera, object_window
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import CameraIntrinsics, ObjectModel, TrainingBatch

__all__ = ["SceneConfig", "SceneGenerator"]

_MIN_VISIBLE_PX = 40


class SceneGenerator:
    """Draws training batches. The same seed gives the same batches.

    Args:
        renderer: Draws the objects.
        config: What is random, and how much.
        seed: Of everything.
        models: Objects to show instead of random ones.
    """

    def __init__(
        self,
        renderer: Renderer,
        *,
        config: SceneConfig = SceneConfig(),  # noqa: B008 - frozen
        seed: int,
        models: Sequence[ObjectModel] = (),
    ) -> None:
        """Uploads given models; everything random is made as batches ask for it."""
        self._renderer = renderer
        self._config = config
        self._rng, look_rng, background_rng = (np.random.default_rng([seed, i]) for i in (0, 2, 3))
        self._torch_rng = torch.Generator().manual_seed(seed)
        self._objects: ObjectPool = (
            GivenObjects(renderer, models, ranges=config.objects, seed=(seed, 1))
            if models
            else RandomObjects(renderer, ranges=config.objects, seed=(seed, 1))
        )
        self._photographer = Photographer(config.look, rng=look_rng, background_rng=background_rng)

    def state(self) -> dict[str, Any]:
        """All that the next batches depend on, in tensors and plain types: a few dozen megabytes."""
        return {
            "random": self._rng.bit_generator.state,
            "torch_random": self._torch_rng.get_state(),
            "objects": self._objects.state(),
            "photographer": self._photographer.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state` was taken, in a generator made with the same arguments."""
        self._rng.bit_generator.state = state["random"]
        self._torch_rng.set_state(state["torch_random"].cpu())
        self._objects.restore(state["objects"])
        self._photographer.restore(state["photographer"])

    def batch(self, batch_size: int, *, size: int, margin: float) -> TrainingBatch:
        """New samples.

        Args:
            batch_size: How many.
            size: Side of the crops, pixels.
            margin: Half side of a crop in units of the object's largest projected extent; every
                sample's own is jittered about it.

        Returns:
            Tensors on the CPU; poses and cameras are float64, depth float32.
        """
        drawn = [self._objects.draw() for _ in range(batch_size)]
        models = tuple(item.model for item in drawn)
        view = self._config.view
        image_camera = random_cameras(batch_size, view, rng=self._rng)
        T_any = random_poses(models, image_camera, view, rng=self._rng)
        T_initial = start_poses(T_any, models, view, rng=self._rng, generator=self._torch_rng)
        T_true = torch.stack(
            [
                nearest_symmetric_pose(T, T_start, item.model.symmetries, item.hull_points)
                for T, T_start, item in zip(T_any, T_initial, drawn, strict=True)
            ]
        )
        affine = self._windows(drawn, T_initial, image_camera, margin=margin, size=size)
        camera = crop_camera(image_camera, affine, size=size)
        photos, depths = self._photographs(drawn, T_true, camera, affine.numpy())
        return TrainingBatch(
            photo=torch.from_numpy(np.ascontiguousarray(photos.transpose(0, 3, 1, 2))),
            photo_depth=torch.from_numpy(depths),
            camera=camera,
            T_camera_object=T_true,
            T_camera_object_initial=T_initial,
            objects=models,
            valid=torch.from_numpy((depths > 0).sum((1, 2)) >= _MIN_VISIBLE_PX),
        )

    def _windows(
        self, drawn: list[PooledObject], T_initial: Tensor, camera: CameraIntrinsics, *, margin: float, size: int
    ) -> Float[Tensor, "B 2 3"]:
        """The crop around each start pose, every one with its own margin."""
        jitter = self._config.view.margin_jitter
        hulls = torch.stack([item.hull_points for item in drawn]).double()
        centres = torch.stack([item.model.centre for item in drawn]).double()
        tight = object_window(hulls, centres, T_initial, camera, margin=1.0, size=size)
        margins = margin * (1 + self._rng.uniform(-jitter, jitter, len(drawn)))
        shrink = torch.from_numpy(1.0 / np.maximum(margins, 1.0))[:, None]
        middle = float(size // 2)
        affine = tight * shrink[..., None]
        affine[:, :, 2] = middle + shrink * (tight[:, :, 2] - middle)
        return affine

    def _photographs(
        self, drawn: list[PooledObject], T: Tensor, camera: CameraIntrinsics, affine: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The photographs (B S S 3) and the depth of what is seen of the objects in them (B S S)."""
        size, count = camera.height, len(drawn)
        source_px = size / affine[:, 0, 0]
        plain = self._views(drawn, T, camera, factor=1)
        views = list(plain)
        fine = (source_px > size) & (self._rng.random(count) < self._config.look.supersample_share)
        chosen = np.flatnonzero(fine)
        if len(chosen):
            finer_camera = CameraIntrinsics(K=camera.K[chosen], height=size, width=size)
            finer = self._views([drawn[i] for i in chosen], T[chosen], finer_camera, factor=2)
            for index, view in zip(chosen, finer, strict=True):
                views[index] = view
        photos = np.empty((count, size, size, 3), np.uint8)
        depths = np.zeros((count, size, size), np.float32)
        for i, item in enumerate(drawn):
            mask = plain[i].depth > 0
            photos[i], hidden = self._photographer.take(
                views[i], mask, surface=item.surface, source_px=float(source_px[i])
            )
            beyond = self._beyond_photograph(affine[i], size)
            photos[i][beyond] = 0
            depths[i] = np.where(hidden | beyond, 0, plain[i].depth)
        return photos, depths

    def _views(
        self, drawn: list[PooledObject], T: Tensor, camera: CameraIntrinsics, *, factor: int
    ) -> list[RenderedView]:
        """The objects rendered at the crop cameras, ``factor`` samples a pixel along each side."""
        shift = (factor - 1) / 2
        finer_pixels = torch.tensor([[factor, 0, shift], [0, factor, shift], [0, 0, 1]], dtype=camera.K.dtype)
        K = finer_pixels @ camera.K
        finer = CameraIntrinsics(K=K, height=camera.height * factor, width=camera.width * factor)
        buffers = self._renderer.render([item.photographed for item in drawn], T, finer)
        color, normals, depth = (b.cpu().numpy() for b in (buffers.color, buffers.attributes[:, :3], buffers.depth))
        return [RenderedView(color[i], normals[i], depth[i], K[i].numpy(), factor) for i in range(len(drawn))]

    def _beyond_photograph(self, affine: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
        """Crop pixels outside the photograph that the crop is cut from."""
        width, height = self._config.view.image_px
        u, v = ((np.arange(size) - affine[axis, 2]) / affine[axis, axis] for axis in (0, 1))
        beyond_u = (u < -0.5) | (u > width - 0.5)
        beyond_v = (v < -0.5) | (v > height - 0.5)
        return beyond_v[:, None] | beyond_u[None]
