"""The default renderer: a z-buffer written in Warp, one source for CPU and CUDA.

Two kernels a call, whatever the number of views. ``_see`` decides which face each pixel centre sees;
``_resolve`` works out depth, normal, colour and attributes of that face in closed form.

Both use the edge functions of homogeneous coordinates: with corners ``q_i = (fx x, fy y, z)`` and the pixel
``d = (u - cx, v - cy, 1)``, ``w_i = (q_j x q_k) . d`` is linear in the pixel, has one sign inside the face, and
gives ``b = w / sum w`` and ``z = det / sum w``. A face with corners behind the camera needs no new triangles:
the part in front of the near plane is where ``z >= NEAR_M``. Without fused multiply-adds the two faces at an
edge get exactly opposite ``w``, so no pixel is lost or drawn twice there.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, no_type_check

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from rnnpose_ros.errors import AssetError, BackendUnavailableError, InputError
from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.types import CameraIntrinsics, Mesh, RenderBuffers

try:
    import warp as wp
except ImportError as error:  # pragma: no cover
    raise BackendUnavailableError(
        "the Warp renderer was asked for, but warp is not installed; run `pip install warp-lang`"
    ) from error

# Exactly opposite edge functions on both sides of an edge need every product rounded on its own.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

_NEAR = wp.constant(wp.float64(NEAR_M))
_FAR_KEY = torch.iinfo(torch.int64).max
_GREY = wp.constant(0.7)
_BOX_MARGIN_PX = wp.constant(wp.float64(1e-6))
_CUDA_THREADS = 1 << 16
"""Large faces are shared between threads until a launch has about this many."""

# A mesh's row in the table that the kernels read: addresses (0 = none), then sizes.
_VERTICES, _FACES, _NORMALS, _COLORS, _UVS, _TEXTURE = (wp.constant(i) for i in range(6))
_FACE_COUNT, _VERTEX_COUNT, _TEXTURE_HEIGHT, _TEXTURE_WIDTH, _MIP_LEVELS = (wp.constant(i) for i in range(6, 11))
_ROW_LENGTH = 11
_Row = wp.types.vector(length=_ROW_LENGTH, dtype=wp.int64)

_build_lock = threading.Lock()
"""The first launch of a kernel compiles it."""


@wp.func
@no_type_check
def _faces(row: _Row):
    return wp.array(ptr=wp.uint64(row[_FACES]), shape=(int(row[_FACE_COUNT]),), dtype=wp.vec3i)


@wp.kernel
@no_type_check
def _place(
    table: wp.array(dtype=_Row),
    poses: wp.array(dtype=wp.mat44d),
    K: wp.array(dtype=wp.mat33d),
    points: wp.array2d(dtype=wp.vec3d),
):
    """Vertices in the camera frame as ``(fx x, fy y, z)``."""
    item, vertex = wp.tid()
    row = table[wp.min(item, table.shape[0] - 1)]
    vertex_count = int(row[_VERTEX_COUNT])
    if vertex >= vertex_count:
        return
    vertices = wp.array(ptr=wp.uint64(row[_VERTICES]), shape=(vertex_count,), dtype=wp.vec3)
    p = vertices[vertex]
    camera = K[wp.min(item, K.shape[0] - 1)]
    placed = poses[item] * wp.vec4d(wp.float64(p[0]), wp.float64(p[1]), wp.float64(p[2]), wp.float64(1.0))
    points[item, vertex] = wp.vec3d(camera[0, 0] * placed[0], camera[1, 1] * placed[1], placed[2])


@wp.func
@no_type_check
def _grow(box: wp.vec4d, a: wp.vec3d, b: wp.vec3d):
    """Grows (-min u, -min v, max u, max v) by corner ``a`` and by where edge ``a b`` meets the near plane."""
    if a[2] >= _NEAR:
        u = a[0] / a[2]
        v = a[1] / a[2]
        box = wp.max(box, wp.vec4d(-u, -v, u, v))
    if (a[2] >= _NEAR) != (b[2] >= _NEAR):
        t = (_NEAR - a[2]) / (b[2] - a[2])
        u = (a[0] + t * (b[0] - a[0])) / _NEAR
        v = (a[1] + t * (b[1] - a[1])) / _NEAR
        box = wp.max(box, wp.vec4d(-u, -v, u, v))
    return box


@wp.func
@no_type_check
def _first_pixel(coordinate: wp.float64, size: int):
    return int(wp.clamp(wp.ceil(coordinate - _BOX_MARGIN_PX), wp.float64(0.0), wp.float64(size)))


@wp.func
@no_type_check
def _end_pixel(coordinate: wp.float64, size: int):
    return int(wp.clamp(wp.floor(coordinate + _BOX_MARGIN_PX) + wp.float64(1.0), wp.float64(0.0), wp.float64(size)))


@wp.func
@no_type_check
def _owns_edge(w: wp.float64, edge: wp.vec3d):
    """Top-left rule: a pixel exactly on an edge belongs to the face on the edge's right or below it."""
    if w > wp.float64(0.0):
        return True
    return edge[0] > wp.float64(0.0) or (edge[0] == wp.float64(0.0) and edge[1] > wp.float64(0.0))


