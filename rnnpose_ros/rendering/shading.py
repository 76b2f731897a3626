"""Light on rendered surfaces."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.types import CameraIntrinsics, RenderBuffers

_HEAD_AMBIENT = 0.6
_HEAD_DIFFUSE = 0.45

_PUBLISHED_LAMP_OBJECT = (1.0, 1.0, -1.0)
_PUBLISHED_AMBIENT = 0.5
_PUBLISHED_DIFFUSE = 0.3
_PUBLISHED_SPECULAR = 0.2


def head_light(buffers: RenderBuffers, camera: CameraIntrinsics) -> RenderBuffers:
    """The reference's look: a lamp at the camera, ``albedo (0.6 + 0.45 max(0, n . v))``, at most 1.

    Args:
        buffers: Unlit colour and, as first attributes, unit normals in the camera frame.
        camera: That they were rendered with.
    """
    x, y = _slopes(camera, buffers.color.dtype)
    nx, ny, nz = buffers.attributes[:, :3].unbind(1)
    facing = -(nx * x + ny * y + nz) * (x * x + y * y + 1).rsqrt()
    light = (_HEAD_AMBIENT + _HEAD_DIFFUSE * facing.clamp_min(0.0)) * (buffers.depth > 0)
    return dataclasses.replace(buffers, color=(buffers.color * light[:, None]).clamp(max=1.0))


def _slopes(camera: CameraIntrinsics, dtype: torch.dtype) -> tuple[Float[Tensor, "B 1 W"], Float[Tensor, "B H 1"]]:
    """x / z of every column and y / z of every row."""
    K = camera.K.to(dtype)
    u = torch.arange(camera.width, device=K.device, dtype=dtype)
    v = torch.arange(camera.height, device=K.device, dtype=dtype)
    return ((u - K[:, 0, 2, None]) / K[:, 0, 0, None])[:, None], ((v - K[:, 1, 2, None]) / K[:, 1, 1, None])[..., None]


def published_light(
    albedo: Float[Tensor, "N 3"], normals_object: Float[Tensor, "N 3"], points_object: Float[Tensor, "N 3"]
) -> Float[Tensor, "N 3"]:
    """The look of the published code's references: ``albedo (0.5 + 0.3 max(0, n . l)) + 0.2``.

    The lamp stands at (1, 1, -1) metres of the *object's* frame and turns with it. With the published
    shininess of 0 the gloss is 0.2 everywhere, also in the shade. Pinned by
    ``test_rendered_colour_equals_the_published_one``.

    Args:
        albedo: Unlit colour, 0..1.
        normals_object: Of any length, outwards.
        points_object: Metres.
    """
    lamp = points_object.new_tensor(_PUBLISHED_LAMP_OBJECT)
    to_lamp = torch.nn.functional.normalize(lamp - points_object, dim=-1)
    normals = torch.nn.functional.normalize(normals_object, dim=-1)
    facing = (normals * to_lamp).sum(-1, keepdim=True).clamp_min(0.0)
    return albedo * (_PUBLISHED_AMBIENT + _PUBLISHED_DIFFUSE * facing) + _PUBLISHED_SPECULAR
