"""Doubling and convolving as one step, against one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rnnpose_ros.geometry.box import Box
from rnnpose_ros.networks.doubling import convolve_doubled, convolve_doubled_strips, doubled
from rnnpose_ros.networks.normalisation import convolve_normalised, in_fastest_layout, moments, normalise


@pytest.mark.parametrize("size", [(7, 5), (2, 3), (1, 1), (40, 30)])
@torch.no_grad()
def test_one_step_equals_doubling_then_convolving(size):
    layer = nn.Conv2d(6, 4, 3, padding=1)
    x = torch.rand(2, 6, *size)
    torch.testing.assert_close(convolve_doubled(x, layer), layer(doubled(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("box", [Box(0, 9, 0, 8), Box(2, 9, 3, 8), Box(0, 4, 2, 5), Box(4, 5, 7, 8)])
@torch.no_grad()
def test_strips_put_together_are_the_part_that_was_asked_for(box):
    layer = nn.Conv2d(3, 2, 3, padding=1)
    x = torch.rand(1, 3, 9, 8)
    boxes, parts = zip(*convolve_doubled_strips(x, layer, box, rows=2, bias=layer.bias), strict=True)
    assert [b.bottom for b in boxes[:-1]] == [b.top for b in boxes[1:]]
    torch.testing.assert_close(torch.cat(parts, 2), box.doubled().cut(layer(doubled(x))), rtol=1e-5, atol=1e-5)


def test_one_step_has_the_gradients_of_doubling_then_convolving():
    layer = nn.Conv2d(2, 3, 3, padding=1).double()
    x = torch.rand(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 3, 6, 8, dtype=torch.float64)
    inputs = (x, layer.weight, layer.bias)
    ours = torch.autograd.grad((convolve_doubled(x, layer) * weights).sum(), inputs)
    theirs = torch.autograd.grad((layer(doubled(x)) * weights).sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_normalisation_keeps_its_digits_where_the_mean_is_far_from_zero():
    x = 100 + 0.01 * torch.rand(2, 3, 60, 50, dtype=torch.float64)
    expected = torch.nn.functional.instance_norm(x)
    actual = normalise(in_fastest_layout(x.float())).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=5e-3)  # float32 holds 100 to 8e-6
    assert float((actual - expected).abs().mean()) < 1e-3


@torch.no_grad()
def test_a_convolution_that_is_normalised_keeps_its_digits_whatever_is_added_to_it():
    layer = nn.Conv2d(3, 5, 3, padding=1, stride=2)
    layer.bias.fill_(1000.0)
    x = 50 + torch.rand(2, 3, 60, 50)
    expected = torch.nn.functional.instance_norm(layer.double()(x.double()))
    actual = convolve_normalised(in_fastest_layout(x), layer.float())
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=1e-3)


@torch.no_grad()
def test_moments_of_parts_normalise_as_the_whole():
    x = 0.5 + torch.rand(1, 4, 30, 20) * torch.tensor([1.0, 3.0, 0.1, 0.01]).view(1, 4, 1, 1)
    found = moments(x.split(7, 2))
    whole = x.double()
    torch.testing.assert_close(found.mean, whole.mean((0, 2, 3)).float())
    torch.testing.assert_close(found.variance, whole.var((0, 2, 3), correction=0).float(), rtol=1e-4, atol=0)
    expected = torch.nn.functional.instance_norm(whole)[:, :, 3:9]
    torch.testing.assert_close(found.normalise(x[:, :, 3:9]).double(), expected, rtol=0, atol=1e-4)
