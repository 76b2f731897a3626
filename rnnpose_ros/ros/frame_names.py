"""How the frames of objects are called."""

from __future__ import annotations

import re


def frame_name(template: str, *, prefix: str, label: str, number: int) -> str:
    """The child frame of an object: no leading slash, no blanks or other signs that tools stumble on."""
    name = f"{prefix}{template.format(class_id=label, instance=number)}".lstrip("/")
    return re.sub(r"[^\w/.-]", "_", name)
