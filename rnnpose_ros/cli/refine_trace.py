"""The folder of ``rnnpose refine --trace``: a picture of everything, one that moves, and a page that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from torch import Tensor

from rnnpose_ros.errors import InputError
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.objects.symmetry import nearest_symmetric
from rnnpose_ros.refinement.trace_film import encode_film
from rnnpose_ros.refinement.trace_pictures import as_rgb, color_wheel, draw_trace, field_scales
from rnnpose_ros.sources.sequence import write_image
from rnnpose_ros.types import ImageFrame, IterationTrace, ObjectModel, PoseHypothesis, RefinementResult

KINDS = {
    "boxes": "pose boxes",
    "field": "field: the network's answer",
    "rectified": "field, rectified by the pose",
    "warped": "photo, warped along the field",
    "similarity": "similarity",
}
"""Pictures of every iteration, and what the page calls them."""
_WHEEL_PX = 96
_STYLE = """
body{margin:0;padding:24px;background:#f6f7f9;color:#1c2430;font:15px/1.5 system-ui,sans-serif}
main{max-width:1280px;margin:0 auto}h1{font-size:24px;margin:0}h2{font-size:17px;margin:28px 0 8px}
p{margin:6px 0;color:#5d6877}.film{width:100%;max-width:1000px}.row{display:grid;gap:10px;margin-bottom:14px;
grid-template-columns:repeat(auto-fill,minmax(200px,1fr))}figure{margin:0}img{width:100%;display:block;
background:#000;border-radius:4px}figcaption{font-size:13px;color:#5d6877;padding-top:3px}
.wheel{width:96px;display:inline-block;vertical-align:middle;margin-right:12px}
"""


def write_trace(
    folder: Path,
    frame: ImageFrame,
    hypothesis: PoseHypothesis,
    result: RefinementResult,
    model: ObjectModel,
    *,
    T_camera_object_truth: Tensor | None = None,
) -> list[Path]:
    """Writes the pictures of a refinement; returns their paths in order of their names.

    A refinement that could not begin has no pictures: its page says so.

    Args:
        folder: Made where it is missing.
        frame: The picture that was refined.
        hypothesis: Where the refinement began.
        result: With its trace.
        model: The object.
        T_camera_object_truth: Drawn in blue where it is known.

    Raises:
        InputError: The folder or a file cannot be written.
    """
    trace, truth = result.trace or (), T_camera_object_truth
    written = [folder / "index.html"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if trace:
            pictures = draw_trace(
                trace, frame, model, hypothesis.T_camera_object, T_camera_object_truth=T_camera_object_truth
            )
            named = {
                f"{stem}_{kind}.png": getattr(p, kind)
                for stem, p in zip(_stems(trace), pictures, strict=True)
                for kind in KINDS
            }
            for cycle, step in _first_of_cycles(trace).items():
                named |= {f"{cycle}_photo.png": as_rgb(step.photo), f"{cycle}_render.png": as_rgb(step.render)}
            named["wheel.png"] = color_wheel(_WHEEL_PX)
            for name, picture in named.items():
                write_image(folder / name, picture)
            (folder / "refinement.gif").write_bytes(encode_film(trace, pictures))
            written += [folder / name for name in (*named, "refinement.gif")]
        (folder / "index.html").write_text(_page(result, model, truth), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the trace to {folder}: {error.strerror}") from None
    return sorted(written)


def _stems(trace: Sequence[IterationTrace]) -> list[str]:
    """``c0_i0`` and so on, with as many digits as let the names sort."""
    digits = len(str(max(step.iteration for step in trace)))
    return [f"{name}_i{step.iteration:0{digits}d}" for name, step in zip(_cycle_names(trace), trace, strict=True)]


def _cycle_names(trace: Sequence[IterationTrace]) -> list[str]:
    digits = len(str(max(step.cycle for step in trace)))
    return [f"c{step.cycle:0{digits}d}" for step in trace]


def _first_of_cycles(trace: Sequence[IterationTrace]) -> dict[str, IterationTrace]:
    return {name: step for name, step in zip(_cycle_names(trace), trace, strict=True) if step.iteration == 0}


def _page(result: RefinementResult, model: ObjectModel, truth: Tensor | None) -> str:
    title = f"Refinement of {escape(result.label)}: {result.status.value}, score {result.score:.2f}"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    body = (
        _sheet(result.trace, model, truth) if result.trace else "<p>Nothing was solved, so there are no pictures.</p>"
    )
    return f"{head}<main><h1>{title}</h1>{body}</main></html>\n"


def _sheet(trace: Sequence[IterationTrace], model: ObjectModel, truth: Tensor | None) -> str:
    known = ", blue truth" if truth is not None else ""
    parts = [
        '<p><img class="film" src="refinement.gif" alt="the refinement, iteration by iteration"></p>',
        f"<p>Boxes: white initial pose, red estimate{known}.</p>",
        '<p><img class="wheel" src="wheel.png" alt="key to the colours">Fields: motion from the render to the '
        "photo, white is none; what the rim of the wheel stands for is said of each cycle.</p>",
    ]
    scales_px = field_scales(trace)
    for cycle, stem, step in zip(_cycle_names(trace), _stems(trace), trace, strict=True):
        if step.iteration == 0:
            pair = _figure(f"{cycle}_photo.png", "photo") + _figure(f"{cycle}_render.png", "render")
            parts.append(
                f'<h2>Cycle {step.cycle}: rim {scales_px[step.cycle]:.1f} crop pixels</h2><div class="row">{pair}</div>'
            )
        figures = "".join(_figure(f"{stem}_{kind}.png", f"{stem} {text}") for kind, text in KINDS.items())
        parts.append(f'<p>Iteration {step.iteration}{_error(step, model, truth)}</p><div class="row">{figures}</div>')
    return "".join(parts)


def _figure(name: str, caption: str) -> str:
    text = escape(caption)
    return f'<figure><a href="{name}"><img src="{name}" alt="{text}"></a><figcaption>{text}</figcaption></figure>'


def _error(step: IterationTrace, model: ObjectModel, truth: Tensor | None) -> str:
    """How far the pose after an iteration is from the truth, in words."""
    if truth is None:
        return ""
    T, T_true = step.T_camera_object, nearest_symmetric(truth, model.symmetries, step.T_camera_object)
    turn_deg = float(rotation_angle(T[:3, :3].mT @ T_true[:3, :3]).rad2deg())
    away_mm = 1000.0 * float((T - T_true)[:3, 3].norm())
    return f": {turn_deg:.2f}° and {away_mm:.1f} mm from the truth"
