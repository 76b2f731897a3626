"""Pictures that tempt a refiner to say something wrong: wrong starts, absent and hidden objects, wrong meshes.

An episode is a few pictures by a camera that stands still, each with what a detector says about it. What it says may be
wrong, and what it speaks of may not be there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from rnnpose_ros.data.synthetic.full_frame import SceneSetup, Studio, Thing, nearest_surface
from rnnpose_ros.data.synthetic.objects import random_object
from rnnpose_ros.data.synthetic.randomization import FullFrameConfig, ObjectRanges
from rnnpose_ros.geometry.perturbation import N1, perturb
from rnnpose_ros.geometry.se3 import exp_so3, transform
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, ObjectModel, PoseHypothesis

SHARES = {"clear": 0.35, "wrong start": 0.30, "absent": 0.10, "hidden": 0.10, "wrong mesh": 0.10, "taken away": 0.05}
"""Kinds of episodes. *Hidden* and *taken away* begin with a picture that shows the object clearly."""
PICTURES = 4
"""In an episode."""
_CONFIG = FullFrameConfig(objects=3, distractors=2)
_RANDOM_OBJECTS = 12
_EPISODES_PER_WORLD = 40
"""After so many the objects are other ones, where they are random."""
_LEAST_VISIBLE = 0.4
"""Share of an object's outline that shows it clearly."""
_PERIOD_NS = 33_333_333
_SENSOR_NOISE = 2.0
_TRIES = 30

