"""Where the refiner starts on a dataset: truth with noise, another method's results, or a pose source."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.bop.dataset import BopImage, BopTarget
from rnnpose_ros.data.bop.models import label_of
from rnnpose_ros.data.bop.results import UNKNOWN_TIME, BopEstimate, best_of_each, read_results
from rnnpose_ros.errors import ConfigError, InputError
from rnnpose_ros.evaluation.bop_recall import wanted_instances
from rnnpose_ros.geometry.perturbation import NOISES, PoseNoise, perturb
from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.sources.pose_source import PoseSource
from rnnpose_ros.types import ImageFrame, ObjectModel


@dataclass(frozen=True, slots=True, eq=False)
class StartPose:
    """One pose to refine."""

    object_id: int
    trial: int
    """Of several starts of the same instance: which one."""
    score: float
    T_camera_object: Float[Tensor, "4 4"]


@runtime_checkable
class StartPoses(Protocol):
    """Says where to start in a picture, always the same for the same picture."""

    trials: int
    """Starts of each instance."""

    def describe(self) -> dict[str, Any]:
        """What the predictions depend on, for the manifest."""
        ...

    def of(self, image: BopImage, frame: ImageFrame, targets: Sequence[BopTarget]) -> list[StartPose]:
        """The starts for the targets of one picture."""
        ...

    def time_s(self, image: BopImage) -> float:
        """What the start poses themselves took in a picture; -1 where nobody knows."""
        ...


class NoisyTruth:
    """The true poses made wrong. An instance's noise depends on the seed, its picture and its place alone."""

    def __init__(self, models: Mapping[int, ObjectModel], *, noise: str = "N1", seeds: int = 1, seed: int = 0) -> None:
        """Choose the noise.

        Args:
            models: For their sizes and centres.
            noise: A name in ``geometry.perturbation.NOISES``.
            seeds: Starts of each instance.
            seed: Of all of it.
        """
        if noise not in NOISES:
            raise ConfigError(f"--noise: expected one of {', '.join(NOISES)}, got {noise!r}")
        if seeds < 1:
            raise ConfigError(f"--seeds: expected at least 1, got {seeds}")
        self.trials = seeds
        self._models = models
        self._name, self._noise = noise, NOISES[noise]
        self._seed = seed

    def describe(self) -> dict[str, Any]:
        """See :class:`StartPoses`."""
        return {"init": "noise", "noise": self._name, "seeds": self.trials, "seed": self._seed}

    def of(self, image: BopImage, frame: ImageFrame, targets: Sequence[BopTarget]) -> list[StartPose]:
        """See :class:`StartPoses`.

        Raises:
            InputError: The picture has no annotations.
        """
        if image.annotations is None:
            raise InputError(
                f"scene {image.scene_id} has no scene_gt.json: noise needs the true poses; use --init csv:FILE"
            )
        starts = []
        for target in targets:
            for index in _wanted(image, target):
                starts += self._around(image, target.object_id, index)
        return starts

    def time_s(self, image: BopImage) -> float:
        """Nothing is computed."""
        return 0.0

    def _around(self, image: BopImage, object_id: int, index: int) -> list[StartPose]:
        assert image.annotations is not None
        T = exact(image.annotations[index].T_camera_object)
        model = self._models[object_id]
        noise: PoseNoise = self._noise.for_diameter(model.diameter)
        words = np.random.SeedSequence([self._seed, image.scene_id, image.image_id, index])
        generator = torch.Generator().manual_seed(int(words.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        poses = perturb(
            T.expand(self.trials, 4, 4),
            noise=noise,
            generator=generator,
            centre_object=model.centre.expand(self.trials, 3),
        )
        return [StartPose(object_id, trial, 1.0, pose) for trial, pose in enumerate(poses)]


class OtherResults:
    """Another method's poses from a BOP result file: PoseCNN's, CosyPose's, MegaPose's."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            InputError: It is missing, or a line is wrong.
        """
        self.trials = 1
        self._path = path
        self._of_image: dict[tuple[int, int], list[BopEstimate]] = {}
        for estimate in read_results(path):
            self._of_image.setdefault((estimate.scene_id, estimate.image_id), []).append(estimate)
        self._digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """See :class:`StartPoses`."""
        return {"init": f"csv:{self._path.name}", "init_sha256": self._digest}

    def of(self, image: BopImage, frame: ImageFrame, targets: Sequence[BopTarget]) -> list[StartPose]:
        """See :class:`StartPoses`. Of each object only the best, as many as the target asks for."""
        there = self._of_image.get((image.scene_id, image.image_id), [])
        starts = []
        for target in targets:
            own = best_of_each([e for e in there if e.object_id == target.object_id], target.count)
            starts += [StartPose(e.object_id, 0, e.score, exact(e.T_camera_object)) for e in own]
        return starts

    def time_s(self, image: BopImage) -> float:
        """What the file says."""
        there = self._of_image.get((image.scene_id, image.image_id), [])
        return there[0].time_s if there else UNKNOWN_TIME


class FromSource:
    """A :class:`PoseSource` made by ``module:factory``, which is given the objects by label."""

    def __init__(self, address: str, models: Mapping[int, ObjectModel]) -> None:
        """Imports and makes the source.

        Raises:
            ConfigError: There is no such module or factory.
        """
        self.trials = 1
        self._address = address
        module_name, _, factory_name = address.partition(":")
        try:
            factory = getattr(importlib.import_module(module_name), factory_name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"--init source:{address}: expected source:MODULE:FACTORY, {error}") from None
        self._source: PoseSource = factory({label_of(number): models[number] for number in models})

    def describe(self) -> dict[str, Any]:
        """See :class:`StartPoses`."""
        return {"init": f"source:{self._address}"}

    def of(self, image: BopImage, frame: ImageFrame, targets: Sequence[BopTarget]) -> list[StartPose]:
        """See :class:`StartPoses`."""
        proposed = self._source.propose(frame)
        starts = []
        for target in targets:
            own = [h for h in proposed if h.label == label_of(target.object_id)]
            best = sorted(own, key=lambda h: h.score, reverse=True)[: target.count]
            starts += [StartPose(target.object_id, 0, h.score, exact(h.T_camera_object)) for h in best]
        return starts

    def time_s(self, image: BopImage) -> float:
        """Not measured here."""
        return UNKNOWN_TIME


def open_starts(init: str, models: Mapping[int, ObjectModel], *, noise: str, seeds: int, seed: int) -> StartPoses:
    """The starts of ``noise``, ``csv:FILE`` or ``source:MODULE:FACTORY``.

    Raises:
        ConfigError: It is none of these.
        InputError: The file cannot be used.
    """
    kind, _, rest = init.partition(":")
    if init == "noise":
        return NoisyTruth(models, noise=noise, seeds=seeds, seed=seed)
    if kind == "csv" and rest:
        return OtherResults(Path(rest).expanduser())
    if kind == "source" and rest:
        return FromSource(rest, models)
    raise ConfigError(f"--init: expected noise, csv:FILE or source:MODULE:FACTORY, got {init!r}")


def exact(T: Float[Tensor, "4 4"]) -> Float[Tensor, "4 4"]:
    """The pose with its rotation made exact: files round it."""
    pose = T.double().clone()
    pose[:3, :3] = nearest_rotation(pose[:3, :3])
    return pose


def _wanted(image: BopImage, target: BopTarget) -> list[int]:
    """Places of the target's instances among the picture's annotations."""
    assert image.annotations is not None
    places = [i for i, a in enumerate(image.annotations) if a.object_id == target.object_id]
    shares = np.array([image.annotations[i].visible_share for i in places])
    return [places[i] for i in np.flatnonzero(wanted_instances(shares, target.count))]