@wp.kernel
@no_type_check
def _see(
    table: wp.array(dtype=_Row),
    K: wp.array(dtype=wp.mat33d),
    points: wp.array2d(dtype=wp.vec3d),
    height: int,
    width: int,
    strips: int,
    keys: wp.array(dtype=wp.int64),
):
    """Keeps the nearest ``depth_bits << 32 | face`` at every pixel centre inside a face."""
    item, face, strip = wp.tid()
    row = table[wp.min(item, table.shape[0] - 1)]
    if face >= int(row[_FACE_COUNT]):
        return
    corners = _faces(row)[face]
    p0 = points[item, corners[0]]
    p1 = points[item, corners[1]]
    p2 = points[item, corners[2]]
    lowest = -wp.float64(wp.inf)
    box = wp.vec4d(lowest, lowest, lowest, lowest)
    box = _grow(_grow(_grow(box, p0, p1), p1, p2), p2, p0)
    camera = K[wp.min(item, K.shape[0] - 1)]
    cx = camera[0, 2]
    cy = camera[1, 2]
    box = box + wp.vec4d(-cx, -cy, cx, cy)
    if not wp.isfinite(box):
        return
    first_u = _first_pixel(-box[0], width)
    first_v = _first_pixel(-box[1], height)
    end_u = _end_pixel(box[2], width)
    end_v = _end_pixel(box[3], height)

    e0 = wp.cross(p1, p2)
    e1 = wp.cross(p2, p0)
    e2 = wp.cross(p0, p1)
    volume = wp.dot(p0, e0)
    if not wp.isfinite(volume) or volume == wp.float64(0.0):
        return
    if volume < wp.float64(0.0):
        e0 = -e0
        e1 = -e1
        e2 = -e2
        volume = -volume

    for v in range(first_v + strip, end_v, strips):
        dy = wp.float64(v) - cy
        c0 = e0[1] * dy + e0[2]
        c1 = e1[1] * dy + e1[2]
        c2 = e2[1] * dy + e2[2]
        first = (item * height + v) * width
        for u in range(first_u, end_u):
            dx = wp.float64(u) - cx
            w0 = e0[0] * dx + c0
            w1 = e1[0] * dx + c1
            w2 = e2[0] * dx + c2
            if w0 >= wp.float64(0.0) and w1 >= wp.float64(0.0) and w2 >= wp.float64(0.0):
                z = volume / (w0 + w1 + w2)
                if z >= _NEAR and _owns_edge(w0, e0) and _owns_edge(w1, e1) and _owns_edge(w2, e2):
                    key = (wp.int64(wp.cast(wp.float32(z), wp.int32)) << wp.int64(32)) | wp.int64(face)
                    wp.atomic_min(keys, first + u, key)


@wp.func
@no_type_check
def _rgb(colors: wp.array(dtype=wp.uint8), index: int):
    i = 3 * index
    return wp.vec3(float(colors[i]), float(colors[i + 1]), float(colors[i + 2]))


