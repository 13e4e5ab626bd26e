"""Numbers that do not depend on padding, against SplitMix64 in Python's own integers."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.rounding import TailRoundsUp

from orvpe.runtime.draws import Draws, seeded

ALL = (1 << 64) - 1


def mixed(bits: int) -> int:
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & ALL
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & ALL
    return bits ^ (bits >> 31)


def slow_uniform(seed: int, place: tuple[int, ...]) -> float:
    for i in place:
        seed = mixed((seed + (i + 1) * 0x9E3779B97F4A7C15) & ALL)
    return (seed >> 40) / (1 << 24)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (1, 2, 2, 3)])
def test_uniform_at_against_python(shape: tuple[int, ...]) -> None:
    first = Draws(seeded("cpu", 7), 3).integers(1 << 62).tolist()
    found = Draws(seeded("cpu", 7), 3).uniform_at(*shape)
    places = torch.cartesian_prod(*(torch.arange(s) for s in shape)).reshape(-1, len(shape)).tolist()
    wanted = [[slow_uniform(seed, tuple(place)) for place in places] for seed in first]
    assert found.flatten(1).tolist() == wanted


def test_normal_at_against_python() -> None:
    first = Draws(seeded("cpu", 8), 2).integers(1 << 62).tolist()
    found = Draws(seeded("cpu", 8), 2).normal_at(4, 5)
    for n, seed in enumerate(first):
        for i in range(4):
            for j in range(5):
                radius, angle = slow_uniform(seed, (i, j, 0)), slow_uniform(seed, (i, j, 1))
                wanted = math.sqrt(-2 * math.log1p(-radius)) * math.cos(2 * math.pi * angle)
                assert found[n, i, j].item() == pytest.approx(wanted, abs=1e-5)


def test_another_rounding_changes_the_tail_alone() -> None:
    x = torch.linspace(0.1, 0.9, 35)
    plain = x.cos()
    with TailRoundsUp():
        found, in_place = x.cos(), x.clone().cos_()
    assert torch.equal(found, in_place)
    assert torch.equal(found[:32], plain[:32])
    assert (found[32:] > plain[32:]).all()
    torch.testing.assert_close(found, plain)
