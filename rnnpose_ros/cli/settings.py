"""``--set name=value`` on the command line."""

from __future__ import annotations

from collections.abc import Sequence

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