Arrangement = tuple[list[Thing], list[Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class TrapPicture:
    """A picture, what is true, and what somebody says about it."""

    frame: ImageFrame
    T_camera_object: Float[Tensor, "4 4"] | None
    """Of the object that is spoken of; None where nothing of it can be seen."""
    is_fair: bool
    """The object shows clearly, and what is said of it is as near as detectors are: an answer is due."""
    starts: tuple[PoseHypothesis, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrapEpisode:
    """Pictures in the order of time."""

    kind: str
    label: str
    pictures: tuple[TrapPicture, ...]


def seen_again(episode: TrapEpisode, index: int) -> TrapPicture:
    """The scene of an episode's last picture, some pictures later: another readout, the same said about it.

    No answer is due for it. Always the same for the same episode and index.
    """
    last = episode.pictures[-1]
    rng = np.random.default_rng([last.frame.stamp_ns, index])
    return replace(last, frame=_frame(last.frame.rgb.numpy(), last.frame.camera, index, rng), is_fair=False)


class TrapScenes:
    """Makes episodes; each depends on the seed and its number alone.

    Args:
        renderer: Draws them.
        models: Whose poses are asked for; random objects where there are none.
        seed: Of everything.
    """

    def __init__(self, renderer: Renderer, *, models: Sequence[ObjectModel] = (), seed: int = 0) -> None:
        self._renderer = renderer
        self._given = tuple(models)
        self._seed = seed
        self._world = -1
        self._studio: Studio | None = None
        self._setup: SceneSetup | None = None
        self._models: dict[int, ObjectModel] = {}

    @property
    def objects(self) -> Mapping[str, ObjectModel]:
        """Of the last episode's world, by label."""
        return {model.label: model for model in self._models.values()}

    def episode(self, number: int) -> TrapEpisode:
        """The episode of this number."""
        setup = self._enter_world(number // _EPISODES_PER_WORLD)
        rng = np.random.default_rng([self._seed, 1, number])
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        for _ in range(_TRIES):
            things, poses = self._studio_now.arrange(setup, rng)
            target = self._clearest(things, poses, setup.camera)
            if target is None:
                continue
            made = self._stage(kind, (things, poses), target, setup, rng)
            if made is not None:
                return made
        raise RuntimeError(f"no arrangement of {_TRIES} shows an object clearly: they are too large for the camera")

    @property
    def _studio_now(self) -> Studio:
        assert self._studio is not None
        return self._studio

    def _enter_world(self, world: int) -> SceneSetup:
        if world != self._world or self._setup is None:
            rng = np.random.default_rng([self._seed, 2, world])
            ranges = ObjectRanges()
            random_ones = [
                random_object(rng, ranges, label=f"object_{i}")[0]
                for i in range(_RANDOM_OBJECTS - min(len(self._given), _RANDOM_OBJECTS - 2))
            ]
            self._models = dict(enumerate([*self._given, *random_ones]))
            self._studio = Studio(self._renderer, self._models, config=_CONFIG, seed=self._seed)
            self._setup = self._studio.set_up(world)
            self._world = world
        return self._setup

    def _clearest(self, things: list[Thing], poses: list[Tensor], camera: CameraIntrinsics) -> int | None:
        """The object that shows the largest share of itself, of those that are asked for."""
        depths = [self._depth(thing, T, camera) for thing, T in zip(things, poses, strict=True)]
        owner = nearest_surface(depths).owner
        shares = {
            i: float((owner == i).sum()) / max(1, int((depths[i] > 0).sum()))
            for i, thing in enumerate(things)
            if thing.object_id is not None and (not self._given or thing.object_id < len(self._given))
        }
        best = max(shares, key=lambda i: shares[i], default=None)
        return best if best is not None and shares[best] >= _LEAST_VISIBLE else None

    def _depth(self, thing: Thing, T: Tensor, camera: CameraIntrinsics) -> NDArray[np.float32]:
        depth: NDArray[np.float32] = self._studio_now.render(thing, T, camera).depth[0].cpu().numpy()
        return depth

    def _stage(
        self, kind: str, arrangement: Arrangement, target: int, setup: SceneSetup, rng: np.random.Generator
    ) -> TrapEpisode | None:
        """The episode; None where this arrangement does not do for it."""
        things, poses = arrangement
        model, truth = things[target].model, poses[target]
        without = ([t for i, t in enumerate(things) if i != target], [T for i, T in enumerate(poses) if i != target])
        spoken_of = model
        later = arrangement
        if kind in ("absent", "taken away"):
            later = without
        elif kind == "hidden":
            occluded = self._occluded(arrangement, target, setup, rng)
            if occluded is None:
                return None
            later = occluded
        elif kind == "wrong mesh":
            others = [m for m in self._models.values() if all(m is not thing.model for thing in things)]
            spoken_of = min(others, key=lambda other: abs(math.log(other.diameter / model.diameter)))
        first = later if kind == "absent" else arrangement
        begins_clear = kind in ("hidden", "taken away")
        photos = [self._photo(first, setup.camera, rng)]
        photos += [self._photo(later, setup.camera, rng)] if begins_clear else []
        around = _wrong(truth, model, rng) if kind == "wrong start" else _about_centre(truth, model, spoken_of)
        pictures = []
        for i in range(PICTURES):
            shows = kind in ("clear", "wrong start") or (begins_clear and i == 0)
            said = [] if kind == "taken away" and i > 0 else [_said(around, spoken_of, rng)]
            frame = _frame(photos[min(i, len(photos) - 1)], setup.camera, i, rng)
            pictures.append(TrapPicture(frame, truth if shows else None, shows and kind != "wrong start", tuple(said)))
        return TrapEpisode(kind, spoken_of.label, tuple(pictures))

    def _photo(
        self, arrangement: Arrangement, camera: CameraIntrinsics, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "H W 3"]:
        things, poses = arrangement
        depths = [self._depth(thing, T, camera) for thing, T in zip(things, poses, strict=True)]
        covered = nearest_surface(depths).owner >= 0 if depths else np.zeros((camera.height, camera.width), bool)
        return self._studio_now.photograph(things, poses, camera, covered, rng)

    def _occluded(
        self, arrangement: Arrangement, target: int, setup: SceneSetup, rng: np.random.Generator
    ) -> Arrangement | None:
        """Another thing so near before the object that nothing of it is seen; None where none is large enough."""
        things, poses = arrangement
        outline = self._depth(things[target], poses[target], setup.camera)
        centre = _centre(things[target].model, poses[target])
        for occluder in rng.permutation(np.array(setup.distractors, dtype=object)):
            for nearness in (0.6, 0.4, 0.25, 0.15):
                T = poses[target].clone()
                T[:3, 3] += nearness * centre - _centre(occluder.model, T)
                depth = self._depth(occluder, T, setup.camera)
                if bool(((depth > 0) & (depth < outline))[outline > 0].all()):
                    return [*things, occluder], [*poses, T]
        return None


def _centre(model: ObjectModel, T_camera_object: Tensor) -> Tensor:
    return transform(T_camera_object, model.centre.double()[None])[0]


def _about_centre(T_camera_object: Tensor, model: ObjectModel, other: ObjectModel) -> Tensor:
    """Where another object would be with its centre in the same place."""
    T = T_camera_object.clone()
    T[:3, 3] += _centre(model, T_camera_object) - _centre(other, T)
    return T


def _wrong(T_camera_object: Tensor, model: ObjectModel, rng: np.random.Generator) -> Tensor:
    """A pose that no refinement can be asked to mend: turned far, beside the object, or half or twice as far."""
    T = T_camera_object.clone()
    centre = _centre(model, T)
    how = rng.integers(3)
    if how == 0:
        axis = torch.from_numpy(rng.normal(size=3))
        angle = rng.uniform(math.radians(90.0), math.pi)
        T[:3, :3] = exp_so3(axis / axis.norm() * angle) @ T[:3, :3]
        T[:3, 3] += centre - _centre(model, T)
    elif how == 1:
        direction = rng.uniform(0.0, 2.0 * math.pi)
        shift = rng.uniform(0.7, 2.0) * model.diameter
        T[:2, 3] += shift * torch.tensor([math.cos(direction), math.sin(direction)], dtype=torch.float64)
    else:
        T[:3, 3] += (rng.choice([0.5, 2.0]) - 1.0) * centre
    return T


def _said(T_camera_object: Tensor, model: ObjectModel, rng: np.random.Generator) -> PoseHypothesis:
    """What a detector says about an object there."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noise = N1.for_diameter(model.diameter)
    T = perturb(T_camera_object[None], noise=noise, generator=generator, centre_object=model.centre[None])[0]
    return PoseHypothesis(model.label, T, source="detector")


def _frame(
    photo: UInt8[np.ndarray, "H W 3"], camera: CameraIntrinsics, index: int, rng: np.random.Generator
) -> ImageFrame:
    """The same picture as another readout of the sensor."""
    noisy = photo + rng.normal(0.0, _SENSOR_NOISE, photo.shape)
    rgb = torch.from_numpy(noisy.round().clip(0, 255).astype(np.uint8))
    return ImageFrame(rgb=rgb, camera=camera, stamp_ns=1 + index * _PERIOD_NS, frame_id="camera")
