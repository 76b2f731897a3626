"""Reads a ROS 2 parameter file without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rnnpose_ros.errors import ConfigError

_ROS_OWN = ("use_sim_time", "qos_overrides")
"""Parameters that ROS itself declares for every node."""


def read_parameter_file(path: Path, *, node: str = "rnnpose") -> dict[str, Any]:
    """The values that a file gives to a node, under dotted names; later sections stand above earlier ones.

    Args:
        path: YAML with sections such as ``/**:`` or ``rnnpose:``, each with ``ros__parameters:``.
        node: Name of the node, without its namespace.

    Raises:
        ConfigError: It cannot be read, or is no parameter file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the parameter file {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    values: dict[str, Any] = {}
    for section, body in content.items() if isinstance(content, Mapping) else ():
        if section.rsplit("/", 1)[-1] in ("*", "**", node) and isinstance(body, Mapping):
            values.update(_flat(body.get("ros__parameters") or {}))
    if not values:
        raise ConfigError(f"{path}: no parameters for {node!r}; expected sections such as '/**:' with ros__parameters")
    return {name: value for name, value in values.items() if name.split(".")[0] not in _ROS_OWN}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
