"""Descriptors of the first crop, computed tile by tile where they are read."""

from __future__ import annotations

import pytest
import torch

from rnnpose_ros.geometry import official_crop as crop
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.networks.confidence import similarity
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.refinement.first_crop import FirstCrop, ZoomDescriptors, tiles_read
from rnnpose_ros.types import CameraIntrinsics

CAMERA: CameraIntrinsics = intrinsics(500.0, 500.0, 200.0, 200.0, width=400, height=400)
WINDOW = crop.FirstWindow(left=10, top=20, side=360)


@pytest.fixture(scope="module")
def network() -> PaperNetwork:
    torch.manual_seed(1)
    return PaperNetwork().eval()


def first_crop(network: PaperNetwork) -> FirstCrop:
    picture = torch.randint(0, 256, (400, 400, 3), generator=torch.Generator().manual_seed(2)).byte()
    return FirstCrop(network, picture, CAMERA, WINDOW)


@torch.inference_mode()
def test_what_is_read_of_tiles_is_what_the_whole_map_holds(network):
    whole = network.describe(first_crop(network).photo[None])[0]
    first = first_crop(network)
    render = torch.nn.functional.normalize(torch.randn(1, 32, 1, 300), dim=1)
    for window in (crop.ZoomWindow(61.3, 72.9, 184.0), crop.ZoomWindow(-30.0, 250.0, 150.0)):
        descriptors = ZoomDescriptors(first, window)
        for centre in (20.0, 130.0, 225.0):
            uv = centre + 30 * torch.randn(300, 2)
            ours = similarity(render, descriptors.around(uv)[None], uv[None, None], torch.tensor(0.5))
            theirs = similarity(render, crop.cut_zoom(whole, window)[None], uv[None, None], torch.tensor(0.5))
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_only_the_tiles_that_are_read_are_computed_and_each_once(network, monkeypatch):
    asked = []
    describe = network.descriptor2d.describe
    monkeypatch.setattr(
        network.descriptor2d, "describe", lambda decoded, boxes: (asked.extend(boxes), describe(decoded, boxes))[1]
    )
    descriptors = ZoomDescriptors(first_crop(network), crop.ZoomWindow(80.0, 80.0, 160.0))
    uv = torch.tensor([[120.0, 120.0]])  # of the first crop: (160, 160), where four tiles meet
    for _ in range(2):
        descriptors.around(uv)
    assert sorted((b.top, b.left) for b in asked) == [(144, 144), (144, 160), (160, 144), (160, 160)]
    descriptors.around(uv + 40.0)
    assert len(set(asked)) == len(asked) > 4


def test_positions_outside_of_the_zoom_or_nowhere_read_nothing():
    window = crop.ZoomWindow(80.0, 80.0, 160.0)
    uv = torch.tensor([[-3.0, 10.0], [10.0, 241.0], [float("nan"), 5.0], [float("inf"), 5.0]])
    assert not tiles_read(uv, window).any()


def test_a_zoom_so_wide_that_neighbours_lie_tiles_apart_reads_all():
    assert tiles_read(torch.tensor([[5.0, 5.0]]), crop.ZoomWindow(0.0, 0.0, 3000.0)).all()
