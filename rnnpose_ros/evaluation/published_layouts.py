"""How published tables name, order and judge the objects of LINEMOD and Occlusion-LINEMOD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rnnpose_ros.data.bop.models import BopModels, label_of

_LINEMOD_NAMES = {
    1: "ape",
    2: "benchvise",
    4: "camera",
    5: "can",
    6: "cat",
    8: "driller",
    9: "duck",
    10: "eggbox",
    11: "glue",
    12: "holepuncher",
    13: "iron",
    14: "lamp",
    15: "phone",
}
_OCCLUSION_IDS = (1, 5, 6, 8, 9, 10, 11, 12)
_JUDGED_BY_ADD_S = frozenset({10, 11})


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Rows of the table per object."""

    title: str
    names: Mapping[int, str]
    """By BOP object id, in the table's order. Objects that are not named here do not count in its mean."""
    symmetric: frozenset[int] = field(default_factory=frozenset)
    """Judged by ADD-S and marked with a star."""

    def name(self, object_id: int) -> str:
        """As the table prints it."""
        star = "*" if object_id in self.symmetric else ""
        return self.names.get(object_id, label_of(object_id)) + star


LINEMOD = TableLayout("LINEMOD", _LINEMOD_NAMES, _JUDGED_BY_ADD_S)
OCCLUSION_LINEMOD = TableLayout(
    "Occlusion-LINEMOD", {number: _LINEMOD_NAMES[number] for number in _OCCLUSION_IDS}, _JUDGED_BY_ADD_S
)
_OF_FOLDER = {"lm": LINEMOD, "linemod": LINEMOD, "lmo": OCCLUSION_LINEMOD}


def layout_of(dataset: Path, models: BopModels) -> TableLayout:
    """The layout of a dataset by its folder's name (``lm``, ``lmo``); else its own objects and symmetries."""
    published = _OF_FOLDER.get(dataset.resolve().name.lower())
    if published is not None:
        return published
    symmetric = frozenset(number for number, entry in models.objects.items() if entry.is_symmetric)
    return TableLayout(dataset.resolve().name, {number: label_of(number) for number in models.objects}, symmetric)
