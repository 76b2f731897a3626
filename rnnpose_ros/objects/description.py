"""``object.yaml``: what a person says about an object, read and checked before anything is loaded."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rnnpose_ros.errors import AssetError
from rnnpose_ros.paths import resolve_path

_KEYS = ("label", "mesh", "mesh_scale", "symmetries", "aliases", "weights", "detector_to_mesh")
_REQUIRED = ("label", "mesh", "mesh_scale")
_LEAST_NORM = 1e-6
_SYMMETRY_KEYS = ("discrete", "continuous", "models_info", "object_id")


@dataclass(frozen=True, slots=True)
class ObjectDescription:
    """One object as its file describes it; its mesh is not read yet."""

    label: str
    mesh_path: Path
    mesh_scale: float = 1.0
    """Factor from the mesh file's unit to metres."""
    discrete: tuple[Any, ...] = ()
    """BOP terms, lengths in ``symmetry_unit_m``."""
    continuous: tuple[Mapping[str, Any], ...] = ()
    symmetry_unit_m: float = 1.0
    aliases: tuple[str, ...] = field(default=())
    """Other names under which detectors know the object."""
    weights_path: Path | None = None
    """Weights made for this object; None: those for any mesh."""
    detector_to_mesh: tuple[float, ...] | None = None
    """x y z (metres) qx qy qz qw of the mesh's frame in the one that detectors mean; None where they are the same."""
    source: str = ""
    """The file this was read from, for messages."""

    def symmetries_in_metres(self) -> tuple[list[Any], list[Any]]:
        """``discrete`` and ``continuous`` with lengths in metres, as ``object.yaml`` has them.

        Raises:
            AssetError: A transform has not 16 numbers, or an axis not 3.
        """
        scale = self.symmetry_unit_m
        try:
            matrices = [np.array(matrix, float).reshape(4, 4) for matrix in self.discrete]
            lines = [(np.array(s["axis"], float), np.array(s.get("offset", (0, 0, 0)), float)) for s in self.continuous]
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise AssetError(f"{self.source}: symmetries: {error!r}") from None
        for matrix in matrices:
            matrix[:3, 3] *= scale
        continuous = [{"axis": axis.tolist(), "offset": (scale * offset).tolist()} for axis, offset in lines]
        return [matrix.tolist() for matrix in matrices], continuous


def read_description(path: str | Path) -> ObjectDescription:
    """The description in an ``object.yaml``.

    Keys: ``label``; ``mesh`` (a path from the file's folder, or ``package://``); ``mesh_scale`` (from the
    mesh's unit to metres, always explicit); ``symmetries`` (optional) with ``discrete`` and ``continuous``
    in BOP terms and metres, or ``models_info`` and ``object_id`` to take them from a BOP
    ``models_info.json``, in millimetres; ``aliases`` (optional); ``weights`` (optional), a path as ``mesh``;
    ``detector_to_mesh`` (optional): ``[x, y, z, qx, qy, qz, qw]`` of the mesh's frame in the one that detectors mean.

    Raises:
        AssetError: The file is missing or no YAML mapping, a key is missing or unknown, or a value is wrong.
    """
    path = Path(path)
    content = _read_yaml(path)
    _check_keys(content, _KEYS, str(path))
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise AssetError(f"{path}: missing {', '.join(missing)} (mesh_scale: 1.0 for metres, 0.001 for millimetres)")
    label = content["label"]
    if not isinstance(label, str) or not label:
        raise AssetError(f"{path}: label: expected a name, got {label!r}")
    aliases = content.get("aliases") or []
    if not isinstance(aliases, list) or not all(isinstance(a, str) for a in aliases):
        raise AssetError(f"{path}: aliases: expected a list of names, got {aliases!r}")
    discrete, continuous, unit_m = _read_symmetries(content.get("symmetries") or {}, path)
    return ObjectDescription(
        label=label,
        mesh_path=resolve_path(str(content["mesh"]), relative_to=path.parent),
        mesh_scale=check_scale(content["mesh_scale"], str(path)),
        discrete=discrete,
        continuous=continuous,
        symmetry_unit_m=unit_m,
        aliases=tuple(aliases),
        weights_path=_weights_path(content.get("weights"), path),
        detector_to_mesh=_detector_to_mesh(content.get("detector_to_mesh"), path),
        source=str(path),
    )


def _weights_path(value: Any, path: Path) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise AssetError(f"{path}: weights: expected a .safetensors file, got {value!r}")
    return resolve_path(value, relative_to=path.parent)


def _detector_to_mesh(value: Any, path: Path) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = value if isinstance(value, list) else []
    is_sound = len(numbers) == 7 and all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)
    if not is_sound or not math.hypot(*numbers[3:]) > _LEAST_NORM:
        raise AssetError(
            f"{path}: detector_to_mesh: expected [x, y, z, qx, qy, qz, qw] in metres with a rotation, got {value!r}"
        )
    return tuple(float(n) for n in numbers)


def check_scale(value: Any, name: str) -> float:
    """The factor as a positive finite number.

    Raises:
        AssetError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < float(value) < float("inf"):
        raise AssetError(f"{name}: mesh_scale: expected a positive number (metres per mesh unit), got {value!r}")
    return float(value)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssetError(f"{path}: no such object description") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AssetError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise AssetError(f"{path}: expected keys {', '.join(_KEYS)}, got {type(content).__name__}")
    return content


def _check_keys(content: Mapping[str, Any], known: tuple[str, ...], name: str) -> None:
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise AssetError(f"{name}: unknown key {key!r}, {hint}")


def _read_symmetries(content: Any, path: Path) -> tuple[tuple[Any, ...], tuple[Mapping[str, Any], ...], float]:
    if not isinstance(content, Mapping):
        raise AssetError(f"{path}: symmetries: expected keys {', '.join(_SYMMETRY_KEYS)}, got {content!r}")
    _check_keys(content, _SYMMETRY_KEYS, f"{path}: symmetries")
    if "models_info" in content:
        if "discrete" in content or "continuous" in content or "object_id" not in content:
            raise AssetError(f"{path}: symmetries: models_info goes with object_id and nothing else")
        info = _read_models_info(
            resolve_path(str(content["models_info"]), relative_to=path.parent), content["object_id"]
        )
        discrete, continuous = info.get("symmetries_discrete", ()), info.get("symmetries_continuous", ())
        return tuple(discrete), tuple(continuous), 0.001
    discrete, continuous = content.get("discrete") or (), content.get("continuous") or ()
    if not isinstance(discrete, (list, tuple)) or not isinstance(continuous, (list, tuple)):
        raise AssetError(f"{path}: symmetries: expected lists, got {content!r}")
    return tuple(discrete), tuple(continuous), 1.0


def _read_models_info(path: Path, object_id: Any) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssetError(f"{path}: no such models_info file") from None
    except (OSError, ValueError) as error:
        raise AssetError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(content, Mapping) or not isinstance(content.get(str(object_id)), Mapping):
        raise AssetError(f"{path}: expected an entry for object {str(object_id)!r}")
    return content[str(object_id)]
