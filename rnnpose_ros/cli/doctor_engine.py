"""Whether weights, objects and engine work together as the node would use them."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpose_ros.cli.doctor_findings import Finding, error, ok, warn
from rnnpose_ros.errors import RnnposeError

if TYPE_CHECKING:
    from rnnpose_ros.ros.parameters import NodeConfig
    from rnnpose_ros.types import ObjectModel

WEIGHTS, OBJECTS, ENGINE = "weights", "objects", "engine"


def check_engine(config: NodeConfig) -> Iterator[Finding]:
    """Weights with their provenance, every object, and one refinement of all of them."""
    loaded = True
    try:
        yield from _check_weights(config)
    except RnnposeError as problem:
        remedy = "leave weights empty for the packaged network, or name a .safetensors that this package wrote"
        yield error(WEIGHTS, str(problem), remedy)
        loaded = False
    objects = yield from _check_objects(config)
    if loaded and objects:
        yield from _check_refinement(config, objects)


def _check_weights(config: NodeConfig) -> Iterator[Finding]:
    from rnnpose_ros.checkpoints.checkpoint import default_weights
    from rnnpose_ros.paths import resolve_path

    yield from _check_file(resolve_path(config.weights) if config.weights else default_weights())
    if config.tracking.weights:
        yield from _check_file(resolve_path(config.tracking.weights))


def _check_file(path: Path) -> Iterator[Finding]:
    from rnnpose_ros.checkpoints.checkpoint import load_network

    network, info = load_network(path)
    parameters = sum(p.numel() for p in network.parameters())
    family = info.network.get("family", "small")
    serves = f"for {', '.join(info.labels)}" if info.labels else "for any mesh"
    yield ok(WEIGHTS, f"{path}: family {family}, {parameters / 1e6:.1f} M parameters, {serves}")
    told = {name: value for name, value in info.provenance.items() if value and not isinstance(value, (dict, list))}
    if told:
        yield ok(WEIGHTS, "made by: " + ", ".join(f"{name} {_short(value)}" for name, value in told.items()))
    else:
        remedy = "rnnpose train and rnnpose convert write it; without, nobody can say how these were made"
        yield warn(WEIGHTS, "no provenance in the file", remedy)
    if not info.calibration:
        remedy = "rnnpose calibrate fits score and covariance to held-out pictures"
        yield warn(WEIGHTS, "not calibrated: score and covariance are raw measures", remedy)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 90 else f"{text[:87]}..."


class _Heard(logging.Handler):
    """Keeps what loading says aloud."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        self.records.append((record.levelno, record.getMessage()))


def _check_objects(config: NodeConfig) -> Generator[Finding, None, Mapping[str, ObjectModel]]:
    """Returns those that could be loaded."""
    from rnnpose_ros.ros.loading import load_objects

    heard, logger = _Heard(), logging.getLogger("rnnpose_ros")
    before = logger.propagate
    logger.addHandler(heard)
    logger.propagate = False
    try:
        objects: Mapping[str, ObjectModel] = load_objects(config)
    except RnnposeError as problem:
        yield error(OBJECTS, str(problem), "objects_file: a mesh, an object.yaml, or a folder of them")
        return {}
    finally:
        logger.removeHandler(heard)
        logger.propagate = before
        for level, text in heard.records:
            if level >= logging.ERROR:
                yield error(OBJECTS, text, "mend the file, or leave the object out by object_ids")
            else:
                yield warn(OBJECTS, text, "mesh_scale is metres per unit of the mesh file")
    for label, model in objects.items():
        yield _judge(label, model)
    return objects


def _judge(label: str, model: ObjectModel) -> Finding:
    mesh = model.mesh
    symmetries = f", {len(model.symmetries)} symmetries" if len(model.symmetries) > 1 else ""
    text = f"{label}: diameter {1000 * model.diameter:.0f} mm, {len(mesh.vertices)} vertices{symmetries}"
    if mesh.texture is not None:
        return ok(OBJECTS, f"{text}, textured")
    if mesh.vertex_colors is not None:
        return ok(OBJECTS, f"{text}, coloured by vertex")
    return warn(
        OBJECTS, f"{text}, without colours", "export it with its texture (OBJ with MTL) or vertex colours (PLY)"
    )


def _check_refinement(config: NodeConfig, objects: Mapping[str, ObjectModel]) -> Iterator[Finding]:
    from rnnpose_ros.ros.loading import choose_device, load_engines, warm_up

    try:
        engine = load_engines(config).full
        times = []
        for _ in range(2):
            started = time.perf_counter()
            warm_up(engine, objects)
            times.append(1000.0 * (time.perf_counter() - started))
    except RnnposeError as problem:
        yield error(ENGINE, str(problem), "device: cpu and renderer: warp work everywhere")
        return
    device = choose_device(config.device)
    number = f"{len(objects)} object" + ("s" if len(objects) > 1 else "")
    text = f"{config.renderer} and network on {device}: one iteration of {number} in {times[1]:.0f} ms"
    yield ok(ENGINE, f"{text} (the first took {times[0]:.0f} ms); rnnpose bench measures it in full")
