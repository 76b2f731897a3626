"""``--set name=value`` on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def node_settings(
    params_file: Path | None, settings: Sequence[str], *, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A node's parameters of a file, of arguments of their own, and of ``--set``; each stands above those before it.

    Args:
        params_file: YAML; None for none.
        settings: Of ``--set``.
        given: What other arguments say; empty ones say nothing.

    Raises:
        ConfigError: The file cannot be read, or an entry has no equals sign.
    """
    from rnnpose_ros.ros.parameter_file import read_parameter_file

    values = read_parameter_file(params_file) if params_file else {}
    values.update({name: value for name, value in (given or {}).items() if value})
    return {**values, **parse_settings(settings)}
