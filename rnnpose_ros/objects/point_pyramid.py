"""The neighbourhoods of an object's points at four resolutions, for networks with 3D encoders (KPConv).

Computed once per mesh. Lengths are in units of the longest side of the vertices' bounding box.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from rnnpose_ros.errors import AssetError, OutputError
from rnnpose_ros.files import keep_newest, make_folder, write_whole
from rnnpose_ros.objects.search_order import VisitTree, sort_as_published
from rnnpose_ros.objects.voxel_grid import subsample
from rnnpose_ros.paths import cache_folder
from rnnpose_ros.types import Mesh, PointPyramid

logger = logging.getLogger(__name__)

RADII = (0.0625, 0.125, 0.25, 0.5)
"""Of each level's convolutions."""

_CELL_OVER_RADIUS = 2.0 / 2.5
_KEEP_SHARE = 0.8
_HISTOGRAM_BINS = 905
_FORMAT = 1
_MOST_FILES = 256


def build_pyramid(mesh: Mesh, *, limits: Sequence[int] | None = None, cache: Path | None = None) -> PointPyramid:
    """The point pyramid of a mesh's vertices.

    Args:
        mesh: Its vertices, in their order, are level 0.
        limits: Most neighbours per level; the mesh's own (:func:`neighbour_limits`) when None.
        cache: Folder to keep pyramids in, by the mesh's fingerprint; the user's (:func:`~.paths.cache_folder`) when
            None. One that cannot be written costs the time of computing them again.

    Raises:
        AssetError: The vertices are all in one place.
    """
    wanted = "own" if limits is None else "-".join(map(str, limits))
    path = (cache or cache_folder("pyramids")) / f"pyramid-{fingerprint(mesh)[:32]}-{wanted}-{_FORMAT}.npz"
    found = _load(path)
    if found is not None:
        return found
    levels = _levels(_normalised(mesh))
    pyramid = _tables(levels, neighbour_limits([mesh]) if limits is None else tuple(limits))
    _save(path, pyramid)
    return pyramid


def fingerprint(mesh: Mesh) -> str:
    """SHA-256 of the vertices in their order (to a micrometre) and of the faces: what per-vertex features need."""
    vertices = np.round(mesh.vertices.detach().cpu().double().numpy() * 1e6).astype("<i8")
    digest = hashlib.sha256(vertices.tobytes())
    digest.update(mesh.faces.detach().cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def neighbour_limits(meshes: Sequence[Mesh]) -> tuple[int, ...]:
    """For each level the smallest count that 80 % of the points' neighbourhoods do not exceed.

    The published code measures this over its training set, which shows each of its objects equally often.
    Neighbourhoods of 905 points and more are not counted there; where there is nothing else, 904 holds.
    """
    histograms = np.zeros((len(RADII), _HISTOGRAM_BINS), np.int64)
    for mesh in meshes:
        for level, points in enumerate(_levels(_normalised(mesh))):
            counts = _neighbour_counts(points, RADII[level])
            histograms[level] += np.bincount(counts, minlength=_HISTOGRAM_BINS)[:_HISTOGRAM_BINS]
    reached = histograms.cumsum(1)
    limits = (reached < _KEEP_SHARE * reached[:, -1:]).sum(1)
    return tuple(int(n) if n > 0 else _HISTOGRAM_BINS - 1 for n in limits)


def _normalised(mesh: Mesh) -> Float[np.ndarray, "V 3"]:
    """Vertices about their mean, the longest side of their box 1."""
    vertices = mesh.vertices.detach().cpu().numpy().astype(np.float32)
    extent = float(np.ptp(vertices, axis=0).max())
    if not extent > 0.0:
        raise AssetError("all vertices of the mesh are in one place: it has no neighbourhoods")
    return (vertices - vertices.mean(0)) / np.float32(extent)


def _levels(points: np.ndarray) -> list[np.ndarray]:
    levels = [points]
    for radius in RADII[:-1]:
        levels.append(subsample(levels[-1], size=_CELL_OVER_RADIUS * radius))
    return levels


def _tables(levels: list[np.ndarray], limits: tuple[int, ...]) -> PointPyramid:
    neighbours, pools, nearest = [], [], []
    for level, points in enumerate(levels):
        neighbours.append(radius_neighbours(points, points, radius=RADII[level], limit=limits[level]))
        if level + 1 < len(levels):
            coarse = levels[level + 1]
            pools.append(radius_neighbours(coarse, points, radius=RADII[level], limit=limits[level]))
            nearest.append(radius_neighbours(points, coarse, radius=2 * RADII[level], limit=limits[level]))
    return PointPyramid(
        points=tuple(torch.from_numpy(p) for p in levels),
        neighbours=tuple(torch.from_numpy(t) for t in neighbours),
        pools=tuple(torch.from_numpy(t) for t in pools),
        upsamples=tuple(torch.from_numpy(t) for t in nearest),
        limits=limits,
    )


def radius_neighbours(
    queries: Float[np.ndarray, "Q 3"], supports: Float[np.ndarray, "S 3"], *, radius: float, limit: int
) -> Int[np.ndarray, "Q K"]:
    """Indices of the supports nearer than ``radius`` (strictly) to each query, the nearest first.

    Distances are float32 as in the published search, so that borders and ties fall alike. Rows are cut
    to ``limit`` and filled up with the number of supports.
    """
    search = _Search(supports, radius)
    rows = [search.nearest(queries[chunk], limit) for chunk in _chunks(len(queries))]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1])), constant_values=len(supports)) for row in rows]
    return np.concatenate(padded)


