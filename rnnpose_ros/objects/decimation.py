"""Fewer faces for meshes that are finer than any picture of them."""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from rnnpose_ros.objects.appearance import RawMesh
from rnnpose_ros.objects.normals import face_normals, weld

_UNITS = 1000.0
"""That a mesh is large for the library, whose thresholds are absolute. At 1, five million faces are each so small that
it solves for collapsed vertices what it cannot, and throws some of them a tenth of the mesh away."""
_NEARNESS_OF_TEXTURE = 0.1
"""Weight of a distance in the texture against one on the surface: too small to pull corners to the middle."""


def decimate(raw: RawMesh, faces: int) -> RawMesh:
    """A mesh of at most so many faces, by edge collapse under quadric error metrics (Garland and Heckbert, 1997).

    Texture coordinates and colours are carried over from the nearest place of the given surface. A new face that
    lies across a seam of the texture takes the side where its middle is.

    Args:
        raw: Finite vertices; it is much finer than the result.
        faces: Most faces of the result.
    """
    first, point_of_vertex = weld(raw.vertices)
    size = float(np.ptp(raw.vertices, axis=0).max()) / _UNITS
    points, triangles = fast_simplification.simplify(
        (raw.vertices[first] / size).astype(np.float64),
        point_of_vertex[raw.faces].astype(np.int64),
        target_count=faces,
    )
    points, triangles = np.asarray(points, float) * size, np.asarray(triangles, np.int64)
    source = _Surface.of(raw)
    middles = points[triangles].mean(1)
    near_face = source.nearest_face(middles)
    return RawMesh(
        vertices=points,
        faces=triangles,
        materials=raw.materials,
        material_of_face=raw.material_of_face[near_face],
        corner_uvs=None if raw.corner_uvs is None else source.corner_uvs(points[triangles], near_face),
        vertex_colors=None if raw.vertex_colors is None else raw.vertex_colors[source.nearest_vertex(points)],
    )


@dataclass(slots=True, eq=False)
class _Surface:
    """The given mesh, to be looked up in."""

    raw: RawMesh
    middles: Float[np.ndarray, "F 3"]
    chart_of_face: Int[np.ndarray, "F"]
    """Faces of one chart hang together in the texture."""

    @classmethod
    def of(cls, raw: RawMesh) -> _Surface:
        return cls(raw, raw.vertices[raw.faces].mean(1), _charts(raw))

    def nearest_face(self, places: Float[np.ndarray, "N 3"]) -> Int[np.ndarray, "N"]:
        return np.asarray(cKDTree(self.middles).query(places, workers=-1)[1])

    def nearest_vertex(self, places: Float[np.ndarray, "N 3"]) -> Int[np.ndarray, "N"]:
        return np.asarray(cKDTree(self.raw.vertices).query(places, workers=-1)[1])

    def corner_uvs(
        self, corners: Float[np.ndarray, "N 3 3"], near_face: Int[np.ndarray, "N"]
    ) -> Float[np.ndarray, "N 3 2"]:
        """Coordinates of new faces' corners: of the nearest given corner in the chart of each face's middle.

        A chart may meet itself at a seam. So that all corners of a face stay on one side of it, nearness counts the
        texture too, a little.
        """
        given = self.raw.corner_uvs
        assert given is not None
        length = _NEARNESS_OF_TEXTURE * self._length_of_texture()
        places = np.concatenate([self.raw.vertices[self.raw.faces], length * given], -1)
        middle_uvs = np.repeat(length * given[near_face].mean(1)[:, None], 3, 1)
        wanted = np.concatenate([corners, middle_uvs], -1)
        uvs = np.empty((*corners.shape[:2], 2))
        charts = self.chart_of_face[near_face]
        order_old, order_new = np.argsort(self.chart_of_face, kind="stable"), np.argsort(charts, kind="stable")
        for chart in np.unique(charts):
            old = order_old[slice(*np.searchsorted(self.chart_of_face[order_old], [chart, chart + 1]))]
            new = order_new[slice(*np.searchsorted(charts[order_new], [chart, chart + 1]))]
            tree = cKDTree(np.nan_to_num(places[old].reshape(-1, 5)))
            nearest = np.asarray(tree.query(np.nan_to_num(wanted[new].reshape(-1, 5)), workers=-1)[1])
            uvs[new] = given[old].reshape(-1, 2)[nearest].reshape(-1, 3, 2)
        return uvs

    def _length_of_texture(self) -> float:
        """How long one unit of the texture is on the surface, on average."""
        assert self.raw.corner_uvs is not None
        _, areas = face_normals(self.raw.vertices, self.raw.faces)
        a, b = (
            self.raw.corner_uvs[:, 1] - self.raw.corner_uvs[:, 0],
            self.raw.corner_uvs[:, 2] - self.raw.corner_uvs[:, 0],
        )
        in_texture = 0.5 * np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        return float(np.sqrt(areas.sum() / max(float(np.nansum(in_texture)), 1e-12)))


def _charts(raw: RawMesh) -> Int[np.ndarray, "F"]:
    """A number for each face: equal where faces share a vertex with equal texture coordinates and material."""
    count = len(raw.faces)
    if raw.corner_uvs is None:
        return np.zeros(count, np.int64)
    vertex = raw.faces.reshape(-1, 1).astype(float)
    uvs = np.nan_to_num(raw.corner_uvs.reshape(-1, 2), nan=-1.0)
    material = np.repeat(raw.material_of_face, 3)[:, None].astype(float)
    _, node = np.unique(np.concatenate([vertex, uvs.round(6), material], 1), axis=0, return_inverse=True)
    nodes = node.reshape(-1, 3)
    ends = np.concatenate([nodes[:, :2], nodes[:, 1:]])
    graph = coo_matrix((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(node.max() + 1,) * 2)
    return np.asarray(connected_components(graph, directed=False)[1])[nodes[:, 0]].astype(np.int64)
