"""What the node needs before its first picture: the engine and the objects it serves."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from rnnpose_ros.acceleration.engines import choose_engine
from rnnpose_ros.acceleration.trained import trained_refiner
from rnnpose_ros.checkpoints.checkpoint import default_weights
from rnnpose_ros.errors import AssetError, BackendUnavailableError, ConfigError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.objects.description import read_description
from rnnpose_ros.objects.library import ObjectLibrary, load_object
from rnnpose_ros.objects.mesh_io import MESH_SUFFIXES
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.refinement.refiner import RefinerConfig
from rnnpose_ros.rendering.backends import make_renderer
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.ros.fake_engine import FakeEngine
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.tracking.engine import Engine, Glancer
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

logger = logging.getLogger(__name__)


@runtime_checkable
class PoseEngine(Engine, Protocol):
    """Whatever refines poses on one picture; :class:`~rnnpose_ros.refinement.refiner.Refiner` is one.

    The failure of one object is a status, not an error.
    """

    def with_config(self, config: RefinerConfig) -> PoseEngine:
        """The engine under another configuration, sharing what is expensive."""
        ...


def choose_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is CUDA where there is one.

    Raises:
        BackendUnavailableError: It is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: expected auto, cpu, cuda or cuda:<number>, got {name!r}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendUnavailableError(
            f"device {name!r} is not here ({torch.cuda.device_count()} CUDA); use device:=cpu"
        )
    return device


@dataclass(frozen=True, slots=True)
class Engines:
    """What refines new objects, and what refines those that are tracked."""

    full: PoseEngine
    short: PoseEngine
    """For tracked objects: the same network under another configuration, or a smaller one."""

    @classmethod
    def of_one(cls, engine: PoseEngine) -> Engines:
        """One for all objects."""
        return cls(engine, engine)

    def under(self, config: NodeConfig) -> Engines:
        """The same networks under changed dynamic parameters."""
        if isinstance(self.full, FakeEngine):
            return load_engines(config)
        return Engines(self.full.with_config(config.refine), self.short.with_config(tracking_programme(config)))


def load_engines(config: NodeConfig) -> Engines:
    """The engines that the configuration asks for, ready to refine.

    Raises:
        RnnposeError: Device, engine, weights or renderer cannot be used.
    """
    if config.engine == "fake":
        return Engines.of_one(FakeEngine(config.fake))
    device = choose_device(config.device)
    renderer = make_renderer(config.renderer, device)
    choose_engine(config.engine, device)  # before anything is loaded
    weights = resolve_path(config.weights) if config.weights else own_weights(config) or default_weights()
    trained = partial(trained_refiner, config=config.refine, precision=config.precision, engine=config.engine)
    full = short = trained(weights, renderer, threads=config.threads)
    if _has_own_network(config):
        own = resolve_path(config.tracking.weights) if config.tracking.weights else weights
        short = trained(own, renderer, threads=config.tracking.threads or config.threads)
    return Engines(full, short.with_config(tracking_programme(config)))


def _has_own_network(config: NodeConfig) -> bool:
    """Whether tracked objects are refined by a network that was loaded for them."""
    return bool(config.tracking.weights) or config.tracking.threads not in (0, config.threads)


def own_weights(config: NodeConfig) -> Path | None:
    """The weights that all served objects name in their descriptions; None where there are none such.

    Raises:
        AssetError: A description cannot be read.
    """
    path = resolve_path(config.objects_file) if config.objects_file else None
    if path is None or path.suffix.lower() in MESH_SUFFIXES or not path.exists():
        return None
    library = _library(path)
    return library.subset([label for label in config.object_ids if label] or list(library)).weights()


def check_same_weights(config: NodeConfig, loaded: Path | None) -> None:
    """Refuses objects that would be refined by weights made for others: weights are read at the start only.

    Args:
        config: That names the new objects.
        loaded: What :func:`own_weights` gave at the start.

    Raises:
        ConfigError: They bring other weights than those that are loaded, or none.
        AssetError: A description cannot be read.
    """
    wanted = own_weights(config)
    if config.weights or wanted == loaded:
        return
    raise ConfigError(
        f"objects_file: these objects want {wanted or 'the packaged weights'}, and {loaded or 'the packaged ones'} are "
        "loaded: start the node anew with them, or set weights"
    )


def tracking_programme(config: NodeConfig) -> RefinerConfig:
    """How tracked objects are refined."""
    rounds = config.tracking.outline_rounds if config.tracking.outline_rounds >= 0 else config.refine.outline.rounds
    outline = dataclasses.replace(config.refine.outline, rounds=rounds)
    size = config.tracking.crop_size or config.refine.crop_size
    return dataclasses.replace(config.refine, crop_size=size, outline=outline)


def warm_up(engine: PoseEngine, objects: Mapping[str, ObjectModel]) -> None:
    """Refine every object once in a grey picture, so that the first real one is not slower than the others.

    With the configured iterations: a recorded cycle is one of so many.
    """
    engine.refine(*_grey_picture(objects), objects, cycles=1)


def _grey_picture(objects: Mapping[str, ObjectModel]) -> tuple[ImageFrame, list[PoseHypothesis]]:
    """A picture, and a pose of every object in it."""
    camera = intrinsics(500.0, 500.0, 320.0, 240.0, width=640, height=480)
    frame = ImageFrame(rgb=torch.full((480, 640, 3), 128, dtype=torch.uint8), camera=camera)
    starts = []
    for label, model in objects.items():
        T = torch.eye(4, dtype=torch.float64)
        T[:3, 3] = -model.centre.double()
        T[2, 3] += 4.0 * model.diameter
        starts.append(PoseHypothesis(label=label, T_camera_object=T))
    return frame, starts


def warm_up_programmes(engines: Engines, config: NodeConfig, objects: Mapping[str, ObjectModel]) -> None:
    """:func:`warm_up` for new objects' programme, for glances, and for tracked ones' where their graphs differ."""
    warm_up(engines.full, objects)
    if config.tracking.rivals and isinstance(engines.full, Glancer):
        engines.full.glance(*_grey_picture(objects), objects)
    if _has_own_network(config) or config.tracking.crop_size not in (0, config.refine.crop_size):
        warm_up(engines.short, objects)


def picture_features(engine: PoseEngine, config: NodeConfig) -> FeatureCache:
    """What debug pictures are drawn with: the engine's own renderer where it has one."""
    own: Renderer | None = getattr(engine, "renderer", None)
    return FeatureCache(own if own is not None else make_renderer(config.renderer, choose_device(config.device)))


