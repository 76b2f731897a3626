"""What stands around an object in a picture: table, wall, clutter, something before it, lamps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from rnnpose_ros.data.path_traced.environments import random_environment
from rnnpose_ros.data.path_traced.look import TracedLook
from rnnpose_ros.data.path_traced.props import plane, random_prop
from rnnpose_ros.data.path_traced.scene import Body, Lamp, Scene, Thing
from rnnpose_ros.geometry.se3 import exp_so3

Silhouette = Callable[[Thing, Tensor], Bool[np.ndarray, "H W"]]
"""Where a thing at a pose would be seen if it were alone."""

_CLUTTER_HIDES = 0.03
_ENOUGH_TRIES = 12


class Furnisher:
    """Builds a scene around one object. All randomness comes from ``rng``."""

    def __init__(
        self,
        body: Body,
        *,
        look: TracedLook,
        rng: np.random.Generator,
        silhouette: Silhouette,
        others: Sequence[Thing] = (),
    ) -> None:
        self._look, self._rng, self._silhouette, self._others = look, rng, silhouette, others
        self._bodies = [body]
        self._points = _placed(body)
        self._middle = 0.5 * (self._points.min(0) + self._points.max(0))
        self._radius = float(np.linalg.norm(self._points - self._middle, axis=1).max())
        self._mask = silhouette(body.thing, body.T_camera_object)
        pitch, roll = math.radians(rng.uniform(12, 75)), math.radians(rng.normal(0, 6))
        self._up = np.array([math.sin(roll), -math.cos(pitch) * math.cos(roll), -math.sin(pitch) * math.cos(roll)])
        foot = float((self._points @ self._up).min())
        floating = rng.random() < look.floating_share or foot > -0.08
        self._floor = None if floating else foot

    def scene(self) -> Scene:
        """The object with everything about it."""
        rng = self._rng
        if self._floor is not None:
            self._lay_table()
        for _ in range(int(rng.integers(self._look.clutter[0], self._look.clutter[1] + 1))):
            self._add_clutter()
        if rng.random() < self._look.occluded_share:
            self._add_occluder(rng.uniform(self._look.occlusion[0], self._look.occlusion[1]))
        environment = random_environment(rng)
        ambient = float(environment.mean())
        count = int(rng.integers(self._look.lamps[0], self._look.lamps[1] + 1))
        return Scene(
            bodies=tuple(self._bodies),
            lamps=tuple(self._lamp(ambient) for _ in range(count)),
            environment=environment.astype(np.float32),
            up_camera=tuple(self._up.tolist()),
            environment_turn=float(rng.uniform(0, 2 * math.pi)),
        )

    def _lay_table(self) -> None:
        """A table that the object's lowest point touches, and perhaps a wall behind."""
        rng, up = self._rng, self._up
        assert self._floor is not None
        foot = self._middle + (self._floor - self._middle @ up) * up
        ahead = foot - (foot @ up) * up
        ahead /= np.linalg.norm(ahead)
        first, second = _turned(ahead, np.cross(up, ahead), rng.uniform(0, 2 * math.pi))
        sides = rng.uniform(0.8, 2.5, 2)
        corner = foot - sides[0] * rng.uniform(0.3, 0.7) * first - sides[1] * rng.uniform(0.3, 0.7) * second
        self._stand(plane(corner, sides[0] * first, sides[1] * second, rng=rng, repeats=rng.uniform(1, 4)))
        if rng.random() < self._look.wall_share:
            out, along = _turned(ahead, np.cross(up, ahead), rng.uniform(-0.7, 0.7))
            middle = foot + (self._radius + rng.uniform(0.05, 0.8)) * 1.3 * out
            corner = middle - 2.0 * along
            self._stand(plane(corner, 4.0 * along, 2.0 * up, rng=rng, repeats=rng.uniform(2, 6)))

    def _stand(self, thing: Thing) -> None:
        self._bodies.append(Body(thing, torch.eye(4, dtype=torch.float64)))

    def _thing(self, size_m: float) -> Thing:
        if self._others and self._rng.random() < 0.5:
            return self._others[int(self._rng.integers(len(self._others)))]
        return random_prop(self._rng, size_m=size_m)

    def _add_clutter(self) -> None:
        """Something beside or behind the object that hides next to nothing of it, where there is a place."""
        rng = self._rng
        thing = self._thing(self._radius * rng.uniform(0.6, 3.0))
        for _ in range(_ENOUGH_TRIES):
            reach = _radius(thing)
            away = (self._radius + reach) * rng.uniform(0.75, 2.5)
            if self._floor is None:
                direction = rng.normal(0, 1, 3) + np.array([0, 0, 1.0])
            else:
                direction = rng.normal(0, 1, 3)
                direction -= (direction @ self._up) * self._up
            body = self._placed(thing, self._middle + away * direction / np.linalg.norm(direction), drop=True)
            points = _placed(body)
            if points[:, 2].min() > 0.12 and self._is_free(points) and self._hidden(body) < _CLUTTER_HIDES:
                self._bodies.append(body)
                return

    def _add_occluder(self, share: float) -> None:
        """Something before the object, moved sideways until it hides the wanted share (or less, if it is small)."""
        rng = self._rng
        thing = self._thing(self._radius * rng.uniform(0.8, 2.0))
        nearness = rng.uniform(0.5, 0.8)
        z_front = float(self._points[:, 2].min()) - _radius(thing)
        middle = self._middle * min(nearness, max(z_front, 0.15) / self._middle[2])
        angle = rng.uniform(0, 2 * math.pi)
        sideways = np.array([math.cos(angle), math.sin(angle), 0.0])
        turn = _random_rotation(rng)
        near, far = 0.0, self._radius + _radius(thing)
        for _ in range(7):
            between = 0.5 * (near + far)
            if self._hidden(self._placed(thing, middle + between * sideways, turn=turn)) > share:
                near = between
            else:
                far = between
        self._bodies.append(self._placed(thing, middle + far * sideways, turn=turn))

    def _placed(self, thing: Thing, middle: np.ndarray, *, turn: np.ndarray | None = None, drop: bool = False) -> Body:
        """A thing with its middle at a point, or dropped from there onto the table."""
        R = _random_rotation(self._rng) if turn is None else turn
        T = np.eye(4)
        T[:3, :3] = R
        vertices = thing.mesh.vertices.double().numpy()
        T[:3, 3] = middle - R @ (0.5 * (vertices.min(0) + vertices.max(0)))
        if drop and self._floor is not None:
            lowest = float(((vertices @ R.T + T[:3, 3]) @ self._up).min())
            T[:3, 3] += (self._floor - lowest) * self._up
        return Body(thing, torch.from_numpy(T))

    def _is_free(self, points: np.ndarray) -> bool:
        """Boxes about the points and about the object do not meet."""
        low, high = self._points.min(0), self._points.max(0)
        return bool(((points.min(0) > high) | (points.max(0) < low)).any())

    def _hidden(self, body: Body) -> float:
        """Share of the object's silhouette that a body covers or stands behind."""
        covered = self._silhouette(body.thing, body.T_camera_object) & self._mask
        behind = _placed(body)[:, 2].min() > self._points[:, 2].max()
        return 0.0 if behind else float(covered.sum()) / max(1, int(self._mask.sum()))

    def _lamp(self, ambient: float) -> Lamp:
        """Somewhere above the object, never between it and the camera."""
        rng = self._rng
        to_camera = -self._middle / np.linalg.norm(self._middle)
        while True:
            direction = rng.normal(0, 1, 3) + 0.6 * self._up
            direction /= np.linalg.norm(direction)
            if direction @ self._up > 0.05 and direction @ to_camera < math.cos(math.radians(35)):
                break
        distance, side = rng.uniform(0.6, 2.0), rng.uniform(0.08, 0.5)
        strength = ambient * math.pi * math.exp(rng.uniform(math.log(0.4), math.log(5.0)))
        radiance = strength * distance**2 / side**2 * (1 + rng.normal(0, 0.07, 3)).clip(0.6, 1.4)
        red, green, blue = radiance.tolist()
        return Lamp(
            centre=tuple((self._middle + distance * direction).tolist()),
            facing=tuple(self._middle.tolist()),
            side_m=float(side),
            radiance=(red, green, blue),
        )


def _placed(body: Body) -> np.ndarray:
    T = body.T_camera_object.double().numpy()
    return np.asarray(body.thing.mesh.vertices.double().numpy() @ T[:3, :3].T + T[:3, 3])


def _radius(thing: Thing) -> float:
    vertices = thing.mesh.vertices
    return 0.5 * float((vertices.amax(0) - vertices.amin(0)).norm())


def _turned(first: np.ndarray, second: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    c, s = math.cos(angle), math.sin(angle)
    return c * first + s * second, c * second - s * first


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniform over all rotations."""
    x, y, z, w = (q := rng.normal(0, 1, 4)) / np.linalg.norm(q)
    axis = np.array([x, y, z])
    sine = float(np.linalg.norm(axis))
    vector = axis / max(sine, 1e-12) * 2 * math.atan2(sine, w)
    return np.asarray(exp_so3(torch.from_numpy(vector)).numpy())
