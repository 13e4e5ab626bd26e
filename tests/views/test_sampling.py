"""Cutting and resampling in time against one-clip references with loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.clips import batch, drawn, same_bits
from helpers.rounding import same_to_rounding
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.errors import InputError
from orvpe.runtime.draws import Draws
from orvpe.views.sampling import sample_frames


def run(length: int, tau: int, place: float | None) -> list[int]:
    """Frames of a run: at a random place, the middle, or the clip over and over."""
    if length <= tau:
        return [t % length for t in range(tau)]
    spare = length - tau
    first = spare // 2 if place is None else min(int(place * (spare + 1)), spare)
    return list(range(first, first + tau))


def between(
    joints: np.ndarray, visible: np.ndarray, length: int, where: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One person at a fraction of a frame: joints (T, V, C) -> (V, C), visible (V,), and where rounding decides."""
    low = min(math.floor(where), length - 1)
    high, weight = min(low + 1, length - 1), where - low
    out, seen = np.zeros(joints.shape[1:]), np.zeros(joints.shape[1], dtype=bool)
    for v in range(joints.shape[1]):
        if visible[low, v] and visible[high, v]:
            out[v], seen[v] = (1 - weight) * joints[low, v] + weight * joints[high, v], True
        else:
            near = high if weight >= 0.5 else low
            seen[v] = visible[near, v]
            out[v] = joints[near, v] if seen[v] else 0
    fine = np.full(joints.shape[1], abs(weight - 0.5) > 1e-3 and abs(weight - round(weight)) > 1e-3)
    return out, seen, fine | (visible[low] & visible[high])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("tau", [1, 4, 9, 20])
@pytest.mark.parametrize("random", [False, True])
def test_runs(dims: int, tau: int, random: bool) -> None:
    lengths = (7, 12, 1, 9, 40)
    raw = batch(lengths, dims=dims, missing=0.3, people=2)
    got = sample_frames(raw, tau, "run", draws=drawn(5, 3) if random else None)
    place = drawn(5, 3).uniform(1)[:, 0].tolist() if random else [None] * 5
    assert got.joints.shape[2] == tau
    assert got.frames.tolist() == [tau] * 5
    for n, length in enumerate(lengths):
        frames = run(length, tau, place[n])
        assert same_bits(got.joints[n], raw.joints[n][:, frames])
        assert torch.equal(got.visible[n], raw.visible[n][:, frames])


@pytest.mark.parametrize("tau", [1, 2, 8, 25])
@pytest.mark.parametrize("random", [False, True])
def test_resampling(tau: int, random: bool) -> None:
    lengths = (7, 12, 1, 9, 2)
    raw = batch(lengths, missing=0.3, people=2)
    got = sample_frames(raw, tau, "resample", 0.5, drawn(5, 8) if random else None)
    draws = drawn(5, 8)
    place, share = draws.uniform(1)[:, 0].tolist(), (0.5 + 0.5 * draws.uniform(1))[:, 0].tolist()
    for n, length in enumerate(lengths):
        span = (length - 1) * (share[n] if random else 1.0)
        first = (length - 1 - span) * (place[n] if random else 0.5)
        for k in range(tau):
            where = first + span * k / max(tau - 1, 1)
            for m in range(2):
                joints, visible = raw.joints[n, m].numpy().astype(float), raw.visible[n, m].numpy()
                want, seen, fine = between(joints, visible, length, where)
                assert np.array_equal(got.visible[n, m, k].numpy()[fine], seen[fine])
                np.testing.assert_allclose(got.joints[n, m, k].numpy()[fine], want[fine], atol=2e-5)
    hidden = got.joints[~got.visible]
    assert same_bits(hidden, torch.zeros_like(hidden))


def test_resampling_to_its_own_length_is_the_clip() -> None:
    raw = batch((9, 9), missing=0.3)
    got = sample_frames(raw, 9, "resample")
    assert torch.equal(got.visible, raw.visible)
    torch.testing.assert_close(got.joints, raw.joints, atol=1e-5, rtol=0)


def test_a_random_run_reaches_both_ends_and_every_place() -> None:
    raw = batch((6,) * 400)
    raw = raw.with_(joints=torch.arange(6.0).view(6, 1, 1).expand(400, 1, 6, 17, 3))
    first = sample_frames(raw, 3, draws=drawn(400, 1)).joints[:, 0, 0, 0, 0]
    count = torch.bincount(first.long(), minlength=4)
    assert len(count) == 4
    assert int(count.min()) > 60  # 100 each expected


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 40), st.sampled_from(["run", "resample"]),
    st.floats(0.01, 1), st.integers(0, 99), st.booleans(),
)  # fmt: skip
def test_a_clip_does_not_see_its_neighbours(
    lengths: list[int], tau: int, crop: str, shortest: float, seed: int, random: bool
) -> None:
    """Nothing of the padding comes in: a clip alone gives the same as among others."""
    raw = batch(tuple(lengths), missing=0.2)
    n = len(lengths)
    got = sample_frames(raw, tau, crop, shortest, drawn(n, seed) if random else None)
    assert torch.isfinite(got.joints).all()
    for i in range(n):
        alone = raw.with_(
            joints=raw.joints[i : i + 1, :, : lengths[i]], visible=raw.visible[i : i + 1, :, : lengths[i]],
            frames=raw.frames[i : i + 1], image_size=raw.image_size[i : i + 1], index=raw.index[i : i + 1],
        )  # fmt: skip
        rows = Draws(drawn(n, seed).generator, n, slice(i, i + 1))
        one = sample_frames(alone, tau, crop, shortest, rows if random else None)
        assert same_to_rounding(got.joints[i : i + 1], one.joints)
        assert torch.equal(got.visible[i : i + 1], one.visible)


@pytest.mark.parametrize(
    ("tau", "crop", "shortest", "found"),
    [
        (0, "run", 1.0, "tau is 0"),
        (5, "ran", 1.0, "unknown crop 'ran'.*'run'"),
        (5, "resample", 0.0, "shortest is 0"),
        (5, "resample", 1.1, "shortest is 1.1"),
    ],
)
def test_bad_values(tau: int, crop: str, shortest: float, found: str) -> None:
    with pytest.raises(InputError, match=found):
        sample_frames(batch((3,)), tau, crop, shortest)