def load_objects(config: NodeConfig) -> ObjectLibrary:
    """Objects, found under every name a detector may call them by; loaded.

    One that cannot be loaded is said aloud and left out; the others serve.

    Raises:
        AssetError: The path is wrong, an asked-for name is unknown, or no object is left.
    """
    if not config.objects_file:
        raise AssetError("no objects: set the parameter objects_file to a mesh, an object.yaml or a folder of them")
    path = resolve_path(config.objects_file)
    if not path.exists():
        raise AssetError(f"no objects at {path}: give a mesh, an object.yaml or a folder of them")
    library = _library(path)
    wanted = [label for label in config.object_ids if label] or list(library)
    unknown = sorted(set(wanted) - set(library))
    if unknown:
        raise AssetError(f"object_ids: no object is called {unknown[0]!r}; known: {sorted(library)}")
    loaded: list[str] = []
    for label in wanted:
        try:
            loaded.append(library[label].label)
        except AssetError as error:
            logger.error("object %r is left out: %s", label, error)
    if not loaded:
        raise AssetError(f"none of the objects at {path} could be loaded")
    return library.subset(loaded)


def _library(path: Path) -> ObjectLibrary:
    if path.suffix.lower() in MESH_SUFFIXES:
        return ObjectLibrary(models=[load_object(path)])
    if path.is_dir() and not (path / "object.yaml").is_file():
        return ObjectLibrary.from_directory(path)
    return ObjectLibrary([read_description(path / "object.yaml" if path.is_dir() else path)])
