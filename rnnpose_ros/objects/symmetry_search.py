"""Finds the rotations under which an object looks the same, by its shape and by its colours.

Every symmetry leaves the surface's centroid where it is, so all axes pass through it. Candidates are the axes of
inertia, those of the frame, and directions all over a hemisphere; the promising ones are polished and then judged by
points all over the surface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from rnnpose_ros.objects.normals import face_normals
from rnnpose_ros.types import Mesh

_SAMPLES, _PROBES, _COARSE_PROBES, _POLISH_PROBES = 12_000, 1200, 50, 150
_DIRECTIONS = 1000
_ORDERS = (2, 3, 4, 5, 6, 8)
_FREE_TURNS = np.radians([10.0, 37.0, 73.0, 111.0, 158.0])
"""No regular polygon of less than 36 corners has all of these."""
_SHAPE_BOUND = 0.012
"""Diameters, 98th percentile: about what a camera can tell at 100 pixels across."""
_COARSE_BOUND = 0.025
"""Diameters, mean: what an axis may show that is off by the spacing of the directions."""
_COLOUR_BOUND = 0.12
"""0..1, 98th percentile of differences of smoothed colours: a small mark on one side is enough to break a symmetry."""
_SMOOTHED_OVER, _LIKEST_OF = 24, 12
_MOST_POLISHED = 6
_LARGEST_GROUP = 60
_SAME_TURN = 0.12
"""Largest difference of two matrices that count as one turn before polishing: 7 degrees."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AxisOfSymmetry:
    """An axis through ``centre`` about which turns by ``360 / order`` degrees change nothing."""

    direction: tuple[float, float, float]
    order: int
    """0: any turn."""
    shape_error: float
    """98th percentile over the surface, diameters."""
    colour_error: float
    """The same of smoothed colours, 0..1; 0 for one colour."""

    @property
    def has_the_shape(self) -> bool:
        """The shape agrees."""
        return self.shape_error <= _SHAPE_BOUND

    @property
    def looks_the_same(self) -> bool:
        """The colours agree as well."""
        return self.colour_error <= _COLOUR_BOUND

    def __str__(self) -> str:
        """In words."""
        x, y, z = self.direction
        turns = "any turn" if self.order == 0 else f"turns by {360 / self.order:g} deg"
        return f"{turns} about ({x:.3f}, {y:.3f}, {z:.3f})"


@dataclass(frozen=True, slots=True, eq=False)
class SymmetrySuggestion:
    """What was found, for a person to confirm."""

    centre: tuple[float, float, float]
    """Metres, object frame: every axis passes here."""
    axes: tuple[AxisOfSymmetry, ...]
    """Shape and colours agree."""
    broken_axes: tuple[AxisOfSymmetry, ...]
    """Only the shape does: the colours tell the poses apart."""


def search_symmetries(mesh: Mesh, *, diameter: float, seed: int = 0) -> SymmetrySuggestion:
    """Symmetries of shape and colours; seconds, whatever the mesh.

    Args:
        mesh: In metres.
        diameter: Of it.
        seed: Of the points that are compared.
    """
    surface = _Surface(mesh, diameter, np.random.default_rng(seed))
    x, y, z = surface.centre.tolist()
    of_shape = _axes_of_shape(surface)
    if any(axis.order == 0 for axis in of_shape):
        same = [axis for axis in of_shape if axis.looks_the_same]
        for axis in of_shape:
            if axis.order == 0 and not axis.looks_the_same:
                same += _part_of_free_turns(surface, axis)
    else:
        turns = [_turn(np.array(axis.direction), 2 * math.pi / axis.order) for axis in of_shape]
        same = surface.axes_of([R for R in _closure(turns) if surface.colour_error(R) <= _COLOUR_BOUND])
    return SymmetrySuggestion((x, y, z), tuple(same), tuple(a for a in of_shape if not a.looks_the_same))


def _axes_of_shape(surface: _Surface) -> list[AxisOfSymmetry]:
    """Axes whose turns, combined, are all that leave the shape as it is."""
    found: list[AxisOfSymmetry] = []
    group: list[Array] = []
    for order in (0, *sorted(_ORDERS, reverse=True)):
        for candidate in surface.candidates(order):
            free = [axis for axis in found if axis.order == 0]
            if len(free) == 2:
                return free  # a ball, of which there is no more to know
            if (free and order not in (0, 2)) or _is_known(candidate, order, free, group):
                continue
            direction = surface.polished(candidate, order)
            axis = surface.judged(direction, order)
            if not axis.has_the_shape or _is_known(direction, order, free, group):
                continue
            found.append(axis)
            if order and free:
                return found  # of turns across an axis of free turns one says all
            group = _closure([_turn(np.array(a.direction), 2 * math.pi / a.order) for a in found if a.order])
    return found


def _is_known(direction: Array, order: int, free: Sequence[AxisOfSymmetry], group: Sequence[Array]) -> bool:
    """Whether this axis follows from those that were found."""
    if any(abs(float(np.array(axis.direction) @ direction)) > 0.99 for axis in free):
        return True
    turn = _turn(direction, 2 * math.pi / order) if order else None
    return turn is not None and any(np.abs(turn - known).max() < _SAME_TURN for known in group)


