"""Lines across a rendered outline, and what the photograph says along them.

Were the true outline ``d`` pixels farther out on a line than the render's, all pixels up to ``d`` would lie within and
all others not. So the log-likelihood of ``d`` is the running sum of the network's logits along the line
(:mod:`~rnnpose_ros.networks.outline`). Its mean and variance near the present pose are what the line measures, as the
correspondence lines of region-based trackers do (Kehl et al. 2017, Stoiber et al. 2022) with statistics of colours in
the place of a network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.geometry.camera import NEAR_M, backproject
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.networks.outline import STRIDE
from rnnpose_ros.refinement.comparison import blurred, eroded
from rnnpose_ros.refinement.field import CycleInputs

_LEAST_LINES = 12
_SMOOTHING_PX = 1.2
"""Of the rendered mask, whose slope is the outline's direction and whose value at a pixel its distance."""
_SAMPLE_PX = 0.5
"""Between the places of a line."""
_OUTLIER_SCALE = 1.48
"""Of the median distance: its standard deviation, were distances Gaussian; from there on a line counts less."""
_LEAST_SCALE_PX = 1.0


@dataclass(frozen=True, slots=True)
class OutlineConfig:
    """How poses are fitted to outlines."""

    rounds: int = param(
        3,
        doc="Fits to the outline after the last cycle, each on a render of its own, the best of which stands; 0: the "
        "outline speaks in the score alone",
        bounds=(0, 10),
        dynamic=True,
    )
    steps: int = param(2, doc="Steps of the fit at each reach", bounds=(1, 20))
    clear_agreement: float = param(
        0.6,
        doc="Correlation of render and photograph from which on the outline is not asked for; -1: never, 1: always",
        bounds=(-1.0, 1.0),
        dynamic=True,
    )
    looseness: float = param(
        16.0, doc="Factor on the covariance of what the cycles found, while it is fitted", bounds=(0.1, 1000.0)
    )
    least_overlap: float = param(
        0.65, doc="Overlap of render and outline under which no fit is taken", bounds=(0.0, 1.0), dynamic=True
    )
    lines: int = param(240, doc="Lines across the outline, at most", bounds=(12, 2000))
    reach_px: float = param(
        24.0,
        doc="How far along its line the outline is looked for at first; then half and a quarter as far",
        unit="crop px",
        bounds=(1.0, 64.0),
    )
    evidence: float = param(0.2, doc="Factor on the logits, whose errors neighbouring pixels share", bounds=(0.01, 1.0))
    least_std_px: float = param(
        0.5, doc="Standard deviation of a line's measurement at the least", unit="crop px", bounds=(0.01, 10.0)
    )
    correlated: float = param(4.0, doc="Neighbouring lines that count as one measurement", bounds=(1.0, 1e4))


@dataclass(frozen=True, slots=True, eq=False)
class OutlineLines:
    """Lines across the outline of a render, and what the photograph says along them; float64 on the CPU."""

    points_render: Float[Tensor, "N 3"]
    """Where the surface ends, camera frame of the render, metres."""
    uv: Float[Tensor, "N 2"]
    """Their crop pixels."""
    normals: Float[Tensor, "N 2"]
    """Outward."""
    distances: Float[Tensor, "M"]
    """Of the lines' places from the outline of the render, outward, pixels."""
    evidence: Float[Tensor, "N M"]
    """Log-likelihood of the true outline's passing there, up to a constant of each line."""
    K: Float[Tensor, "3 3"]
    T_object_render: Float[Tensor, "4 4"]
    centre_object: Float[Tensor, "3"]
    diameter: float


