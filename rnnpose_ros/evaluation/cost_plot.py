"""Time against work: objects in the picture and faces of their meshes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rnnpose_ros.evaluation.line_plot import Curve, log_plot
from rnnpose_ros.files import make_folder, write_whole

_COLORS = ("#3366aa", "#2a9d8f", "#e9a03b", "#c8553d", "#7b5ea7")
_STYLE = (
    "<style>text{font:12px sans-serif;fill:#444}.grid{stroke:#ddd;stroke-width:1}"
    "svg,rect.paper{background:#fff;fill:#fff}</style>"
)


def write_cost_plot(path: Path, p50_ms: Mapping[tuple[int, int], float]) -> None:
    """An SVG file with one curve for each number of faces.

    Args:
        path: Of the file.
        p50_ms: Median times by (objects, faces).

    Raises:
        OutputError: The file cannot be written.
    """
    objects = sorted({objects for objects, _ in p50_ms})
    faces = sorted({faces for _, faces in p50_ms})
    curves = [
        Curve(
            f"{count:,} faces",
            np.array([p50_ms.get((n, count), np.nan) for n in objects], dtype=np.float64),
            _COLORS[i % len(_COLORS)],
        )
        for i, count in enumerate(faces)
    ]
    drawn = log_plot(
        np.array(objects, dtype=np.float64),
        curves,
        x_title="objects in the picture",
        y_title="milliseconds, median",
        x_is_log=True,
    )
    drawn = drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="960" height="320" ', 1)
    start = drawn.index(">") + 1
    make_folder(path.parent)
    write_whole(path, drawn[:start] + _STYLE + drawn[start:])
