"""What the doctor finds, and how it is written down."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum

_WIDTH = 118


class Level(str, Enum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    """It works, but not as well as it could, or not for everything."""
    ERROR = "ERROR"
    """Something asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    section: str
    level: Level
    text: str
    remedy: str = ""
    """What to do; empty where nothing needs to be done."""


def ok(section: str, text: str) -> Finding:
    """As it should be."""
    return Finding(section, Level.OK, text)


def warn(section: str, text: str, remedy: str) -> Finding:
    """To be looked at."""
    return Finding(section, Level.WARN, text, remedy)


def error(section: str, text: str, remedy: str) -> Finding:
    """To be mended."""
    return Finding(section, Level.ERROR, text, remedy)


def as_lines(finding: Finding) -> str:
    """For the terminal, without the section."""
    lines = textwrap.wrap(finding.text, _WIDTH - 8) or [""]
    written = [f"  {finding.level.value:5s} {lines[0]}", *(f"        {line}" for line in lines[1:])]
    if finding.remedy:
        remedy = textwrap.wrap(finding.remedy, _WIDTH - 11, break_long_words=False, break_on_hyphens=False)
        written += [f"        -> {remedy[0]}", *(f"           {line}" for line in remedy[1:])]
    return "\n".join(written)


def as_json(findings: Sequence[Finding]) -> str:
    """One object: ``findings`` in order, and the number of each level."""
    body = {"findings": [asdict(finding) for finding in findings], **counts(findings)}
    return json.dumps(body, indent=2)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each level."""
    levels = [finding.level for finding in findings]
    return {level.value: levels.count(level) for level in Level}