def _part_of_free_turns(surface: _Surface, axis: AxisOfSymmetry) -> list[AxisOfSymmetry]:
    """What colours leave of free turns: those by the largest share of a full turn that they repeat after."""
    for order in sorted(_ORDERS, reverse=True):
        part = surface.judged(np.array(axis.direction), order)
        if part.looks_the_same:
            return [part]
    return []


def given_symmetries(
    mesh: Mesh, *, diameter: float, axes: Sequence[tuple[Sequence[float], int]], seed: int = 0
) -> SymmetrySuggestion:
    """Axes that a person names, through the surface's centroid, with how well they hold; none is left out.

    Args:
        mesh: In metres.
        diameter: Of it.
        axes: Direction and order (0: any turn) of each.
        seed: Of the points that are compared.
    """
    surface = _Surface(mesh, diameter, np.random.default_rng(seed))
    x, y, z = surface.centre.tolist()
    judged = [surface.judged(np.array(d, float) / np.linalg.norm(d), order) for d, order in axes]
    return SymmetrySuggestion((x, y, z), tuple(judged), ())


def about_axes(
    axes: Sequence[AxisOfSymmetry], centre: Sequence[float]
) -> tuple[list[list[list[float]]], list[dict[str, list[float]]]]:
    """Axes in the terms of ``object.yaml``: discrete transforms (4 x 4, metres) and continuous ones.

    The discrete ones are all turns about all axes and what they combine to, without the identity. Of a body that any
    turn about one axis leaves as it is, only the first turn across that axis is needed.
    """
    middle = np.array(centre, float)
    continuous = [{"axis": list(a.direction), "offset": middle.tolist()} for a in axes if a.order == 0]
    turns = [_turn(np.array(a.direction), 2 * math.pi / a.order) for a in axes if a.order > 0]
    group = _closure(turns[:1] if continuous else turns)
    discrete = []
    for R in group:
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = R, middle - R @ middle
        discrete.append(T.round(9).tolist())
    return discrete, continuous


