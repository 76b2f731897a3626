"""The correlation lookup as one kernel: ``CorrelationPyramid.lookup`` in one pass a level, for the processor.

The window's places are whole cells apart, so all of them lie at the same fraction between cells: a window of side n
reads n + 1 rows of n + 1 values once and blends neighbours, instead of finding each place by itself.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.networks.correlation import CorrelationPyramid
from rnnpose_ros.rendering.warp_launch import launch, shared_memory, start_warp

wp.set_module_options({"enable_backward": False})


@wp.func
@no_type_check
def _value(row: wp.array(dtype=wp.float32), u: int):
    """0 outside."""
    if u < 0 or u >= row.shape[0]:
        return wp.float32(0.0)
    return row[u]


@wp.kernel
@no_type_check
def _look_up(
    centres: wp.array(dtype=wp.vec2f),
    volume: wp.array3d(dtype=wp.float32),
    factor: float,
    radius: int,
    first: int,
    found: wp.array2d(dtype=wp.float32),
):
    cell = wp.tid()
    height = volume.shape[1]
    side = 2 * radius + 1
    centre = (centres[cell] - wp.vec2f(0.5 * (factor - 1.0), 0.5 * (factor - 1.0))) / factor
    # Far outside all is 0; held there, the whole part fits an integer.
    u = wp.clamp(centre[0], -1.0e4, 1.0e4) - float(radius)
    v = wp.clamp(centre[1], -1.0e4, 1.0e4) - float(radius)
    u0, v0 = int(wp.floor(u)), int(wp.floor(v))
    right, below = u - float(u0), v - float(v0)
    for i in range(side * side):
        found[cell, first + i] = 0.0
    for i in range(side + 1):
        if v0 + i >= 0 and v0 + i < height:
            row = volume[cell, v0 + i]
            value = _value(row, u0)
            for j in range(side):
                following = _value(row, u0 + j + 1)
                between = value + right * (following - value)
                value = following
                if i < side:
                    at = first + i * side + j
                    found[cell, at] = found[cell, at] + (1.0 - below) * between
                if i > 0:
                    at = first + (i - 1) * side + j
                    found[cell, at] = found[cell, at] + below * between


def fused_lookup(pyramid: CorrelationPyramid, centre: Float[Tensor, "B h w 2"]) -> Float[Tensor, "B h w C"]:
    """See :meth:`~rnnpose_ros.networks.correlation.CorrelationPyramid.lookup`, here with the channels last.

    Args:
        pyramid: In the processor's memory, float32; not with the published conventions.
        centre: Expected targets in units of photograph cells, (u, v).
    """
    start_warp()
    batch, height, width, _ = centre.shape
    found = torch.empty(batch, height, width, pyramid.channels)
    side = 2 * pyramid.radius + 1
    # Held until the launches are over: the kernel's arguments are their addresses alone.
    centres, volumes = centre.float().contiguous(), [volume.float().contiguous() for volume in pyramid.levels]
    given, rows = shared_memory(centres.view(-1, 2), wp.vec2f), shared_memory(found.view(-1, pyramid.channels))
    for level, volume in enumerate(volumes):
        place = [float(2**level), pyramid.radius, level * side * side]
        launch(_look_up, len(volume), [given, shared_memory(volume[:, 0]), *place, rows])
    return found
