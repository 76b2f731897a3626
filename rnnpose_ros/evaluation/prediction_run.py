"""The folder of a prediction run: a manifest of what was computed with, and a line for each picture.

``manifest.json`` is written first. ``predictions.jsonl`` gets a line when a picture is done; a line names the
configuration that it was made with, so that lines of two configurations are never scored as one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.bop.results import BopEstimate, write_results
from rnnpose_ros.errors import ConfigError, InputError
from rnnpose_ros.files import cannot_write, make_folder, write_json

logger = logging.getLogger(__name__)

MANIFEST_FILE, JOURNAL_FILE = "manifest.json", "predictions.jsonl"
_FORMAT = "rnnpose_ros/predictions/1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What predictions depend on, and where their dataset lies."""

    dataset: str
    """Its folder."""
    split: str
    models: str
    targets: str
    """The file that was given; empty for the dataset's own."""
    every: int
    """Only every so many pictures."""
    configuration: Mapping[str, Any]
    """Weights, settings, start poses and the dataset's fingerprint, flat."""
    environment: Mapping[str, Any]
    """Machine and versions; told, not compared."""

    @property
    def key(self) -> str:
        """Short name of the configuration."""
        compared = {**self.configuration, "split": self.split, "models": self.models, "every": self.every}
        text = json.dumps(compared, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, eq=False)
class PredictedPose:
    """One start and what became of it."""

    object_id: int
    trial: int
    T_initial: Float[Tensor, "4 4"]
    """Metres."""
    initial_score: float
    T_refined: Float[Tensor, "4 4"]
    refined_score: float
    status: str


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrediction:
    """One picture's poses."""

    scene_id: int
    image_id: int
    start_time_s: float
    """That the start poses took; -1 unknown."""
    refine_time_s: float
    """That refining them took, for one start of each instance."""
    poses: tuple[PredictedPose, ...]


class PredictionRun:
    """A run's folder, new or taken up again."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def start(cls, folder: Path, manifest: Manifest) -> PredictionRun:
        """Makes the folder, or takes up the run in it.

        Raises:
            ConfigError: The folder holds a run of another configuration: with what differs.
            OutputError: It cannot be written.
        """
        run = cls(folder, manifest)
        if not (folder / MANIFEST_FILE).exists():
            if (folder / JOURNAL_FILE).exists():
                raise ConfigError(f"{folder}: predictions without a manifest; choose another --out")
            make_folder(folder)
            write_json(folder / MANIFEST_FILE, {"format": _FORMAT, "key": manifest.key, **asdict(manifest)})
            return run
        there = cls.open(folder).manifest
        if there.key != manifest.key:
            raise ConfigError(
                f"{folder} holds predictions of another configuration ({_difference(there, manifest)}); "
                "choose another --out, or remove the folder"
            )
        return run

    @classmethod
    def open(cls, folder: Path) -> PredictionRun:
        """The run in a folder.

        Raises:
            InputError: There is none, or its manifest is damaged.
            ConfigError: The manifest was changed by hand.
        """
        path = folder / MANIFEST_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            fields = {name: content[name] for name in Manifest.__slots__}
            manifest, key = Manifest(**fields), content["key"]
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; expected the folder of rnnpose evaluate predict") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged, or of another version ({error!r})") from None
        if content.get("format") != _FORMAT or manifest.key != key:
            raise ConfigError(f"{path}: was changed after its predictions were made; predict again into another folder")
        return cls(folder, manifest)

    def append(self, prediction: ImagePrediction) -> None:
        """Keeps one picture's poses.

        Raises:
            OutputError: They cannot be written.
        """
        line = json.dumps({"configuration": self.manifest.key, **_to_json(prediction)}) + "\n"
        path = self.folder / JOURNAL_FILE
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from None

    def read(self) -> dict[tuple[int, int], ImagePrediction]:
        """All pictures that are done, by scene and image. A line cut short is taken off the end, aloud.

        Raises:
            ConfigError: A line was made with another configuration.
            InputError: A line is damaged and is not the last one.
        """
        path = self.folder / JOURNAL_FILE
        if not path.exists():
            return {}
        lines = path.read_bytes().split(b"\n")
        found: dict[tuple[int, int], ImagePrediction] = {}
        for number, line in enumerate(lines[:-1], start=1):
            prediction = self._parse(line, f"{path}: line {number}")
            found[prediction.scene_id, prediction.image_id] = prediction
        if lines[-1]:
            logger.warning("%s: the last line was cut short; its image is predicted again", path)
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - len(lines[-1]))
        return found

    def write_results(self, predictions: Mapping[tuple[int, int], ImagePrediction], *, trials: int) -> list[Path]:
        """``initial_0.csv`` and ``refined_0.csv`` in BOP's form, one pair for each start of the instances.

        Raises:
            OutputError: They cannot be written.
        """
        paths = []
        for trial in range(trials):
            for kind in ("initial", "refined"):
                path = self.folder / f"{kind}_{trial}.csv"
                write_results(path, estimates_of(predictions, trial=trial, refined=kind == "refined"))
                paths.append(path)
        return paths

    def _parse(self, line: bytes, name: str) -> ImagePrediction:
        try:
            entry = json.loads(line)
            key, prediction = entry["configuration"], _from_json(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{name}: damaged ({error!r}); remove the line and predict again") from None
        if key != self.manifest.key:
            raise ConfigError(
                f"{name}: made with configuration {key}, the manifest is of {self.manifest.key}; "
                "two configurations are not scored as one"
            )
        return prediction


def estimates_of(
    predictions: Mapping[tuple[int, int], ImagePrediction], *, trial: int, refined: bool
) -> list[BopEstimate]:
    """The initial or refined poses of one start of each instance, as BOP's estimates."""
    estimates = []
    for p in (predictions[key] for key in sorted(predictions)):
        time_s = p.start_time_s if not refined or p.start_time_s < 0 else p.start_time_s + p.refine_time_s
        for pose in p.poses:
            if pose.trial == trial:
                T = pose.T_refined if refined else pose.T_initial
                score = pose.refined_score if refined else pose.initial_score
                estimates.append(BopEstimate(p.scene_id, p.image_id, pose.object_id, score, T, time_s))
    return estimates


def _difference(there: Manifest, now: Manifest) -> str:
    old = {**there.configuration, "split": there.split, "models": there.models, "every": there.every}
    new = {**now.configuration, "split": now.split, "models": now.models, "every": now.every}
    new = json.loads(json.dumps(new))  # as the file has it: lists for tuples
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return "; ".join(f"{name}: {old.get(name)} there, {new.get(name)} now" for name in names)


def _to_json(prediction: ImagePrediction) -> dict[str, Any]:
    content = {name: getattr(prediction, name) for name in ImagePrediction.__slots__ if name != "poses"}
    poses = [{name: _plain(getattr(pose, name)) for name in PredictedPose.__slots__} for pose in prediction.poses]
    return {**content, "poses": poses}


def _from_json(entry: Mapping[str, Any]) -> ImagePrediction:
    poses = [PredictedPose(**{name: _typed(pose[name]) for name in PredictedPose.__slots__}) for pose in entry["poses"]]
    rest = {name: entry[name] for name in ImagePrediction.__slots__ if name != "poses"}
    return ImagePrediction(**rest, poses=tuple(poses))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def _typed(value: Any) -> Any:
    return torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
