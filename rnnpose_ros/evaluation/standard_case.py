"""The case that the published network is timed on: a bumpy textured ball of chosen fineness before noise."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.rendering.surface import vertex_normals
from rnnpose_ros.types import ImageFrame, Mesh, ObjectModel, PoseHypothesis

FACE_COUNTS = (1280, 5120, 20480, 81920)
"""Of icosahedra whose faces are divided into four 3 to 6 times."""

_RADII_M = (0.1, 0.085, 0.07)
_BUMPS = 0.05
_SEED = 0


def standard_case(faces: int) -> tuple[ImageFrame, PoseHypothesis, ObjectModel]:
    """A picture, a start and an object, always the same; what the picture shows has no influence on the time.

    Args:
        faces: One of :data:`FACE_COUNTS`.
    """
    model = object_from_mesh(_bumpy_ball(round(math.log(faces / 20, 4))), label="ball")
    generator = torch.Generator().manual_seed(_SEED)
    coarse = torch.randint(0, 256, (1, 3, 60, 80), generator=generator).float()
    picture = F.interpolate(coarse, size=(480, 640), mode="bilinear")[0].permute(1, 2, 0).byte().contiguous()
    camera = intrinsics(572.0, 574.0, 325.0, 242.0, width=640, height=480)
    R = exp_so3(torch.tensor([[0.3, -0.4, 0.2]], dtype=torch.float64))
    T = from_rotation_translation(R, torch.tensor([[0.02, 0.01, 0.7]], dtype=torch.float64))[0]
    return ImageFrame(rgb=picture, camera=camera), PoseHypothesis(model.label, T), model


def _bumpy_ball(divisions: int) -> Mesh:
    directions, faces = icosphere(divisions)
    bumps = 1 + _BUMPS * (7 * directions[:, :1]).sin() * (5 * directions[:, 1:2] + 3 * directions[:, 2:]).cos()
    vertices = (directions * bumps * torch.tensor(_RADII_M, dtype=torch.float64)).float()
    generator = torch.Generator().manual_seed(_SEED)
    u = torch.atan2(directions[:, 1], directions[:, 0]) / (2 * math.pi) + 0.5
    v = directions[:, 2].clamp(-1, 1).asin() / math.pi + 0.5
    return Mesh(
        vertices=vertices,
        faces=faces,
        corner_normals=vertex_normals(vertices, faces)[faces],
        corner_uvs=torch.stack([u, v], -1).float()[faces],
        texture=torch.randint(0, 256, (256, 256, 3), generator=generator, dtype=torch.uint8),
    )


def icosphere(divisions: int) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Unit vectors (float64) and faces, seen anticlockwise from outside, of an evenly divided icosahedron."""
    golden = (1 + 5**0.5) / 2
    corners = [(0.0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    vertices = np.array([np.roll(c, k) for k in range(3) for c in corners])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    faces = _hull_of_icosahedron(vertices)
    for _ in range(divisions):
        edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        unique, index = np.unique(edges, axis=0, return_inverse=True)
        middles = vertices[unique].sum(1)
        ab, bc, ca = (len(vertices) + index.reshape(-1, 3)).T
        vertices = np.concatenate([vertices, middles / np.linalg.norm(middles, axis=1, keepdims=True)])
        a, b, c = faces.T
        faces = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return torch.from_numpy(vertices), torch.from_numpy(faces)


def _hull_of_icosahedron(vertices: np.ndarray) -> np.ndarray:
    """The 20 triples of neighbouring vertices, turned outwards."""
    near = vertices @ vertices.T > 0.4
    triples = [
        (i, j, k) for i in range(12) for j in range(i + 1, 12) for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]  # fmt: skip
    return np.array([t if np.linalg.det(vertices[list(t)]) > 0 else t[::-1] for t in triples])
