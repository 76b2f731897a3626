"""A sequence's object as a file that a refiner node reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rnnpose_ros.sources.sequence import Sequence


def describe_object(sequence: Sequence, folder: Path, *, label: str = "") -> Path:
    """Writes ``object.yaml`` with the sequence's own mesh, scale and symmetries.

    Args:
        sequence: Whose object it is.
        folder: That exists.
        label: Instead of the sequence's own.
    """
    model = sequence.object
    path = folder.resolve() / "object.yaml"
    body: dict[str, Any] = {
        "label": label or model.label,
        "mesh": str(Path(model.mesh_path).resolve()),
        "mesh_scale": model.mesh_scale,
    }
    if len(model.symmetries) > 1:
        body["symmetries"] = {"discrete": [T.flatten().tolist() for T in model.symmetries[1:]]}
    path.write_text(json.dumps(body))
    return path