def outline_lines(inputs: CycleInputs, within: Float[Tensor, "h w"], *, config: OutlineConfig) -> OutlineLines | None:
    """Lines across the rendered outline.

    Args:
        inputs: Render and photograph of one object.
        within: Logits that the photograph's pixels lie within the outline, every second pixel of the crop.
        config: See :class:`OutlineConfig`.

    Returns:
        None where the render shows too little of an outline.
    """
    depth = inputs.render.depth[0]
    mask = (depth > 0).float()
    rows, columns = _rim(mask).nonzero().T
    keep = slice(None, None, max(1, -(-len(rows) // config.lines)))
    rows, columns = rows[keep], columns[keep]
    soft = blurred(mask[None], _SMOOTHING_PX)[0]
    slope = torch.stack(
        [soft[rows, columns - 1] - soft[rows, columns + 1], soft[rows - 1, columns] - soft[rows + 1, columns]], -1
    )
    steepness = slope.norm(dim=-1)
    steep = steepness > 0.02
    if int(steep.sum()) < _LEAST_LINES:
        return None
    rows, columns, normals = rows[steep], columns[steep], slope[steep] / steepness[steep, None]
    # Of a straight edge blurred by a Gaussian, the value tells how far inside a pixel lies.
    inside_px = _SMOOTHING_PX * torch.special.ndtri(soft[rows, columns].clamp(0.05, 0.95))
    uv = torch.stack([columns, rows], -1).float()
    farthest = 2 * config.reach_px
    distances = torch.arange(-farthest, farthest + _SAMPLE_PX / 2, _SAMPLE_PX, device=uv.device)
    places = uv[:, None] + (inside_px[:, None, None] + distances[:, None]) * normals[:, None]
    logits = _sampled(within, places).clamp(-8.0, 8.0)
    # Of the place itself, half lies within.
    evidence = config.evidence * _SAMPLE_PX * (logits.cumsum(1) - 0.5 * logits)
    points = backproject(depth[rows, columns][None], uv[None], inputs.camera.K.to(depth))[0]
    return OutlineLines(
        points_render=points.double().cpu(),
        uv=uv.double().cpu(),
        normals=normals.double().cpu(),
        distances=distances.double().cpu(),
        evidence=evidence.double().cpu(),
        K=inputs.camera.K[0].double().cpu(),
        T_object_render=inverse(inputs.T_render[0].double()).cpu(),
        centre_object=inputs.centre_object[0].double().cpu(),
        diameter=float(inputs.diameter[0]),
    )


def measure(
    lines: OutlineLines, T_camera_object: Float[Tensor, "4 4"], *, reach_px: float, config: OutlineConfig
) -> tuple[Float[Tensor, "N 6"], Float[Tensor, "N"], Float[Tensor, "N"]]:
    """What each line says of a pose.

    Args:
        lines: Across the outline of a render at a pose near by.
        T_camera_object: The pose, float64.
        reach_px: How far along the lines the outline may lie.
        config: See :class:`OutlineConfig`.

    Returns:
        How a step in (v / D, omega) about the object's centre moves the pose's outline along the line, pixels; how much
        farther out the photograph's outline lies, pixels; and what that counts, 1 / square pixels.
    """
    points = transform(T_camera_object @ lines.T_object_render, lines.points_render)
    z = points[:, 2:].clamp_min(NEAR_M)
    focal = torch.stack([lines.K[0, 0], lines.K[1, 1]])
    uv = focal * points[:, :2] / z + lines.K[:2, 2]
    present = ((uv - lines.uv) * lines.normals).sum(-1)
    away = lines.distances - present[:, None]
    near = lines.evidence.masked_fill(away.abs() > reach_px, -torch.inf)
    probability = torch.softmax(near, 1).nan_to_num(0.0)  # of a line whose end is passed, nothing is known
    distance = (probability * away).sum(1)
    variance = (probability * (away - distance[:, None]) ** 2).sum(1)
    # Evenly likely everywhere within reach says nothing.
    weights = (1 / (variance + config.least_std_px**2) - 3 / reach_px**2).clamp_min(0.0)
    weights = torch.where(probability.sum(1) > 0.5, weights, torch.zeros_like(weights))
    scale = (_OUTLIER_SCALE * distance.abs().median()).clamp_min(_LEAST_SCALE_PX)
    weights = weights / (config.correlated * (1 + (distance / scale) ** 2))
    along = (
        torch.cat([lines.normals * focal, -(lines.normals * focal * points[:, :2]).sum(-1, keepdim=True) / z], -1) / z
    )
    centre = transform(T_camera_object, lines.centre_object[None])
    J = torch.cat([along * lines.diameter, torch.linalg.cross(points - centre, along)], -1)
    return J, distance, weights


def _rim(mask: Float[Tensor, "S S"]) -> Bool[Tensor, "S S"]:
    """Pixels of the mask that have one outside to a side; not at the crop's border, beyond which nothing is known."""
    rim = mask - eroded(mask, 1) > 0
    rim[[0, 1, -2, -1]] = False
    rim[:, [0, 1, -2, -1]] = False
    return rim


def _sampled(field: Float[Tensor, "h w"], places: Float[Tensor, "N M 2"]) -> Float[Tensor, "N M"]:
    """A field of every second pixel at places of the crop, bilinear; beyond it, nothing is known."""
    height, width = field.shape
    size = places.new_tensor([width - 1, height - 1])
    grid = places / STRIDE * 2 / size - 1
    return F.grid_sample(field[None, None], grid[None].to(field), align_corners=True)[0, 0].to(places)
