"""The renderers by their names. One that is not asked for is not imported either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnpose_ros.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from rnnpose_ros.rendering.renderer import Renderer

RENDERERS = ("warp", "pytorch3d")
"""The default first."""


def make_renderer(name: str, device: str | torch.device = "cpu") -> Renderer:
    """The renderer of this name, and never another in its place.

    Args:
        name: One of ``RENDERERS``.
        device: "cpu", "cuda" or "cuda:<number>".

    Raises:
        ConfigError: There is no such name.
        BackendUnavailableError: Its library or the device is not here.
    """
    if name == "warp":
        from rnnpose_ros.rendering.warp_renderer import WarpRenderer

        return WarpRenderer(device)
    if name == "pytorch3d":
        from rnnpose_ros.rendering.pytorch3d_renderer import PyTorch3DRenderer

        return PyTorch3DRenderer(device)
    raise ConfigError(f"renderer: expected one of {', '.join(RENDERERS)}, got {name!r}")
