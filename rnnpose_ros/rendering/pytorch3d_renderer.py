"""The second renderer: PyTorch3D says which face a pixel sees; all else is our closed form, as with Warp.

Everything that PyTorch3D does differently ends here. Its normalised device coordinates have +x to the left and +y
up, run over -1..1 along the picture's shorter side, and put pixel centres at halves; its faces are numbered through
the whole batch; its matrices multiply rows, which is why points are projected here in float64 and not by its cameras.

Where it differs from the other backends, which no setting changes:

- It leaves out both faces at a pixel centre exactly on the edge between them, and with a blur radius of zero there
  is a hole. The radius is therefore a millionth of half the picture's shorter side, about float32's own grain there:
  the hole is closed by the nearer face, the lower index among equals. But a pixel centre on the *outline*, or up to
  that much outside of it, is drawn on every side of the object, where the top-left rule draws two of the four.
- It decides in float32: within the same distance of an edge, or 1e-7 of the depth, another face may win. Of a face
  that reaches hundreds of pictures beyond the border, float32 is coarser than the radius, and such a hole can stay.
- On a CPU it compares every pixel with every face: seconds where the Warp renderer takes milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnpose_ros.errors import BackendUnavailableError
from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.rendering.checks import check_counts, check_mesh
from rnnpose_ros.rendering.closed_form import TorchMesh, draw_view, empty_buffers, upload_mesh
from rnnpose_ros.types import CameraIntrinsics, Mesh, RenderBuffers

TESTED_VERSION = "v0.7.9"
_EDGE = 1e-6
"""In its normalised coordinates; how far outside of a face its rasteriser still draws it."""
_NOT_ZERO_M = 1e-9
"""A depth nearer to zero than this is moved here, so that dividing by it stays finite."""
_LARGEST = 1e15
"""Coordinates whose squares still fit in float32; a view with larger ones is empty."""


class PyTorch3DRenderer:
    """Draws on CPU, or on CUDA where PyTorch3D was built for it. Threads may share it."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        """Imports PyTorch3D.

        Raises:
            BackendUnavailableError: It is not here, was built for another torch, or cannot draw on the device.
        """
        self._make_meshes, self._rasterize = _import_pytorch3d()
        self.device = torch.device(device)
        if self.device.type == "cuda":
            self._check_cuda()

    def upload(self, mesh: Mesh) -> TorchMesh:
        """The mesh on the device, with its texture's mip chain.

        Raises:
            AssetError: Faces point outside the vertices, or there are none.
        """
        check_mesh(mesh)
        return upload_mesh(mesh, device=self.device)

    @torch.no_grad()
    def render(
        self,
        meshes: Sequence[TorchMesh],
        T_camera_object: Float[Tensor, "B 4 4"],
        camera: CameraIntrinsics,
        *,
        attributes: Sequence[Float[Tensor, "_ C"]] | None = None,
    ) -> RenderBuffers:
        """One view per pose; see :class:`rnnpose_ros.rendering.renderer.Renderer`.

        A pose or camera that is not finite gives an empty view.

        Raises:
            InputError: The numbers of meshes, poses, cameras and attributes do not fit.
        """
        batch, height, width = len(T_camera_object), camera.height, camera.width
        check_counts([len(mesh.vertices) for mesh in meshes], batch, camera, attributes)
        poses = T_camera_object.to(self.device, torch.float64)
        K = camera.K.to(self.device, torch.float64).expand(batch, 3, 3)
        every = list(meshes) if len(meshes) == batch else [meshes[0]] * batch
        channels = 0 if attributes is None else attributes[0].shape[1]
        buffers = empty_buffers(batch, height, width, channels=channels, device=self.device)

        corners = [
            to_ndc(transform(T, mesh.vertices), K[i], height=height, width=width)
            for i, (T, mesh) in enumerate(zip(poses, every, strict=True))
        ]
        drawable = [i for i, points in enumerate(corners) if bool((points.abs() < _LARGEST).all())]
        if drawable:
            seen = self._faces_seen([corners[i] for i in drawable], [every[i].faces for i in drawable], height, width)
            buffers.face_ids[drawable] = seen
        for i in drawable:
            values = None if attributes is None else attributes[i % len(attributes)].to(self.device)
            draw_view(buffers, i, every[i], poses[i], K[i], values=values)
        return buffers

    def _faces_seen(
        self, points: list[Float[Tensor, "_ 3"]], faces: list[Int[Tensor, "_ 3"]], height: int, width: int
    ) -> Int[Tensor, "B H W"]:
        """The face at each pixel centre, each view's own count; -1 = none."""
        meshes = self._make_meshes(verts=[p.float() for p in points], faces=faces)
        numbered_through = self._rasterize(
            meshes,
            image_size=(height, width),
            blur_radius=_EDGE**2,
            faces_per_pixel=1,
            perspective_correct=True,
            clip_barycentric_coords=True,
            cull_backfaces=False,
            z_clip_value=NEAR_M,
        )[0][..., 0]
        first = meshes.mesh_to_faces_packed_first_idx()[:, None, None]
        return torch.where(numbered_through >= 0, numbered_through - first, -1).int()

    def _check_cuda(self) -> None:
        """A build for the CPU alone is found out here, and not at the first picture."""
        if not torch.cuda.is_available():
            raise BackendUnavailableError(
                f"the renderer was asked for {self.device}, but torch finds no CUDA device; use --device cpu"
            )
        triangle = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.0, 1.0], [0.0, 0.5, 1.0]], device=self.device)
        try:
            self._faces_seen([triangle], [torch.tensor([[0, 1, 2]], device=self.device)], 8, 8)
        except RuntimeError as error:
            raise BackendUnavailableError(
                f"this PyTorch3D cannot draw on {self.device} ({error}); build it again with FORCE_CUDA=1, "
                "or use the renderer warp"
            ) from error


def to_ndc(
    points_camera: Float[Tensor, "V 3"], K: Float[Tensor, "3 3"], *, height: int, width: int
) -> Float[Tensor, "V 3"]:
    """PyTorch3D's normalised device coordinates of points: (x to the left, y up, depth in metres).

    Pixel (u, v) of ours, integers at pixel centres, is
    ``((width - 1) / 2 - u, (height - 1) / 2 - v) * 2 / min(height, width)``.

    Args:
        points_camera: Camera frame, x right, y down, z forward, metres; behind the camera too.
        K: The camera, integer pixel centres.
        height: Of the picture.
        width: Of the picture.
    """
    x, y, z = points_camera.unbind(-1)
    z = torch.where(z.abs() < _NOT_ZERO_M, torch.full_like(z, _NOT_ZERO_M), z)
    u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    per_pixel = 2.0 / min(height, width)
    return torch.stack([((width - 1) / 2 - u) * per_pixel, ((height - 1) / 2 - v) * per_pixel, z], -1)


def _import_pytorch3d() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Its batch of meshes, and its rasteriser."""
    try:
        from pytorch3d.renderer.mesh import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise BackendUnavailableError(
            f"the renderer pytorch3d was asked for, but PyTorch3D cannot be imported ({error}). PyPI has no Linux "
            "wheel of it: build it from source against the torch that is installed here, which takes a C++ compiler "
            f"and up to an hour: FORCE_CUDA={int(torch.cuda.is_available())} {sys.executable} -m pip install "
            f'--no-build-isolation "git+https://github.com/facebookresearch/pytorch3d.git@{TESTED_VERSION}"; '
            "or use the renderer warp"
        ) from error
    return Meshes, rasterize_meshes
