"""The default renderer: a z-buffer written in Warp, one source for CPU and CUDA.

Three kernels a call, whatever the number of views: place the vertices, see, resolve. Meshes are reached by
their addresses, so views of different meshes need no packing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from rnnpose_ros.errors import AssetError, BackendUnavailableError
from rnnpose_ros.rendering import warp_kernels
from rnnpose_ros.rendering.checks import check_counts, check_mesh
from rnnpose_ros.rendering.closed_form import empty_buffers
from rnnpose_ros.rendering.texture import mip_levels
from rnnpose_ros.rendering.warp_kernels import wp
from rnnpose_ros.rendering.warp_launch import launch, shared_memory, start_warp
from rnnpose_ros.types import CameraIntrinsics, Mesh, RenderBuffers

_CUDA_THREADS = 1 << 16
"""Large faces are shared between threads until a launch has about this many."""


@dataclass(frozen=True, slots=True, eq=False)
class WarpMesh:
    """A mesh on the renderer's device. The kernels reach it through ``table``; keep it while it is drawn."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    corner_normals: Float[Tensor, "F 3 3"]
    vertex_colors: Tensor | None
    corner_uvs: Tensor | None
    mip_chain: Tensor | None
    """uint8, all levels one after the other, each row by row."""
    table: Int[Tensor, "11"]
    """Addresses and sizes, on the device."""


class WarpRenderer:
    """Draws on CPU or CUDA, without copying a mesh or waiting for the device. Threads may share it."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        """Starts Warp.

        Raises:
            BackendUnavailableError: CUDA is asked for, and torch or Warp has none.
        """
        self.device = torch.device(device)
        start_warp()
        if self.device.type == "cuda" and not (torch.cuda.is_available() and wp.is_cuda_available()):
            raise BackendUnavailableError(
                f"the renderer was asked for {self.device}, but there is no CUDA device for torch and Warp; "
                "use --device cpu, or install a CUDA build of torch and a driver"
            )
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", torch.cuda.current_device())
        self._warp_device = wp.device_from_torch(self.device)

    def upload(self, mesh: Mesh) -> WarpMesh:
        """The mesh on the device, with its texture's mip chain.

        Raises:
            AssetError: Faces point outside the vertices, or the texture is too large.
        """
        check_mesh(mesh)
        vertices = self._own(mesh.vertices, torch.float32)
        faces = self._own(mesh.faces, torch.int32)
        corner_normals = self._own(mesh.corner_normals, torch.float32)
        vertex_colors = None if mesh.vertex_colors is None else self._own(mesh.vertex_colors, torch.uint8)
        corner_uvs = mip_chain = None
        height = width = levels = 0
        if mesh.texture is not None and mesh.corner_uvs is not None:
            corner_uvs = self._own(mesh.corner_uvs, torch.float32)
            mip_chain, levels = _mip_chain(mesh.texture.to(self.device))
            height, width = mesh.texture.shape[:2]
        arrays = (vertices, faces, corner_normals, vertex_colors, corner_uvs, mip_chain)
        addresses = [0 if array is None else array.data_ptr() for array in arrays]
        sizes = [len(faces), len(vertices), height, width, levels]
        table = torch.tensor(addresses + sizes, dtype=torch.int64, device=self.device)
        return WarpMesh(vertices, faces, corner_normals, vertex_colors, corner_uvs, mip_chain, table)

    def render(
        self,
        meshes: Sequence[WarpMesh],
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
        batch = len(T_camera_object)
        check_counts([len(mesh.vertices) for mesh in meshes], batch, camera, attributes)
        shared = all(mesh is meshes[0] for mesh in meshes)
        distinct = meshes[:1] if shared else meshes
        table = torch.stack([mesh.table for mesh in distinct])
        values, first_value = self._vertex_values(attributes, distinct, table, batch)
        poses = T_camera_object.detach().to(self.device, torch.float64).contiguous()
        K = camera.K.detach().to(self.device, torch.float64).contiguous()
        height, width = camera.height, camera.width
        buffers = empty_buffers(batch, height, width, channels=values.shape[1], device=self.device)
        keys = torch.full((batch * height * width,), warp_kernels.FAR_KEY, dtype=torch.int64, device=self.device)
        face_count = max(len(mesh.faces) for mesh in distinct)
        vertex_count = max(len(mesh.vertices) for mesh in distinct)
        points = torch.empty(batch, vertex_count, 3, dtype=torch.float64, device=self.device)
        strips = 1
        if self.device.type == "cuda":
            strips = min(max(_CUDA_THREADS // (batch * face_count), 1), height)

        views = [
            shared_memory(table, warp_kernels.Row),
            shared_memory(poses, wp.mat44d),
            shared_memory(K, wp.mat33d),
            shared_memory(points, wp.vec3d),
        ]
        outputs = [buffers.depth, buffers.face_ids, buffers.color, buffers.attributes]
        flat = [shared_memory(buffer.view(-1)) for buffer in outputs]
        value_arrays = [shared_memory(values), shared_memory(first_value)]
        self._launch(warp_kernels.place, (batch, vertex_count), views)
        self._launch(
            warp_kernels.see,
            (batch, face_count, strips),
            [views[0], *views[2:], height, width, strips, shared_memory(keys)],
        )
        self._launch(
            warp_kernels.resolve, (batch, height * width), [*views, *value_arrays, shared_memory(keys), width, *flat]
        )
        return buffers

    def _own(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        return tensor.detach().to(self.device, dtype).contiguous()

    def _vertex_values(
        self, attributes: Sequence[Tensor] | None, meshes: Sequence[WarpMesh], table: Tensor, batch: int
    ) -> tuple[Tensor, Tensor]:
        """The attributes of all distinct meshes under one another, and the first row of each view's mesh."""
        if attributes is None:
            return torch.empty(1, 0, device=self.device), torch.zeros(batch, dtype=torch.int64, device=self.device)
        values = self._own(attributes[0] if len(meshes) == 1 else torch.cat(list(attributes)), torch.float32)
        counts = table[:, int(warp_kernels.VERTEX_COUNT)]
        return values, (counts.cumsum(0) - counts).expand(batch).contiguous()

    def _launch(self, kernel: Any, dim: tuple[int, ...], inputs: list[Any]) -> None:
        """Queues a kernel on torch's current stream."""
        stream = None
        if self.device.type == "cuda":
            stream = wp.stream_from_torch(torch.cuda.current_stream(self.device))
        launch(kernel, dim, inputs, device=self._warp_device, stream=stream)


def _mip_chain(texture: UInt8[Tensor, "Ht Wt 3"]) -> tuple[UInt8[Tensor, "N"], int]:
    """All levels down to one texel, flat, one after the other, and their number.

    Raises:
        AssetError: They would not fit into the kernels' 32-bit indices.
    """
    if 4 * texture.numel() >= 3 * 2**31:
        raise AssetError(f"a texture of {texture.shape[1]} x {texture.shape[0]} texels is too large; make it smaller")
    levels = mip_levels(texture)
    return torch.cat([level[0].permute(1, 2, 0).round().to(torch.uint8).reshape(-1) for level in levels]), len(levels)
