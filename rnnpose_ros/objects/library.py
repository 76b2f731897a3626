"""The objects a system knows, by name, each loaded when it is first asked for."""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.errors import AssetError
from rnnpose_ros.geometry.rotations import matrix_from_quaternion_xyzw
from rnnpose_ros.geometry.se3 import from_rotation_translation
from rnnpose_ros.objects.description import ObjectDescription, check_scale, read_description
from rnnpose_ros.objects.diameter import diameter
from rnnpose_ros.objects.mesh_io import MESH_SUFFIXES, load_mesh
from rnnpose_ros.objects.symmetry import DEFAULT_STEPS, expand_symmetries, symmetry_axes
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.types import Mesh, ObjectModel

logger = logging.getLogger(__name__)

USUAL_DIAMETER_M = (0.005, 3.0)
"""Objects outside are loaded with a warning: most often the mesh's unit is not what was said."""
POSSIBLE_DIAMETER_M = (0.00005, 100.0)
"""Objects outside are refused: no camera this package serves could see them."""


class UnknownObjectError(AssetError, KeyError):
    """Nobody described an object of this name."""

    __str__ = Exception.__str__


def load_object(
    path: str | Path,
    *,
    label: str | None = None,
    mesh_scale: float | None = None,
    continuous_steps: int = DEFAULT_STEPS,
) -> ObjectModel:
    """An object from its ``object.yaml``, from a folder that holds one, or from a bare mesh file.

    Args:
        path: May be a ``package://`` address.
        label: Instead of the description's; a bare mesh is otherwise called by its file name.
        mesh_scale: Instead of the description's; a bare mesh is otherwise taken to be in metres.
        continuous_steps: Samples of a continuous symmetry.

    Raises:
        AssetError: The description or mesh cannot be used, or its size is impossible.
    """
    return load_described(describe_object(path, label=label, mesh_scale=mesh_scale), continuous_steps=continuous_steps)


def describe_object(
    path: str | Path, *, label: str | None = None, mesh_scale: float | None = None
) -> ObjectDescription:
    """What is said of an object, its mesh not read yet; arguments as of :func:`load_object`.

    Raises:
        AssetError: The description cannot be used, or the file is neither one nor a mesh.
    """
    path = resolve_path(path)
    if path.is_dir():
        path = path / "object.yaml"
    if path.suffix.lower() in MESH_SUFFIXES:
        description = ObjectDescription(label=path.stem, mesh_path=path, source=str(path))
    elif path.suffix.lower() in (".yaml", ".yml"):
        description = read_description(path)
    else:
        expected = " ".join((".yaml", *MESH_SUFFIXES))
        raise AssetError(f"{path}: expected an object description or a mesh ({expected})")
    if label is not None:
        description = replace(description, label=label)
    if mesh_scale is not None:
        description = replace(description, mesh_scale=check_scale(mesh_scale, str(path)))
    return description


def load_described(description: ObjectDescription, *, continuous_steps: int = DEFAULT_STEPS) -> ObjectModel:
    """The object of a description, its mesh read.

    Raises:
        AssetError: See :func:`load_object`.
    """
    symmetries = expand_symmetries(
        description.discrete,
        description.continuous,
        steps=continuous_steps,
        unit_m=description.symmetry_unit_m,
        name=f"{description.source}: symmetries",
    )
    mesh = load_mesh(description.mesh_path, scale=description.mesh_scale)
    model = object_from_mesh(mesh, label=description.label, symmetries=symmetries)
    _question_diameter(model.diameter, description)
    return replace(
        model,
        mesh_path=str(description.mesh_path),
        mesh_scale=description.mesh_scale,
        symmetry_axes=symmetry_axes(description.continuous, unit_m=description.symmetry_unit_m),
        T_detector_mesh=_pose(description.detector_to_mesh),
    )


def _pose(numbers: tuple[float, ...] | None) -> Float[Tensor, "4 4"] | None:
    """From x y z qx qy qz qw."""
    if numbers is None:
        return None
    values = torch.tensor(numbers, dtype=torch.float64)
    return from_rotation_translation(matrix_from_quaternion_xyzw(values[3:]), values[:3])


def object_from_mesh(mesh: Mesh, *, label: str, symmetries: Float[Tensor, "S 4 4"] | None = None) -> ObjectModel:
    """The object that a mesh in metres is; without symmetries where none are given."""
    vertices = mesh.vertices.double()
    eye = torch.eye(4, dtype=torch.float64)[None]
    return ObjectModel(
        label=label,
        mesh=mesh,
        diameter=diameter(vertices.cpu().numpy()),
        symmetries=eye if symmetries is None else symmetries.double(),
        centre=0.5 * (vertices.amin(0) + vertices.amax(0)),
    )


