"""``--set name=value`` on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnpose_ros.errors import ConfigError


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """Dotted names to their values as written.

    Raises:
        ConfigError: An entry has no equals sign.
    """
    values: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected name=value, got {setting!r}")
        values[name.strip()] = value.strip()
    return values


def node_settings(params_file: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """A node's parameters of a file and of ``--set``, which stands above it.

    Raises:
        ConfigError: The file cannot be read, or an entry has no equals sign.
    """
    from rnnpose_ros.ros.parameter_file import read_parameter_file

    return {**(read_parameter_file(params_file) if params_file else {}), **parse_settings(settings)}
