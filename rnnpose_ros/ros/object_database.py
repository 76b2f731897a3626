"""What class names mean, in YAML: vision_msgs leaves that to a database whose place VisionInfo announces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rnnpose_ros.types import ObjectModel


def database_yaml(objects: Mapping[str, ObjectModel]) -> str:
    """``objects: {<class_id>: {mesh, mesh_scale, diameter, symmetries}}``; metres, symmetries as in BOP."""
    return str(yaml.safe_dump({"objects": {label: _entry(model) for label, model in objects.items()}}))


def _entry(model: ObjectModel) -> dict[str, Any]:
    symmetries: dict[str, Any] = {}
    if model.symmetry_axes is not None:
        symmetries["continuous"] = [
            {"axis": axis.tolist(), "offset": offset.tolist()} for axis, offset in model.symmetry_axes.double()
        ]
    elif len(model.symmetries) > 1:
        symmetries["discrete"] = [T.double().flatten().tolist() for T in model.symmetries[1:]]
    return {
        "mesh": model.mesh_path,
        "mesh_scale": float(model.mesh_scale),
        "diameter": float(model.diameter),
        "symmetries": symmetries,
    }
