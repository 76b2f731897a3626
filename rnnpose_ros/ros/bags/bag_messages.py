"""The messages of recordings: their types, how new ones are made, and how they are made to fit a file."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

_DEFINITIONS = Path(__file__).resolve().parents[2] / "bootstrap" / "messages"
"""Of the packages that a plain ROS 2 does not bring."""


def long_name(kind: str) -> str:
    """``sensor_msgs/msg/Image`` from ``sensor_msgs/Image``."""
    package, _, name = kind.partition("/")
    return f"{package}/msg/{name}"


def short_name(kind: str) -> str:
    """``sensor_msgs/Image`` from ``sensor_msgs/msg/Image``."""
    return kind.replace("/msg/", "/")


@cache
def message_store() -> Typestore:
    """The types of a current ROS 2, those of vision_msgs among them."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for file in sorted(_DEFINITIONS.glob("vision_msgs/msg/*.msg")):
        types.update(get_types_from_msg(file.read_text(encoding="utf-8"), f"vision_msgs/msg/{file.stem}"))
    store.register(types)
    return store


class BagMessageMaker:
    """Makes messages for a recording; a :class:`~rnnpose_ros.ros.message_types.MessageMaker`."""

    def __call__(self, kind: str, /, **fields: Any) -> Any:
        """A message of ``package/Type`` with these fields; the others are zero or empty."""
        message = copy.deepcopy(_blank(long_name(kind)))
        for name, value in fields.items():
            if not hasattr(message, name):
                raise AttributeError(f"{kind} has no field {name!r}")
            setattr(message, name, value)
        return message


def fit_numbers(message: Any, name: str) -> Any:
    """The message with every list of numbers as the array that the file needs; changed in place and returned."""
    fields: Any = message_store().fielddefs[name][1]
    for field, (node, inner) in fields:
        value = getattr(message, field)
        if node == Nodetype.NAME:
            fit_numbers(value, inner)
        elif node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            element_node, element = inner[0]
            if element_node == Nodetype.NAME:
                for item in value:
                    fit_numbers(item, element)
            elif element[0] != "string":
                setattr(message, field, _as_array(value, element[0]))
    return message


@cache
def _blank(name: str) -> Any:
    store = message_store()
    message: Any = store.types[name](*[_zero(description) for _, description in store.fielddefs[name][1]])
    if name == "geometry_msgs/msg/Quaternion":
        message.w = 1.0  # the one default value among the types that are made here
    return message


def _zero(description: Any) -> Any:
    node, inner = description
    if node == Nodetype.NAME:
        return copy.deepcopy(_blank(inner))
    if node == Nodetype.BASE:
        return _SCALARS.get(inner[0], 0)
    (element_node, element), length = inner
    length = length if node == Nodetype.ARRAY else 0
    if element_node == Nodetype.NAME:
        return [copy.deepcopy(_blank(element)) for _ in range(length)]
    return [""] * length if element[0] == "string" else np.zeros(length, _dtype(element[0]))


_SCALARS = {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}


def _as_array(value: Any, base: str) -> np.ndarray:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return np.frombuffer(value, _dtype(base))
    # An array.array is taken as it lies, a list number by number.
    return np.ascontiguousarray(value, _dtype(base))


def _dtype(base: str) -> np.dtype:
    return np.dtype({"byte": "uint8", "char": "uint8", "octet": "uint8"}.get(base, base))
