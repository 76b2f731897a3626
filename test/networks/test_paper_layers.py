"""The layers of the published network, each against its definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from rnnpose_ros.geometry.box import Box
from rnnpose_ros.networks.correlation import correlate
from rnnpose_ros.networks.descriptor2d import Descriptor2D
from rnnpose_ros.networks.image_encoder import RaftEncoder
from rnnpose_ros.networks.kpconv import KPConv, max_pool, take_nearest
from rnnpose_ros.networks.paper_network import PaperConfig, PaperNetwork
from rnnpose_ros.networks.paper_update import PaperUpdateBlock, upsample_convex
from rnnpose_ros.refinement.official_views import cell_taps


def cloud(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Random points and, for each, its 7 nearest; the last column of every third row is a shadow."""
    points = torch.rand(count, 3)
    neighbours = torch.cdist(points, points).argsort(1)[:, :7]
    neighbours[::3, -1] = count
    return points, neighbours


def by_definition(layer: KPConv, points, neighbours, features) -> torch.Tensor:
    """The formula with one loop for every sum."""
    out = torch.zeros(len(points), layer.weights.shape[2])
    for i, row in enumerate(neighbours.tolist()):
        row = [j for j in row if j < len(points)]
        for k, kernel_point in enumerate(layer.kernel_points):
            mixed = torch.zeros(features.shape[1])
            for j in row:
                reach = (points[j] - points[i] - kernel_point).norm() / layer.extent
                mixed += max(0.0, 1.0 - float(reach)) * features[j]
            out[i] += mixed @ layer.weights[k]
        out[i] /= max(1, sum(float(features[j].sum()) > 0 for j in row))
    return out


