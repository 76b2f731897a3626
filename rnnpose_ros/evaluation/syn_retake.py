"""The benchmark's frames photographed by the renderer that trains: what remains is the gap between the two."""

from __future__ import annotations

import numpy as np
import torch

from rnnpose_ros.data.bop.dataset import BopImage
from rnnpose_ros.data.syn.reading import Benchmark
from rnnpose_ros.data.synthetic.lighting import random_surface
from rnnpose_ros.data.synthetic.photograph import Photographer, RenderedView
from rnnpose_ros.data.synthetic.randomization import LookRanges, ObjectRanges
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import CameraIntrinsics, ImageFrame

_SAMPLES = 2
"""Along each side of a pixel."""
_STREAMS = (11, 12)
_WARM_UP = 8
"""Photographs taken first, so that there are cut-outs to lay before and behind the object."""


class TrainingRetake:
    """Takes each frame's object at its pose again, in the square part of the picture about it.

    Light, finish, surroundings, occluders and camera effects are drawn as for training samples; shape, colours, pose
    and camera are the frame's.
    """

    def __init__(self, benchmark: Benchmark, renderer: Renderer, *, seed: int = 0) -> None:
        """Allocates nothing.

        Args:
            benchmark: Its objects and poses.
            renderer: The one that trains.
            seed: Of everything random.
        """
        self._benchmark = benchmark
        self._renderer = renderer
        self._seed = seed

    def __call__(self, image: BopImage, camera: CameraIntrinsics) -> ImageFrame:
        """The frame's other picture."""
        assert image.annotations
        seed = [self._seed, image.scene_id, image.image_id]
        rng, background_rng = (np.random.default_rng([*seed, stream]) for stream in _STREAMS)
        photographer = Photographer(LookRanges(), rng=rng, background_rng=background_rng)
        square = _square_about(image, camera)
        for other in self._neighbours(image):
            self._take(photographer, other, square, rng)
        return ImageFrame(rgb=self._take(photographer, image, square, rng), camera=square)

    def _neighbours(self, image: BopImage) -> list[BopImage]:
        """Other objects' frames of the same number."""
        others = [i for i in self._benchmark.images if i.image_id == image.image_id and i is not image]
        return others[:_WARM_UP]

    def _take(
        self, photographer: Photographer, image: BopImage, camera: CameraIntrinsics, rng: np.random.Generator
    ) -> torch.Tensor:
        assert image.annotations
        annotation = image.annotations[0]
        mesh = self._renderer.upload(self._benchmark.dataset.models[annotation.object_id].mesh)
        T = annotation.T_camera_object[None].double()
        plain = self._renderer.render([mesh], T, camera)
        fine_camera = _finer(camera)
        fine = self._renderer.render([mesh], T, fine_camera)
        view = RenderedView(
            color=fine.color[0].cpu().numpy(),
            normals=fine.attributes[0, :3].cpu().numpy(),
            depth=fine.depth[0].cpu().numpy(),
            K=fine_camera.K[0].numpy(),
            factor=_SAMPLES,
        )
        surface = random_surface(rng, metallic_share=ObjectRanges().metallic_share)
        mask = plain.depth[0].cpu().numpy() > 0
        picture, _ = photographer.take(view, mask, surface=surface, source_px=float(camera.width))
        return torch.from_numpy(picture)


def _square_about(image: BopImage, camera: CameraIntrinsics) -> CameraIntrinsics:
    """The largest square part of the picture with the object's origin as near to its middle as can be."""
    assert image.annotations
    side = min(camera.height, camera.width)
    origin = transform(image.annotations[0].T_camera_object[None].double(), torch.zeros(1, 1, 3, dtype=torch.float64))
    u, v = project(origin, camera.K.double())[0, 0].tolist()
    left = min(max(round(u - side / 2), 0), camera.width - side)
    top = min(max(round(v - side / 2), 0), camera.height - side)
    K = camera.K.double().clone()
    K[0, 0, 2] -= left
    K[0, 1, 2] -= top
    return CameraIntrinsics(K=K, height=side, width=side)


def _finer(camera: CameraIntrinsics) -> CameraIntrinsics:
    shift = (_SAMPLES - 1) / 2
    to_fine = torch.tensor([[_SAMPLES, 0, shift], [0, _SAMPLES, shift], [0, 0, 1]], dtype=torch.float64)
    return CameraIntrinsics(
        K=to_fine @ camera.K.double(), height=_SAMPLES * camera.height, width=_SAMPLES * camera.width
    )
