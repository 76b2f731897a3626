"""What the node refuses before its first picture."""

from __future__ import annotations

import pytest

from rnnpose_ros.config import build
from rnnpose_ros.errors import BackendUnavailableError, ConfigError
from rnnpose_ros.ros.loading import load_engine
from rnnpose_ros.ros.parameters import NodeConfig


def test_a_renderer_that_is_not_installed_stops_the_node_and_is_not_replaced(without_pytorch3d):
    with pytest.raises(BackendUnavailableError, match="build it from source"):
        load_engine(build(NodeConfig, {"renderer": "pytorch3d", "device": "cpu"}))


def test_an_unknown_renderer_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"warp.*pytorch3d"):
        build(NodeConfig, {"renderer": "opengl"})