class _Surface:
    """Points all over a mesh with normals and smoothed colours."""

    def __init__(self, mesh: Mesh, diameter: float, rng: np.random.Generator) -> None:
        self._diameter = diameter
        vertices, faces = mesh.vertices.double().cpu().numpy(), mesh.faces.cpu().numpy()
        normals, areas = face_normals(vertices, faces)
        face = rng.choice(len(faces), _SAMPLES, p=areas / areas.sum())
        weights = rng.dirichlet(np.ones(3), _SAMPLES)
        self._points: Array = np.einsum("ni,nic->nc", weights, vertices[faces[face]])
        self._normals: Array = normals[face]
        corners = vertices[faces].mean(1)
        self.centre: Array = (corners * areas[:, None]).sum(0) / areas.sum()
        self._tree = cKDTree(self._points)
        self._spacing = math.sqrt(float(areas.sum()) / _SAMPLES)
        colours = _colours(mesh, face, weights)
        self._colours = None if colours is None else self._smoothed(colours)
        self._probes = rng.permutation(_SAMPLES)[:_PROBES]

    def candidates(self, order: int) -> list[Array]:
        """Directions that may be axes of this order, the most promising first, no two of them near each other."""
        directions = np.concatenate([self._inertia_axes(), np.eye(3), _hemisphere(_DIRECTIONS)])
        errors = np.zeros(len(directions))
        for angle in _turns_of(order)[1:3] or _turns_of(order):
            R = Rotation.from_rotvec(directions * angle).as_matrix()
            errors = np.maximum(errors, self._distances(R, self._probes[:_COARSE_PROBES]).mean(1))
        chosen: list[Array] = []
        for i in np.argsort(errors, kind="stable"):
            if errors[i] > _COARSE_BOUND or len(chosen) == _MOST_POLISHED:
                break
            if all(abs(directions[i] @ other) < math.cos(math.radians(9.0)) for other in chosen):
                chosen.append(directions[i])
        return chosen

    def judged(self, direction: Array, order: int) -> AxisOfSymmetry:
        """An axis with its errors."""
        x, y, z = _upwards(direction).tolist()
        turns = [_turn(direction, angle) for angle in _turns_of(order)]
        shape = max(self._shape_error(R) for R in turns)
        return AxisOfSymmetry((x, y, z), order, shape, max(self.colour_error(R) for R in turns))

    def axes_of(self, turns: Sequence[Array]) -> list[AxisOfSymmetry]:
        """The axes of all turns of a group, each with as many as it has."""
        vectors = [Rotation.from_matrix(R).as_rotvec() for R in turns]
        directions: list[Array] = []
        for vector in vectors:
            direction = _upwards(vector / np.linalg.norm(vector))
            if all(abs(direction @ other) < 0.99 for other in directions):
                directions.append(direction)
        counts = [sum(bool(abs(d @ v) > 0.99 * np.linalg.norm(v)) for v in vectors) for d in directions]
        axes = [self.judged(d, count + 1) for d, count in zip(directions, counts, strict=True)]
        return sorted(axes, key=lambda axis: -axis.order)

    def polished(self, direction: Array, order: int) -> Array:
        """The direction nearby that fits best; an axis of the frame where one is as good."""
        across = np.linalg.svd(direction[None])[2][1:]
        angle = _turns_of(order)[-1]
        probes = self._probes[:_POLISH_PROBES]

        def error(offset: Array) -> float:
            return float(self._distances(_turn(direction + offset @ across, angle)[None], probes).mean())

        start = np.array([[0.0, 0.0], [0.04, 0.0], [0.0, 0.04]])
        best = minimize(error, start[0], method="Nelder-Mead", options={"initial_simplex": start, "maxfev": 45})
        moved = direction + best.x @ across
        moved = moved / np.linalg.norm(moved)
        # An axis of the frame that is as good is what was meant.
        for exact in np.eye(3):
            if abs(exact @ moved) > math.cos(math.radians(1.5)) and self.judged(exact, order).has_the_shape:
                return np.asarray(exact)
        return np.asarray(moved)

    def colour_error(self, R: Array) -> float:
        """98th percentile of the differences of smoothed colours, 0..1.

        Compared with the likest of the nearest points: what is drawn a hair's breadth beside is no other drawing.
        """
        if self._colours is None:
            return 0.0
        _, nearest = self._tree.query(self._turned(R[None], self._probes)[0], k=_LIKEST_OF)
        difference = np.abs(self._colours[nearest] - self._colours[self._probes][:, None]).max(-1).min(1)
        return float(np.quantile(difference, 0.98))

    def _shape_error(self, R: Array) -> float:
        return float(np.quantile(self._distances(R[None], self._probes)[0], 0.98))

    def _distances(self, R: Array, probes: NDArray[np.int64]) -> Array:
        """How far points turned by each of the R lie from the surface, diameters: from the nearest point's plane."""
        moved = self._turned(R, probes)
        distance, nearest = self._tree.query(moved)
        off_plane = np.abs(((moved - self._points[nearest]) * self._normals[nearest]).sum(-1))
        # Far from any point of the surface, its plane says nothing.
        beyond = np.maximum(distance - 3.0 * self._spacing, 0.0)
        return np.asarray(np.maximum(off_plane, beyond) / self._diameter)

    def _turned(self, R: Array, probes: NDArray[np.int64]) -> Array:
        return np.asarray(np.einsum("rij,pj->rpi", R, self._points[probes] - self.centre) + self.centre)

    def _inertia_axes(self) -> Array:
        centred = self._points - self.centre
        return np.asarray(np.linalg.eigh(centred.T @ centred)[1].T)

    def _smoothed(self, colours: Array) -> Array:
        _, near = self._tree.query(self._points, k=_SMOOTHED_OVER)
        return np.asarray(colours[near].mean(1))


def _colours(mesh: Mesh, face: NDArray[np.int64], weights: Array) -> Array | None:
    """Of points on faces, 0..1; None where all is of one colour."""
    if mesh.texture is not None and mesh.corner_uvs is not None:
        texture = mesh.texture.cpu().numpy()
        uv = np.einsum("ni,nic->nc", weights, mesh.corner_uvs.double().cpu().numpy()[face])
        height, width = texture.shape[:2]
        column = np.floor(uv[:, 0] * width).astype(int) % width
        row = np.floor((1 - uv[:, 1]) * height).astype(int) % height
        return np.asarray(texture[row, column] / 255.0)
    if mesh.vertex_colors is not None:
        corners = mesh.vertex_colors.cpu().numpy()[mesh.faces.cpu().numpy()[face]] / 255.0
        return np.asarray(np.einsum("ni,nic->nc", weights, corners))
    return None


def _turns_of(order: int) -> list[float]:
    return _FREE_TURNS.tolist() if order == 0 else [2 * math.pi / order]


def _turn(direction: Array, angle: float) -> Array:
    return np.asarray(Rotation.from_rotvec(direction / np.linalg.norm(direction) * angle).as_matrix())


def _hemisphere(count: int) -> Array:
    """Evenly spread directions."""
    steps = np.arange(count) + 0.5
    z, angle = steps / count, math.pi * (1 + 5**0.5) * steps
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)


def _upwards(direction: Array) -> Array:
    """Of an axis' two directions the one whose largest coordinate is positive."""
    return direction if direction[np.abs(direction).argmax()] > 0 else -direction


def _closure(turns: Sequence[Array]) -> list[Array]:
    """All that turns combine to, without the identity; at most what a body can have."""
    group: list[Array] = [np.eye(3)]
    frontier = [np.eye(3)]
    while frontier and len(group) <= _LARGEST_GROUP:
        products = [turn @ R for R in frontier for turn in turns]
        frontier = []
        for product in products:
            if all(np.abs(product - known).max() > 0.05 for known in group):
                group.append(product)
                frontier.append(product)
    return group[1 : _LARGEST_GROUP + 1]
