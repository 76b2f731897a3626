"""Configuration: frozen dataclasses whose fields carry their documentation, unit and bounds.

One source feeds ROS parameters, YAML files, ``--set a.b=c`` and checkpoints. Nested dataclasses give
dotted names. Unknown names are refused and all errors of a set are reported together.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from rnnpose_ros.errors import ConfigError

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """What is known about one parameter."""

    doc: str
    unit: str = ""
    bounds: tuple[int | float, int | float] | None = None
    choices: tuple[Any, ...] | None = None
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """One leaf of a configuration type: dotted name, python type, default and specification."""

    name: str
    type: Any
    default: Any
    spec: ParamSpec


def param(
    default: Any,
    *,
    doc: str,
    unit: str = "",
    bounds: tuple[int | float, int | float] | None = None,
    choices: tuple[Any, ...] | None = None,
    dynamic: bool = False,
) -> Any:
    """A dataclass field with its documentation.

    Args:
        default: Immutable default value (use tuples for lists).
        doc: One sentence.
        unit: SI unit, empty for none.
        bounds: Inclusive range; for tuples it holds for every element.
        choices: Allowed values.
        dynamic: True if it may change while running.
    """
    spec = ParamSpec(doc=doc, unit=unit, bounds=bounds, choices=choices, dynamic=dynamic)
    return dataclasses.field(default=default, metadata={"param": spec})


def parameters(config_type: type) -> tuple[Parameter, ...]:
    """All leaves of a configuration type, depth first, in the order they are written."""
    hints = get_type_hints(config_type)
    leaves: list[Parameter] = []
    for field in dataclasses.fields(config_type):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            inner = parameters(kind)  # type: ignore[arg-type]
            leaves += [dataclasses.replace(p, name=f"{field.name}.{p.name}") for p in inner]
        else:
            spec = field.metadata.get("param", ParamSpec(doc=""))
            leaves.append(Parameter(field.name, kind, field.default, spec))
    return tuple(leaves)


def flatten(config: Any) -> dict[str, Any]:
    """The values of a configuration under their dotted names."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values.update({f"{field.name}.{name}": inner for name, inner in flatten(value).items()})
        else:
            values[field.name] = value
    return values


def build(config_type: type[Config], values: Mapping[str, Any] | None = None, *, base: Config | None = None) -> Config:
    """A configuration from dotted names.

    Args:
        config_type: A frozen dataclass made with :func:`param`.
        values: Dotted names to values. Strings are read as the parameter's type.
        base: Where values that are not named come from; the defaults when None.

    Raises:
        ConfigError: Names every unknown name and every value of a wrong type or outside its bounds.
    """
    known = {p.name: p for p in parameters(config_type)}
    merged = flatten(base) if base is not None else {name: p.default for name, p in known.items()}
    problems: list[str] = []
    for name, value in (values or {}).items():
        if name not in known:
            problems.append(unknown_name(name, list(known)))
            continue
        try:
            merged[name] = check(known[name], value)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))
    return _assemble(config_type, merged, "")


def check(parameter: Parameter, value: Any) -> Any:
    """The value as the parameter's type, inside its bounds.

    Raises:
        ConfigError: Says the name, what was expected and what came.
    """
    try:
        converted = _convert(parameter.type, value)
    except (TypeError, ValueError):
        expected = getattr(parameter.type, "__name__", str(parameter.type))
        raise ConfigError(f"{parameter.name}: expected {expected}, got {value!r}") from None
    spec = parameter.spec
    elements = converted if isinstance(converted, tuple) else (converted,)
    if spec.choices is not None and any(e not in spec.choices for e in elements):
        raise ConfigError(f"{parameter.name}: expected one of {list(spec.choices)}, got {value!r}")
    if spec.bounds is not None:
        low, high = spec.bounds
        if any(not (low <= e <= high) for e in elements):
            unit = f" {spec.unit}" if spec.unit else ""
            raise ConfigError(f"{parameter.name}: expected {low} to {high}{unit}, got {value!r}")
    return converted


def unknown_name(name: str, known: list[str]) -> str:
    """What to say of a parameter that does not exist, with the nearest one that does."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return f"unknown parameter {name!r}{hint}"


def _convert(kind: Any, value: Any) -> Any:
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]
        if isinstance(value, str):
            value = [v.strip() for v in value.strip("[]() ").split(",") if v.strip()]
        return tuple(_convert(element, v) for v in value)
    if kind is bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise TypeError
    if kind is int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise TypeError
        return int(value)
    if kind is float:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
        if math.isnan(number):
            raise ValueError
        return number
    if kind is str:
        if not isinstance(value, str):
            raise TypeError
        return value
    raise TypeError(f"configuration fields of type {kind} are not supported")


def _assemble(config_type: type[Config], values: Mapping[str, Any], prefix: str) -> Config:
    hints = get_type_hints(config_type)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(config_type):  # type: ignore[arg-type]
        kind = hints[field.name]
        name = prefix + field.name
        nested = isinstance(kind, type) and dataclasses.is_dataclass(kind)
        arguments[field.name] = _assemble(kind, values, name + ".") if nested else values[name]
    return config_type(**arguments)
