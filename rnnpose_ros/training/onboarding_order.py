"""What to onboard, and the folder in which an interrupted onboarding waits."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnpose_ros.data.held_out.painters import Painter
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.evaluation.certificate_page import CERTIFICATE_FILE, CERTIFICATE_FILES
from rnnpose_ros.files import make_folder, write_json
from rnnpose_ros.types import Mesh


@dataclass(frozen=True, slots=True, eq=False)
class OnboardingOrder:
    """What to onboard, and how."""

    folder: Path
    """Of the object; it becomes complete there."""
    label: str
    mesh: Mesh
    """Checked, in metres."""
    findings: tuple[str, ...]
    """Of the check."""
    symmetries: str
    """In words."""
    initial: Path
    """Weights to start from."""
    painter: Painter
    """Of the held-out pictures."""
    budget_s: float
    """Of wall time, for everything after the check of the mesh."""
    discrete: Sequence[Any] = ()
    """Symmetries as in ``object.yaml``, metres."""
    continuous: Sequence[Any] = ()
    bar: float = 0.9
    """Least share of right poses from N1."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the recipe ``finetune``, by dotted name."""
    seed: int = 1

    @property
    def identity(self) -> dict[str, str]:
        """What must be the same for an interrupted run to go on."""
        digest = hashlib.sha256()
        mesh = self.mesh
        for tensor in (mesh.vertices, mesh.faces, mesh.vertex_colors, mesh.corner_uvs, mesh.texture):
            digest.update(b"-" if tensor is None else tensor.contiguous().cpu().numpy().tobytes())
        return {
            "mesh": digest.hexdigest()[:16],
            "symmetries": json.dumps([list(self.discrete), list(self.continuous)]),
            "weights": hashlib.sha256(self.initial.read_bytes()).hexdigest()[:16],
            "pictures": self.painter.name,
            "settings": json.dumps(dict(self.settings), sort_keys=True),
            "seed": str(self.seed),
        }

    @property
    def finished_identity(self) -> dict[str, str]:
        """What must be the same for a finished one to stand."""
        return {**self.identity, "budget_s": f"{self.budget_s:g}", "bar": f"{self.bar:g}"}


class WorkFolder:
    """``onboarding/`` in the object's folder: all that an interrupted run goes on from. Gone when it is done."""

    def __init__(self, order: OnboardingOrder) -> None:
        self.path = order.folder / "onboarding"
        self._order = order

    def claim(self) -> None:
        """Says whose work is in here, or refuses to mix two.

        Raises:
            ConfigError: An unfinished onboarding of something else waits here.
            OutputError: It cannot be written.
        """
        path = self.path / "order.json"
        then, now = _read(path), self._order.identity
        if then is not None:
            other = [name for name in now if then.get(name) != now[name]]
            if other:
                raise ConfigError(
                    f"{self.path} holds an unfinished onboarding with other {', '.join(other)}: give the same command "
                    "to go on with it, or remove that folder to start anew"
                )
            return
        make_folder(self.path)
        for name in CERTIFICATE_FILES:  # of an onboarding before: they no longer say what is here
            (self._order.folder / name).unlink(missing_ok=True)
        write_json(path, now)

    def plan(self) -> tuple[int, float] | None:
        """How many pictures and training minutes were decided on; None before that."""
        content = _read(self.path / "plan.json")
        return None if content is None else (int(content["views"]), float(content["minutes"]))

    def decide(self, views: int, minutes: float) -> None:
        """Keeps the decision, so that a resumed run ends as it began."""
        write_json(self.path / "plan.json", {"views": views, "minutes": minutes})

    def finished_verdict(self) -> tuple[bool, str] | None:
        """Whether the same order is certified, and the sentence; None where it is not finished."""
        content = _read(self._order.folder / CERTIFICATE_FILE)
        if content is None or content.get("order") != self._order.finished_identity or self.path.exists():
            return None
        return bool(content["certified"]), str(content["verdict"])

    def remove(self) -> None:
        """All is done."""
        shutil.rmtree(self.path, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
