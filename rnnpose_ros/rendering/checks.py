"""What every backend refuses, in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rnnpose_ros.errors import AssetError, InputError
from rnnpose_ros.types import CameraIntrinsics, Mesh


def check_mesh(mesh: Mesh) -> None:
    """Nothing can be drawn of a mesh without faces, or whose faces point nowhere.

    Raises:
        AssetError: It is such a mesh.
    """
    if len(mesh.faces) == 0:
        raise AssetError("the mesh has no faces; nothing can be drawn")
    lowest, highest = int(mesh.faces.min()), int(mesh.faces.max())
    if lowest < 0 or highest >= len(mesh.vertices):
        raise AssetError(
            f"faces use vertices {lowest} to {highest}, but there are {len(mesh.vertices)}; the mesh file is damaged"
        )


def check_counts(
    vertex_counts: Sequence[int], batch: int, camera: CameraIntrinsics, attributes: Sequence[Tensor] | None
) -> None:
    """Meshes, poses, cameras and attributes must fit each other.

    Args:
        vertex_counts: Of the meshes.
        batch: Number of poses.
        camera: One, or one a pose.
        attributes: One tensor a mesh, one row a vertex.

    Raises:
        InputError: They do not.
    """
    if len(vertex_counts) not in (1, batch) or len(camera.K) not in (1, batch):
        raise InputError(
            f"expected 1 or {batch} meshes and cameras for {batch} poses, got {len(vertex_counts)} and {len(camera.K)}"
        )
    if attributes is None:
        return
    if [len(values) for values in attributes] != list(vertex_counts):
        raise InputError(
            f"expected attributes for {list(vertex_counts)} vertices, got {[len(values) for values in attributes]}"
        )