def _question_diameter(diameter_m: float, description: ObjectDescription) -> None:
    """Say aloud when the size is unlikely; refuse it when it is impossible."""
    low, high = USUAL_DIAMETER_M
    if low <= diameter_m <= high:
        return
    in_millimetres = diameter_m * 0.001
    remedy = "check mesh_scale"
    if diameter_m > high and low <= in_millimetres <= high:
        remedy = f"looks like millimetres: set mesh_scale: {description.mesh_scale * 0.001:g}"
    elif diameter_m < low and low <= diameter_m * 1000.0 <= high:
        remedy = f"looks scaled once too often: set mesh_scale: {description.mesh_scale * 1000.0:g}"
    message = (
        f"{description.source or description.mesh_path}: object {description.label!r} has a diameter of "
        f"{diameter_m:.4g} m at mesh_scale {description.mesh_scale:g}; {remedy}"
    )
    if not POSSIBLE_DIAMETER_M[0] <= diameter_m <= POSSIBLE_DIAMETER_M[1]:
        raise AssetError(message)
    logger.warning("%s", message)


class ObjectLibrary(Mapping[str, ObjectModel]):
    """Objects by label or alias; iteration gives labels. Constructing reads no mesh.

    An object is loaded when it is first asked for and kept. One that cannot be loaded raises its
    ``AssetError`` each time it is asked for and leaves the others untouched. Safe to use from threads.
    """

    def __init__(
        self,
        descriptions: Iterable[ObjectDescription] = (),
        *,
        models: Iterable[ObjectModel] = (),
        continuous_steps: int = DEFAULT_STEPS,
    ) -> None:
        """Make a library of descriptions and of models already in memory.

        Raises:
            AssetError: Two of them claim the same name.
        """
        self._descriptions: dict[str, ObjectDescription] = {}
        self._models: dict[str, ObjectModel] = {}
        self._label_of_name: dict[str, str] = {}
        self._continuous_steps = continuous_steps
        self._lock = threading.Lock()
        for model in models:
            self._claim(model.label, model.label, model.mesh_path)
            self._models[model.label] = model
        for description in descriptions:
            for name in (description.label, *description.aliases):
                self._claim(name, description.label, description.source)
            self._descriptions[description.label] = description

    @classmethod
    def from_directory(cls, directory: str | Path, *, continuous_steps: int = DEFAULT_STEPS) -> ObjectLibrary:
        """All objects described by an ``object.yaml`` anywhere below a folder.

        Raises:
            AssetError: The folder is missing or holds no description, or one of them is wrong.
        """
        directory = resolve_path(directory)
        if not directory.is_dir():
            raise AssetError(f"{directory}: no such folder of objects")
        files = sorted(directory.rglob("object.yaml"))
        if not files:
            raise AssetError(f"{directory}: no object.yaml in this folder or below")
        return cls([read_description(file) for file in files], continuous_steps=continuous_steps)

    def weights(self) -> Path | None:
        """The weights that all objects name together; None where they name none, or not the same.

        One network serves all objects of a node. That some weights cannot be used is said aloud.
        """
        named = {label: d.weights_path for label, d in self._descriptions.items() if d.weights_path is not None}
        files = set(named.values())
        if not files:
            return None
        if len(files) == 1 and len(named) == len(self):
            return files.pop()
        logger.warning(
            "%s: made with weights of their own, which serve no other object here; the common ones are used. "
            "Serve each object by a node of its own to use them, or name weights",
            ", ".join(sorted(named)),
        )
        return None

    def subset(self, labels: Iterable[str]) -> ObjectLibrary:
        """Only these objects, under all their names; what is loaded already stays loaded."""
        part = ObjectLibrary(continuous_steps=self._continuous_steps)
        kept = set(labels)
        with self._lock:
            part._label_of_name = {name: label for name, label in self._label_of_name.items() if label in kept}
            part._descriptions = {label: d for label, d in self._descriptions.items() if label in kept}
            part._models = {label: m for label, m in self._models.items() if label in kept}
        return part

    def label_of(self, name: str) -> str | None:
        """The label of an object known by this label or alias; None when nobody is."""
        return self._label_of_name.get(name)

    def __getitem__(self, name: str) -> ObjectModel:
        label = self._label_of_name.get(name)
        if label is None:
            close = difflib.get_close_matches(str(name), list(self._label_of_name), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(self)) or 'none'}"
            raise UnknownObjectError(f"unknown object {name!r}, {hint}")
        with self._lock:
            if label not in self._models:
                self._models[label] = load_described(self._descriptions[label], continuous_steps=self._continuous_steps)
            return self._models[label]

    def __contains__(self, name: object) -> bool:
        """True for a label or alias; loads nothing."""
        return name in self._label_of_name

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._label_of_name.values()))

    def __len__(self) -> int:
        return len(set(self._label_of_name.values()))

    def _claim(self, name: str, label: str, source: str) -> None:
        if name in self._label_of_name:
            raise AssetError(f"{source or label}: the name {name!r} already belongs to {self._label_of_name[name]!r}")
        self._label_of_name[name] = label
