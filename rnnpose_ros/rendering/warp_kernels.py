"""A z-buffer in two steps: ``see`` decides which face each pixel centre sees, ``resolve`` what it looks like.

Both use the edge functions of homogeneous coordinates: with corners ``q_i = (fx x, fy y, z)`` and the pixel
``d = (u - cx, v - cy, 1)``, ``w_i = (q_j x q_k) . d`` is linear in the pixel, has one sign inside the face, and
gives ``b = w / sum w`` and ``z = det / sum w``. A face with corners behind the camera needs no new triangles:
the part in front of the near plane is where ``z >= NEAR_M``. Without fused multiply-adds the two faces at an
edge get exactly opposite ``w``, so no pixel is lost or drawn twice there.
"""

from __future__ import annotations

from typing import no_type_check

import torch

from rnnpose_ros.errors import BackendUnavailableError
from rnnpose_ros.geometry.camera import NEAR_M

try:
    import warp as wp
except ImportError as error:  # pragma: no cover
    raise BackendUnavailableError(
        "the Warp renderer was asked for, but warp is not installed; run `pip install warp-lang`"
    ) from error

# Exactly opposite edge functions on both sides of an edge need every product rounded on its own.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

_NEAR = wp.constant(wp.float64(NEAR_M))
FAR_KEY = torch.iinfo(torch.int64).max
_GREY = wp.constant(0.7)
_BOX_MARGIN_PX = wp.constant(wp.float64(1e-6))

# A mesh's row in the table that the kernels read: addresses (0 = none), then sizes.
_VERTICES, _FACES, _NORMALS, _COLORS, _UVS, _TEXTURE = (wp.constant(i) for i in range(6))
_FACE_COUNT, VERTEX_COUNT, _TEXTURE_HEIGHT, _TEXTURE_WIDTH, _MIP_LEVELS = (wp.constant(i) for i in range(6, 11))
_ROW_LENGTH = 11
Row = wp.types.vector(length=_ROW_LENGTH, dtype=wp.int64)


@wp.func
@no_type_check
def _faces(row: Row):
    return wp.array(ptr=wp.uint64(row[_FACES]), shape=(int(row[_FACE_COUNT]),), dtype=wp.vec3i)


@wp.kernel
@no_type_check
def place(
    table: wp.array(dtype=Row),
    poses: wp.array(dtype=wp.mat44d),
    K: wp.array(dtype=wp.mat33d),
    points: wp.array2d(dtype=wp.vec3d),
):
    """Vertices in the camera frame as ``(fx x, fy y, z)``."""
    item, vertex = wp.tid()
    row = table[wp.min(item, table.shape[0] - 1)]
    vertex_count = int(row[VERTEX_COUNT])
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
def see(
    table: wp.array(dtype=Row),
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
def _textured(row: Row, face: int, b: wp.vec3d, b_u: wp.vec3d, b_v: wp.vec3d):
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
def _vertex_color(row: Row, corners: wp.vec3i, b: wp.vec3):
    colors = wp.array(ptr=wp.uint64(row[_COLORS]), shape=(3 * int(row[VERTEX_COUNT]),), dtype=wp.uint8)
    color = wp.vec3()
    for i in range(3):
        color += b[i] * _rgb(colors, corners[i])
    return color * (1.0 / 255.0)


@wp.func
@no_type_check
def _normal_to_viewer(row: Row, face: int, b: wp.vec3, pose: wp.mat44d, ray: wp.vec3):
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
def resolve(
    table: wp.array(dtype=Row),
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
    if key == wp.int64(FAR_KEY):
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
