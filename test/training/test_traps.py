"""Traps: what they hide is hidden, and nothing else changes."""

from __future__ import annotations

import math

import numpy as np
import torch

from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.training.traps import SHARES, Trap, draw_trap, emptied, hidden, turned

RED = torch.tensor([200, 10, 10], dtype=torch.uint8)[:, None, None]
GREEN = torch.tensor([10, 180, 10], dtype=torch.uint8)[:, None, None]
BLUE = torch.tensor([10, 10, 220], dtype=torch.uint8)[:, None, None]


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A red square on green, and where it is."""
    photo = GREEN.expand(3, 96, 96).clone()
    seen = torch.zeros(96, 96, dtype=torch.bool)
    seen[30:60, 40:70] = True
    photo[:, seen] = RED[:, 0].expand(3, int(seen.sum()))
    return photo, seen


def test_a_hidden_object_is_behind_something_else() -> None:
    photo, seen = scene()
    covered = hidden(photo, seen, BLUE.expand(3, 50, 80), np.random.default_rng(0))
    assert bool((covered[:, seen].float() - BLUE[:, 0].float()).abs().le(2).all())
    assert torch.equal(covered[:, :20], photo[:, :20])


def test_where_the_object_was_the_surroundings_grow() -> None:
    photo, seen = scene()
    assert bool((emptied(photo, seen).float() - GREEN.float()).abs().le(3).all())


def test_wrong_starts_are_turned_by_60_to_180_degrees_and_stay_in_place() -> None:
    rng = np.random.default_rng(1)
    T = torch.eye(4, dtype=torch.float64)
    T[:3, 3] = torch.tensor([0.1, 0.2, 0.7])
    for _ in range(20):
        other = turned(T, rng)
        assert math.pi / 3 - 1e-6 <= float(rotation_angle(other[None, :3, :3])[0]) <= math.pi + 1e-6
        assert torch.equal(other[:3, 3], T[:3, 3])


def test_a_third_of_the_cases_are_traps_of_every_kind() -> None:
    rng = np.random.default_rng(2)
    drawn = [draw_trap(rng) for _ in range(3000)]
    for trap, share in SHARES.items():
        assert abs(drawn.count(trap) / 3000 - share) < 0.02
    assert abs(drawn.count(Trap.NONE) / 3000 - 0.67) < 0.03