class _Search:
    """Everything within a radius of queries, among fixed supports."""

    def __init__(self, supports: Float[np.ndarray, "S 3"], radius: float) -> None:
        self._supports = supports
        self._radius = radius
        self._tree = cKDTree(supports)
        self._visits: VisitTree | None = None

    def pairs(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Query, support and float32 squared distance of every pair nearer than the radius."""
        found = cKDTree(queries).sparse_distance_matrix(self._tree, self._radius * 1.0001, output_type="ndarray")
        query_of_pair, support = found["i"].astype(np.int64), found["j"].astype(np.int64)
        x, y, z = (queries[query_of_pair] - self._supports[support]).T
        squared = x * x + y * y + z * z
        near = squared < np.float32(self._radius) * np.float32(self._radius)
        return query_of_pair[near], support[near], squared[near]

    def nearest(self, queries: np.ndarray, limit: int) -> np.ndarray:
        """One row of :func:`radius_neighbours` for each query."""
        query_of_pair, support, squared = self.pairs(queries)
        order = np.lexsort((squared, query_of_pair))
        query_of_pair, support, squared = query_of_pair[order], support[order], squared[order]
        tied = (np.diff(squared) == 0) & (np.diff(query_of_pair) == 0)
        if tied.any():
            members = np.isin(query_of_pair, query_of_pair[1:][tied])
            support[members] = self._settled(queries, query_of_pair[members], support[members], squared[members])
        counts = np.bincount(query_of_pair, minlength=len(queries))
        rank = np.arange(len(support)) - np.repeat(counts.cumsum() - counts, counts)
        table = np.full((len(counts), min(int(counts.max(initial=0)), limit)), len(self._supports), np.int32)
        kept = rank < table.shape[1]
        table[query_of_pair[kept], rank[kept]] = support[kept]
        return table

    def _settled(
        self, queries: np.ndarray, query_of_pair: np.ndarray, support: np.ndarray, squared: np.ndarray
    ) -> np.ndarray:
        """The supports of whole rows in the published order of ties."""
        self._visits = self._visits or VisitTree(self._supports)
        leaf, place = self._visits.visit_keys(queries[query_of_pair], support)
        met = np.lexsort((place, leaf, query_of_pair))
        support, squared = support[met], squared[met]
        starts = np.flatnonzero(np.diff(query_of_pair, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(support)], strict=True):
            support[start:stop] = support[start:stop][sort_as_published(squared[start:stop].tolist())]
        return support


def _neighbour_counts(points: np.ndarray, radius: float) -> np.ndarray:
    search = _Search(points, radius)
    parts = [points[chunk] for chunk in _chunks(len(points))]
    return np.concatenate([np.bincount(search.pairs(part)[0], minlength=len(part)) for part in parts])


def _chunks(count: int) -> list[slice]:
    """Parts that keep the pairs of one small for meshes of any size."""
    return [slice(start, min(start + 4096, count)) for start in range(0, count, 4096)]


def _load(path: Path) -> PointPyramid | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = ("points", "neighbours", "pools", "upsamples")
            parts = {n: tuple(torch.from_numpy(file[k]) for k in sorted(file.files) if k.startswith(n)) for n in names}
            return PointPyramid(**parts, limits=tuple(int(n) for n in file["limits"]))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        logger.warning("%s cannot be read (%s): computed again", path, error)
        return None


def _save(path: Path, pyramid: PointPyramid) -> None:
    parts = {"points": pyramid.points, "neighbours": pyramid.neighbours}
    parts |= {"pools": pyramid.pools, "upsamples": pyramid.upsamples}
    arrays = {f"{name}{level}": t.numpy() for name, part in parts.items() for level, t in enumerate(part)}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, limits=np.array(pyramid.limits), **arrays)
    try:
        make_folder(path.parent)
        write_whole(path, content.getvalue())
    except OutputError as error:
        logger.info("the point pyramid is not kept and is computed again next time: %s", error)
        return
    keep_newest(path.parent, "pyramid-*.npz", count=_MOST_FILES)
