"""Reads the pinned dependencies from setup.cfg, the one place that names them."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Requirements:
    """Requirement lines in pip's form, by what they are for.

    Attributes:
        runtime: what the package imports.
        extras: further lists by the name of their extra: ``dev``, ``ros``, ``messages``, ``numpy1``.
    """

    runtime: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]

    @staticmethod
    def read(setup_cfg: Path) -> Requirements:
        """Reads the lists from a setup.cfg."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(setup_cfg, encoding="utf-8")
        extras = {name: _lines(text) for name, text in parser["options.extras_require"].items()}
        return Requirements(runtime=_lines(parser["options"]["install_requires"]), extras=extras)

    def runtime_for(self, numpy_major: int) -> tuple[str, ...]:
        """The runtime list, with the pins of extra ``numpy1`` in place of their namesakes where NumPy 1 is needed."""
        if numpy_major != 1:
            return self.runtime
        replaced = {package_name(line) for line in self.extras["numpy1"]}
        kept = tuple(line for line in self.runtime if package_name(line) not in replaced)
        return kept + self.extras["numpy1"]

    def only(self, names: set[str]) -> tuple[str, ...]:
        """The lines of the runtime and development lists that belong to the packages named."""
        return tuple(line for line in self.runtime + self.extras["dev"] if package_name(line) in names)


def package_name(requirement: str) -> str:
    """Returns the normalised name of ``Some_Name[extra]==1.0; marker``: ``some-name``."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    if name is None:
        raise ValueError(f"expected a requirement such as 'numpy==2.4.6', got {requirement!r}")
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def pinned_version(requirements: tuple[str, ...], name: str) -> str:
    """Returns the version that a list pins a package to."""
    for line in requirements:
        pin = re.search(r"==\s*([^;\s]+)", line)
        if package_name(line) == name and pin:
            return pin.group(1)
    raise KeyError(f"{name} is not pinned in setup.cfg")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())