@wp.func
@no_type_check
def _bilinear(texture: wp.array(dtype=wp.uint8), height: int, width: int, level: int, uv: wp.vec2d):
    """One level of the chain, 0..255, repeated beyond its sides; texel centres at (i + 0.5) / n, v upwards."""
    start = wp.int32(0)  # a Warp variable: a plain 0 is a constant in a loop
    for _ in range(level):
        start += height * width
        height = wp.max(height >> 1, 1)
        width = wp.max(width >> 1, 1)
    x = float((uv[0] - wp.floor(uv[0])) * wp.float64(width)) - 0.5
    y = float((wp.ceil(uv[1]) - uv[1]) * wp.float64(height)) - 0.5
    left = int(wp.floor(x))
    upper = int(wp.floor(y))
    to_right = x - float(left)
    to_lower = y - float(upper)
    right = wp.where(left + 1 >= width, 0, left + 1)
    left = wp.where(left < 0, width - 1, left)
    lower = start + wp.where(upper + 1 >= height, 0, upper + 1) * width
    upper = start + wp.where(upper < 0, height - 1, upper) * width
    top = wp.lerp(_rgb(texture, upper + left), _rgb(texture, upper + right), to_right)
    bottom = wp.lerp(_rgb(texture, lower + left), _rgb(texture, lower + right), to_right)
    return wp.lerp(top, bottom, to_lower)


@wp.func
@no_type_check
def _textured(row: _Row, face: int, b: wp.vec3d, b_u: wp.vec3d, b_v: wp.vec3d):
    """Texture colour, 0..1, at barycentrics ``b``, which change by ``b_u`` and ``b_v`` from pixel to pixel.

    The level of the mip chain is the one of whose texels a pixel covers about one, by area.
    """
    height = int(row[_TEXTURE_HEIGHT])
    width = int(row[_TEXTURE_WIDTH])
    uvs = wp.array(ptr=wp.uint64(row[_UVS]), shape=(3 * int(row[_FACE_COUNT]),), dtype=wp.vec2)
    texture = wp.array(ptr=wp.uint64(row[_TEXTURE]), shape=(6 * height * width,), dtype=wp.uint8)
    uv = wp.vec2d()
    uv_u = wp.vec2d()
    uv_v = wp.vec2d()
    for i in range(3):
        corner = wp.vec2d(uvs[3 * face + i])
        uv += b[i] * corner
        uv_u += b_u[i] * corner
        uv_v += b_v[i] * corner
    texels = float(wp.abs(uv_u[0] * uv_v[1] - uv_u[1] * uv_v[0])) * float(height) * float(width)
    level = wp.float32(0.0)
    if texels > 1.0:
        level = wp.min(0.5 * wp.log2(texels), float(row[_MIP_LEVELS] - wp.int64(1)))
    fine = int(level)
    color = _bilinear(texture, height, width, fine, uv)
    if level > float(fine):
        color = wp.lerp(color, _bilinear(texture, height, width, fine + 1, uv), level - float(fine))
    return color * (1.0 / 255.0)


@wp.func
@no_type_check
def _vertex_color(row: _Row, corners: wp.vec3i, b: wp.vec3):
    colors = wp.array(ptr=wp.uint64(row[_COLORS]), shape=(3 * int(row[_VERTEX_COUNT]),), dtype=wp.uint8)
    color = wp.vec3()
    for i in range(3):
        color += b[i] * _rgb(colors, corners[i])
    return color * (1.0 / 255.0)


@wp.func
@no_type_check
def _normal_to_viewer(row: _Row, face: int, b: wp.vec3, pose: wp.mat44d, ray: wp.vec3):
    """Interpolated unit normal in the camera frame, against the ray."""
    normals = wp.array(ptr=wp.uint64(row[_NORMALS]), shape=(3 * int(row[_FACE_COUNT]),), dtype=wp.vec3)
    n = b[0] * normals[3 * face] + b[1] * normals[3 * face + 1] + b[2] * normals[3 * face + 2]
    turned = wp.vec3()
    for i in range(3):
        turned[i] = float(pose[i, 0]) * n[0] + float(pose[i, 1]) * n[1] + float(pose[i, 2]) * n[2]
    turned = wp.normalize(turned)
    if wp.dot(turned, ray) > 0.0:
        turned = -turned
    return turned


