"""The objects of a BOP dataset: ``models/obj_000001.ply`` and what ``models_info.json`` says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.bop.json_files import M_PER_MM, read_by_number
from rnnpose_ros.errors import InputError
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.objects.mesh_io import load_mesh
from rnnpose_ros.objects.symmetry import DEFAULT_STEPS, symmetries_from_bop
from rnnpose_ros.types import ObjectModel

MAX_SYM_DISC_STEP = 0.01
"""Of BOP19: how far, in diameters, a point may travel between two samples of a continuous symmetry."""


def continuous_steps(max_sym_disc_step: float = MAX_SYM_DISC_STEP) -> int:
    """Samples of a full turn such that no point travels further than that share of the diameter."""
    return math.ceil(math.pi / max_sym_disc_step)


def label_of(object_id: int) -> str:
    """The name under which this package knows an object of a BOP dataset."""
    return f"obj_{object_id:06d}"


@dataclass(frozen=True, slots=True, eq=False)
class BopObject:
    """What ``models_info.json`` says of one object, its mesh not read yet."""

    object_id: int
    mesh_path: Path
    diameter: float
    """Metres."""
    info: Mapping[str, Any]
    """The entry as it is written, millimetres."""

    @property
    def is_symmetric(self) -> bool:
        """Whether the dataset names any symmetry of it."""
        return bool(self.info.get("symmetries_discrete") or self.info.get("symmetries_continuous"))

    def symmetries(self, *, steps: int) -> Float[Tensor, "S 4 4"]:
        """Its symmetries in metres, a continuous one in so many samples.

        Raises:
            AssetError: The file's symmetries are none.
        """
        return symmetries_from_bop(self.info, steps=steps, name=f"models_info.json: {self.object_id}")


class BopModels(Mapping[int, ObjectModel]):
    """The objects by id, each mesh read (to metres) when it is first asked for.

    An object's diameter is the one that the dataset states.
    """

    def __init__(self, folder: Path, *, steps: int = DEFAULT_STEPS) -> None:
        """Reads ``models_info.json``.

        Args:
            folder: ``models``, ``models_eval`` or the like.
            steps: Samples of a continuous symmetry.

        Raises:
            InputError: The file or a mesh that it names is missing, or it is damaged.
        """
        self.folder = folder
        self._steps = steps
        self._loaded: dict[int, ObjectModel] = {}
        expected = "diameter and symmetries of each object"
        entries = read_by_number(folder / "models_info.json", expected=expected)
        self.objects = {number: _described(folder, number, entry) for number, entry in entries.items()}

    def __getitem__(self, object_id: int) -> ObjectModel:
        if object_id not in self.objects:
            known = ", ".join(map(str, self.objects))
            raise InputError(f"{self.folder}: no object {object_id} in models_info.json; there are {known}")
        if object_id not in self._loaded:
            described = self.objects[object_id]
            mesh = load_mesh(described.mesh_path, scale=M_PER_MM)
            symmetries = described.symmetries(steps=self._steps)
            model = object_from_mesh(mesh, label=label_of(object_id), symmetries=symmetries)
            self._loaded[object_id] = replace(
                model, diameter=described.diameter, mesh_path=str(described.mesh_path), mesh_scale=M_PER_MM
            )
        return self._loaded[object_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self.objects)

    def __len__(self) -> int:
        return len(self.objects)


def _described(folder: Path, object_id: int, entry: Any) -> BopObject:
    name = f"{folder / 'models_info.json'}: {object_id}"
    diameter = entry.get("diameter") if isinstance(entry, Mapping) else None
    if isinstance(diameter, bool) or not isinstance(diameter, (int, float)) or not 0.0 < diameter < math.inf:
        raise InputError(f"{name}: diameter: expected millimetres above 0, got {diameter!r}")
    mesh_path = folder / f"{label_of(object_id)}.ply"
    if not mesh_path.is_file():
        raise InputError(f"{mesh_path}: no such mesh; models_info.json has an entry for object {object_id}")
    return BopObject(object_id, mesh_path, diameter * M_PER_MM, entry)
