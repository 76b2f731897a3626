"""The small network's parts against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rnnpose_ros.networks.confidence import similarity
from rnnpose_ros.networks.correlation import correlate
from rnnpose_ros.networks.image_encoder import STRIDE, ImageEncoder
from rnnpose_ros.networks.rnnpose_network import RnnposeNetwork
from rnnpose_ros.types import RenderBuffers


@pytest.mark.parametrize("cell", [(7, 8), (5, 9)])
def test_encoder_cell_is_centred_on_its_pixel(cell: tuple[int, int]) -> None:
    encoder = ImageEncoder(3, widths=(4, 4, 4, 4), outputs=4, norm=lambda _: nn.Identity(), deep=False)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(0.1)
    image = torch.ones(1, 3, 128, 128, requires_grad=True)
    encoder(image)[0, :, cell[0], cell[1]].sum().backward()
    assert image.grad is not None
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    assert (int(rows.min()) + int(rows.max())) / 2 == STRIDE * cell[0]
    assert (int(columns.min()) + int(columns.max())) / 2 == STRIDE * cell[1]


def test_correlation_lookup_reads_the_volume_at_the_window_around_the_target() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 16, 6, 8, generator=g), torch.randn(2, 16, 6, 8, generator=g)
    pyramid = correlate(a, b, levels=1, radius=1)
    centre = torch.tensor([4.0, 3.0]).expand(2, 6, 8, 2)
    values = pyramid.lookup(centre)
    expected = (a[1, :, 2, 5] * b[1, :, 2, 5]).sum() / 4.0
    window = values[1, :, 2, 5].view(3, 3)
    torch.testing.assert_close(window[0, 2], expected)
    assert pyramid.channels == values.shape[1] == 9


def test_pooled_levels_are_looked_up_at_the_centre_of_what_they_pooled() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    pyramid = correlate(torch.ones(1, 1, 16, 16), ramp, levels=3, radius=0)
    centre = torch.full((1, 16, 16, 2), 7.3)
    torch.testing.assert_close(pyramid.lookup(centre)[0, :, 0, 0], torch.full((3,), 7.3))


def test_lookup_outside_the_photograph_is_zero() -> None:
    pyramid = correlate(torch.ones(1, 4, 4, 4), torch.ones(1, 4, 4, 4), levels=1, radius=1)
    assert float(pyramid.lookup(torch.full((1, 4, 4, 2), 40.0)).abs().max()) == 0.0


def test_similarity_of_equal_descriptors_is_one_and_of_opposite_ones_small() -> None:
    d = nn.functional.normalize(torch.randn(1, 8, 5, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    cells = torch.stack(torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="xy"), -1)[None]
    sigma = torch.tensor(0.5)
    torch.testing.assert_close(similarity(d, d, cells, sigma), torch.ones(1, 5, 5))
    torch.testing.assert_close(similarity(d, -d, cells, sigma), torch.full((1, 5, 5), 2.0).neg().div(0.5).exp())


def inputs(batch: int) -> dict[str, object]:
    g = torch.Generator().manual_seed(1)
    depth = torch.rand(batch, 64, 64, generator=g) * 0.1 + 0.5
    depth[:, :16] = 0.0
    render = RenderBuffers(
        depth=depth,
        color=torch.rand(batch, 3, 64, 64, generator=g) * (depth > 0)[:, None],
        attributes=torch.randn(batch, 3, 64, 64, generator=g),
        face_ids=torch.where(depth > 0, 0, -1),
    )
    return {
        "render": render,
        "photo": torch.rand(batch, 3, 64, 64, generator=g),
        "depth_centre": torch.full((batch,), 0.55),
        "diameter": torch.full((batch,), 0.2),
    }


def one(buffers: RenderBuffers, row: int) -> RenderBuffers:
    return RenderBuffers(
        *(t[row : row + 1] for t in (buffers.depth, buffers.color, buffers.attributes, buffers.face_ids))
    )


@torch.inference_mode()
def test_batch_equals_single_runs() -> None:
    torch.manual_seed(0)
    network = RnnposeNetwork().eval()
    many = inputs(3)
    cells = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy"), -1)
    flow = torch.zeros(3, 8, 8, 2)
    pair, hidden = network.encode(**many)  # type: ignore[arg-type]
    together = network.update(pair, hidden, cells, flow)
    for row in range(3):
        alone = {k: one(v, row) if isinstance(v, RenderBuffers) else v[row : row + 1] for k, v in many.items()}  # type: ignore[index]
        pair, hidden = network.encode(**alone)
        single = network.update(pair, hidden, cells, flow[:1])
        torch.testing.assert_close(single.delta[0], together.delta[row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(single.similarity[0], together.similarity[row], rtol=1e-4, atol=1e-5)