@wp.kernel
@no_type_check
def _resolve(
    table: wp.array(dtype=_Row),
    poses: wp.array(dtype=wp.mat44d),
    K: wp.array(dtype=wp.mat33d),
    points: wp.array2d(dtype=wp.vec3d),
    vertex_values: wp.array2d(dtype=wp.float32),
    first_value: wp.array(dtype=wp.int64),
    keys: wp.array(dtype=wp.int64),
    width: int,
    depth: wp.array(dtype=wp.float32),
    face_ids: wp.array(dtype=wp.int32),
    color: wp.array(dtype=wp.float32),
    attributes: wp.array(dtype=wp.float32),
):
    """Depth, colour, normal and attributes of the face in each pixel's key; leaves the others alone."""
    item, pixel = wp.tid()
    plane = depth.shape[0] / poses.shape[0]
    key = keys[item * plane + pixel]
    if key == wp.int64(_FAR_KEY):
        return
    row = table[wp.min(item, table.shape[0] - 1)]
    camera = K[wp.min(item, K.shape[0] - 1)]
    face = int(key & wp.int64(0xFFFFFFFF))
    corners = _faces(row)[face]
    p0 = points[item, corners[0]]
    p1 = points[item, corners[1]]
    p2 = points[item, corners[2]]
    edges = wp.matrix_from_rows(wp.cross(p1, p2), wp.cross(p2, p0), wp.cross(p0, p1))
    dx = wp.float64(pixel % width) - camera[0, 2]
    dy = wp.float64(pixel / width) - camera[1, 2]
    weights = edges * wp.vec3d(dx, dy, wp.float64(1.0))
    scale = wp.float64(1.0) / (weights[0] + weights[1] + weights[2])
    exact = weights * scale
    b = wp.vec3(exact)
    depth[item * plane + pixel] = float(exact[0] * p0[2] + exact[1] * p1[2] + exact[2] * p2[2])
    face_ids[item * plane + pixel] = face

    rgb = wp.vec3(_GREY, _GREY, _GREY)
    if row[_TEXTURE] != wp.int64(0):
        along_u = wp.vec3d(edges[0, 0], edges[1, 0], edges[2, 0]) * scale
        along_v = wp.vec3d(edges[0, 1], edges[1, 1], edges[2, 1]) * scale
        b_u = along_u - exact * (along_u[0] + along_u[1] + along_u[2])
        b_v = along_v - exact * (along_v[0] + along_v[1] + along_v[2])
        rgb = _textured(row, face, exact, b_u, b_v)
    elif row[_COLORS] != wp.int64(0):
        rgb = _vertex_color(row, corners, b)
    ray = wp.vec3(float(dx / camera[0, 0]), float(dy / camera[1, 1]), 1.0)
    normal = _normal_to_viewer(row, face, b, poses[item], ray)
    channels = 3 + vertex_values.shape[1]
    for c in range(3):
        color[(item * 3 + c) * plane + pixel] = rgb[c]
        attributes[(item * channels + c) * plane + pixel] = normal[c]
    if channels > 3:
        first = int(first_value[item])
        for c in range(3, channels):
            value = wp.float32(0.0)
            for i in range(3):
                value += b[i] * vertex_values[first + corners[i], c - 3]
            attributes[(item * channels + c) * plane + pixel] = value


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
        with _build_lock:
            _start_warp()
        if self.device.type == "cuda" and not (torch.cuda.is_available() and wp.is_cuda_available()):
            raise BackendUnavailableError(
                f"the renderer was asked for {self.device}, but there is no CUDA device for torch and Warp; "
                "use --device cpu, or install a CUDA build of torch and a driver"
            )
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", torch.cuda.current_device())
        self._warp_device = wp.device_from_torch(self.device)
        self._built: set[Any] = set()

    def upload(self, mesh: Mesh) -> WarpMesh:
        """The mesh on the device, with its texture's mip chain.

        Raises:
            AssetError: Faces point outside the vertices, or the texture is too large.
        """
        _check_mesh(mesh)
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
        _check_counts(meshes, batch, camera, attributes)
        shared = all(mesh is meshes[0] for mesh in meshes)
        distinct = meshes[:1] if shared else meshes
        table = torch.stack([mesh.table for mesh in distinct])
        values, first_value = self._vertex_values(attributes, distinct, table, batch)
        poses = T_camera_object.detach().to(self.device, torch.float64).contiguous()
        K = camera.K.detach().to(self.device, torch.float64).contiguous()
        height, width = camera.height, camera.width
        buffers = RenderBuffers(
            depth=torch.zeros(batch, height, width, device=self.device),
            color=torch.zeros(batch, 3, height, width, device=self.device),
            attributes=torch.zeros(batch, 3 + values.shape[1], height, width, device=self.device),
            face_ids=torch.full((batch, height, width), -1, dtype=torch.int32, device=self.device),
        )
        keys = torch.full((batch * height * width,), _FAR_KEY, dtype=torch.int64, device=self.device)
        face_count = max(len(mesh.faces) for mesh in distinct)
        vertex_count = max(len(mesh.vertices) for mesh in distinct)
        points = torch.empty(batch, vertex_count, 3, dtype=torch.float64, device=self.device)
        strips = 1
        if self.device.type == "cuda":
            strips = min(max(_CUDA_THREADS // (batch * face_count), 1), height)

        views = [_shared(table, _Row), _shared(poses, wp.mat44d), _shared(K, wp.mat33d), _shared(points, wp.vec3d)]
        outputs = [buffers.depth, buffers.face_ids, buffers.color, buffers.attributes]
        flat = [_shared(buffer.view(-1)) for buffer in outputs]
        value_arrays = [_shared(values), _shared(first_value)]
        self._launch(_place, (batch, vertex_count), views)
        self._launch(_see, (batch, face_count, strips), [views[0], *views[2:], height, width, strips, _shared(keys)])
        self._launch(_resolve, (batch, height * width), [*views, *value_arrays, _shared(keys), width, *flat])
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
        counts = table[:, int(_VERTEX_COUNT)]
        return values, (counts.cumsum(0) - counts).expand(batch).contiguous()

    def _launch(self, kernel: Any, dim: tuple[int, ...], inputs: list[Any]) -> None:
        """Queues a kernel on torch's current stream."""
        stream = None
        if self.device.type == "cuda":
            stream = wp.stream_from_torch(torch.cuda.current_stream(self.device))
        with nullcontext() if kernel in self._built else _build_lock:
            wp.launch(kernel, dim=dim, inputs=inputs, device=self._warp_device, stream=stream)
        self._built.add(kernel)


def _start_warp() -> None:
    """Starts Warp without its greeting.

    Its library writes to standard error that there is no CUDA driver, whatever the log level; on a machine
    without one that is no news, so that line alone is left out.
    """
    wp.config.log_level = wp.LOG_ERROR
    with tempfile.TemporaryFile() as caught:
        standard_error = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            caught.seek(0)
            for line in caught:
                if b"Could not find or load the NVIDIA CUDA driver" not in line:
                    os.write(2, line)


def _shared(tensor: Tensor, dtype: Any = None) -> Any:
    """The tensor's memory as a kernel's argument; the last axes are the vector or matrix of ``dtype``."""
    return wp.from_torch(tensor, dtype=dtype, return_ctype=True)


def _mip_chain(texture: UInt8[Tensor, "Ht Wt 3"]) -> tuple[UInt8[Tensor, "N"], int]:
    """All levels down to one texel, flat, one after the other, and their number."""
    level = texture.detach().permute(2, 0, 1)[None].float()
    chain = [texture.reshape(-1)]
    while max(level.shape[2:]) > 1:
        height, width = level.shape[2:]
        level = functional.adaptive_avg_pool2d(level, (max(height // 2, 1), max(width // 2, 1)))
        chain.append(level[0].permute(1, 2, 0).round().to(torch.uint8).reshape(-1))
    return torch.cat(chain), len(chain)


def _check_mesh(mesh: Mesh) -> None:
    if mesh.texture is not None and 4 * mesh.texture.numel() >= 3 * 2**31:
        raise AssetError(
            f"a texture of {mesh.texture.shape[1]} x {mesh.texture.shape[0]} texels is too large; make it smaller"
        )
    if len(mesh.faces) == 0:
        raise AssetError("the mesh has no faces; nothing can be drawn")
    lowest, highest = int(mesh.faces.min()), int(mesh.faces.max())
    if lowest < 0 or highest >= len(mesh.vertices):
        raise AssetError(
            f"faces use vertices {lowest} to {highest}, but there are {len(mesh.vertices)}; the mesh file is damaged"
        )


def _check_counts(
    meshes: Sequence[WarpMesh], batch: int, camera: CameraIntrinsics, attributes: Sequence[Tensor] | None
) -> None:
    if len(meshes) not in (1, batch) or len(camera.K) not in (1, batch):
        raise InputError(
            f"expected 1 or {batch} meshes and cameras for {batch} poses, got {len(meshes)} and {len(camera.K)}"
        )
    if attributes is None:
        return
    counts = [len(mesh.vertices) for mesh in meshes]
    if [len(values) for values in attributes] != counts:
        raise InputError(f"expected attributes for {counts} vertices, got {[len(values) for values in attributes]}")
