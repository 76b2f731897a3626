"""The kernel finds the values that the tensors' own lookup finds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rnnpose_ros.acceleration.lookup_kernel import fused_lookup
from rnnpose_ros.networks.correlation import CorrelationPyramid, correlate


def pyramid(*, radius: int = 3) -> CorrelationPyramid:
    generator = torch.Generator().manual_seed(0)
    maps = (torch.randn(2, 16, 11, 9, generator=generator) for _ in range(2))
    return correlate(*maps, levels=3, radius=radius)


def places(spread: float) -> Tensor:
    """Two items' targets around the cells themselves."""
    u, v = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="xy")
    noise = torch.randn(2, 11, 9, 2, generator=torch.Generator().manual_seed(1))
    return torch.stack([u, v], -1) + spread * noise


@pytest.mark.parametrize("radius", [1, 3, 4])
@pytest.mark.parametrize("spread", [0.0, 0.4, 6.0])
def test_values_equal_those_of_the_tensors(radius: int, spread: float) -> None:
    volumes, centre = pyramid(radius=radius), places(spread)
    expected = volumes.lookup(centre)
    assert float(expected.abs().max()) > 0.5, "there is something to find"
    torch.testing.assert_close(fused_lookup(volumes, centre).permute(0, 3, 1, 2), expected, rtol=0, atol=2e-5)


def test_far_outside_is_nothing() -> None:
    far = torch.full((2, 11, 9, 2), 3e9)
    far[1] = -1e20
    assert not bool(fused_lookup(pyramid(), far).any())


def test_two_runs_give_the_same_bits() -> None:
    first, second = (fused_lookup(pyramid(), places(1.0)) for _ in range(2))
    assert torch.equal(first, second)