@torch.no_grad()
def test_kernel_point_convolution_follows_its_formula():
    points, neighbours = cloud()
    layer, features = KPConv(5, 6, radius=0.6), torch.randn(40, 5)
    expected = by_definition(layer, points, neighbours, features)
    torch.testing.assert_close(layer(points, points, neighbours, features), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_neighbours_with_nothing_to_say_are_not_counted():
    points, neighbours = cloud()
    layer, features = KPConv(5, 6, radius=0.6), torch.rand(40, 5) + 0.1
    everyone = layer(points, points, neighbours, features)
    muted = features.clone()
    muted[1] = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.0])
    row = next(i for i in range(40) if 1 not in neighbours[i])
    alone = next(i for i in range(40) if 1 in neighbours[i])
    changed = layer(points, points, neighbours, muted)
    torch.testing.assert_close(changed[row], everyone[row])
    torch.testing.assert_close(
        changed[alone], by_definition(layer, points, neighbours, muted)[alone], rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_dense_clouds_worked_through_in_parts_give_the_same(monkeypatch):
    points, neighbours = cloud()
    layer, features = KPConv(5, 6, radius=0.6), torch.randn(40, 5)
    whole, pooled = layer(points, points, neighbours, features), max_pool(features, neighbours)
    monkeypatch.setattr("rnnpose_ros.networks.kpconv._PART_VALUES", 1000)
    torch.testing.assert_close(layer(points, points, neighbours, features), whole)
    assert torch.equal(max_pool(features, neighbours), pooled)


def test_a_shadow_counts_as_zero_in_the_maximum_and_as_nothing_to_copy():
    features = torch.tensor([[-1.0], [-2.0]])
    assert max_pool(features, torch.tensor([[0, 1], [1, 2]])).flatten().tolist() == [-1.0, 0.0]
    assert take_nearest(features, torch.tensor([[1, 0], [2, 2]])).flatten().tolist() == [-2.0, 0.0]


def test_published_lookup_reads_shifted_cells_and_runs_along_v_first():
    photo = torch.zeros(1, 1, 16, 16)
    photo[0, 0, 6, 9] = 1.0
    pyramid = correlate(torch.ones(1, 1, 16, 16), photo, levels=2, radius=2, published=True)
    centre = torch.tensor([8.0, 8.0]).expand(1, 16, 16, 2)
    values = pyramid.lookup(centre)[0, :, 0, 0]
    fine, coarse = values[:25].view(5, 5), values[25:].view(5, 5)
    assert fine.nonzero().tolist() == [[3, 0]]
    torch.testing.assert_close(coarse[2, 1], torch.tensor(0.25))


def test_convex_upsampling_of_equal_cells_is_their_flow_times_eight():
    flow = torch.tensor([1.5, -2.0]).view(1, 2, 1, 1).expand(1, 2, 5, 4)
    fine = upsample_convex(flow, torch.randn(1, 576, 5, 4))
    assert fine.shape == (1, 2, 40, 32)
    inner = fine[:, :, 8:-8, 8:-8]
    torch.testing.assert_close(inner, (8 * flow[:, :, :1, :1]).expand_as(inner))


def test_convex_upsampling_takes_each_pixel_from_the_cell_its_mask_names():
    mask = torch.full((1, 9, 8, 8, 3, 3), -40.0)
    mask[:, 4] = 0.0
    mask[:, 4, 2, 5], mask[:, 5, 2, 5] = -40.0, 0.0
    flow = torch.arange(18.0).view(1, 2, 3, 3)
    fine = upsample_convex(flow, mask.reshape(1, 576, 3, 3))
    torch.testing.assert_close(fine[0, :, 8, 8], 8 * flow[0, :, 1, 1])
    torch.testing.assert_close(fine[0, :, 8 + 2, 8 + 5], 8 * flow[0, :, 1, 2])


@torch.no_grad()
@pytest.mark.parametrize("window", [(0, 9, 0, 11), (3, 20, 5, 32), (16, 32, 0, 32), (7, 8, 7, 8)])
def test_descriptors_of_a_window_are_those_of_the_whole_picture(window):
    network = Descriptor2D(8)
    decoded = network.decode(torch.rand(1, 3, 32, 32))
    box, whole = Box(*window), network.describe(decoded, [Box(0, 32, 0, 32)])
    torch.testing.assert_close(network.describe(decoded, [box]), box.cut(whole), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_descriptors_have_unit_length_everywhere():
    norms = Descriptor2D(8)(torch.rand(2, 3, 40, 24)).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(2, 40, 24))


@torch.no_grad()
def test_image_encoder_gives_a_cell_for_eight_pixels_and_each_picture_its_own():
    encoder = RaftEncoder()
    pictures = torch.rand(2, 3, 48, 64)
    maps = encoder(pictures)
    assert maps.shape == (2, 256, 6, 8)
    torch.testing.assert_close(encoder(pictures[1:]), maps[1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gru", ["separable", "3x3"])
def test_both_recurrent_units_send_gradients_back_through_iterations(gru):
    block = PaperUpdateBlock(324, gru=gru)
    start = torch.zeros(1, 128, 4, 4, requires_grad=True)
    hidden = start
    for _ in range(2):
        hidden, delta, mask = block(
            hidden, block.hold(torch.rand(1, 128, 4, 4)), torch.rand(1, 324, 4, 4), torch.rand(1, 2, 4, 4)
        )
    upsample_convex(delta, mask).sum().backward()
    assert start.grad is not None
    assert float(start.grad.abs().sum()) > 0


def test_the_supplementary_recurrent_unit_is_one_3x3_convolution_a_gate():
    names = dict(PaperNetwork(PaperConfig(gru="3x3")).update_block.gru.named_parameters())
    assert {n: tuple(p.shape) for n, p in names.items() if p.dim() > 1} == {
        "gates.weight": (256, 384, 3, 3),
        "candidate.weight": (128, 384, 3, 3),
    }


def test_sampling_shares_of_context_cells_equal_interpolation_with_kept_corners():
    dense = torch.rand(1, 1, 240, 240)
    taps, mix = cell_taps(240, 30, device=torch.device("cpu"))
    shrunk = torch.einsum("iajb,ia,jb->ij", dense.flatten()[taps].view(30, 2, 30, 2), mix, mix)
    expected = F.interpolate(dense, size=(30, 30), mode="bilinear", align_corners=True)[0, 0]
    torch.testing.assert_close(shrunk, expected, rtol=1e-5, atol=1e-5)


def test_working_in_strips_gives_what_training_computes_whole():
    network = Descriptor2D(8)
    picture = torch.rand(1, 3, 96, 40)
    whole = network(picture).detach()
    with torch.no_grad():
        torch.testing.assert_close(network(picture), whole, rtol=1e-4, atol=1e-5)


def test_working_picture_after_picture_gives_what_training_computes_together():
    network = RaftEncoder()
    pictures = torch.rand(3, 3, 48, 40)
    together = network(pictures).detach()
    with torch.no_grad():
        torch.testing.assert_close(network(pictures), together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gru", ["separable", "3x3"])
def test_holding_the_constant_input_changes_nothing(gru):
    units = PaperNetwork(PaperConfig(gru=gru)).update_block.gru.units
    hidden, constant, changing = torch.rand(3, 2, 128, 6, 5).unbind(0)
    for unit in units:
        whole = unit(hidden, torch.cat([constant, changing], 1))
        torch.testing.assert_close(unit.step(hidden, unit.hold(constant), changing), whole, rtol=1e-5, atol=1e-5)
