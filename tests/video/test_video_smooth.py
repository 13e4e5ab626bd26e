"""Gaps and jitter, against slow references that read like the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.video.smooth import fill_gaps, one_euro


class SlowOneEuro:
    """One coordinate, one value at a time: Algorithm 1 of Casiez et al. (2012)."""

    def __init__(self, rate: float, cutoff: float, beta: float, speed_cutoff: float) -> None:
        self.rate, self.cutoff, self.beta, self.speed_cutoff = rate, cutoff, beta, speed_cutoff
        self.last: float | None = None
        self.last_speed = 0.0

    def weight(self, cutoff: float) -> float:
        tau, period = 1 / (2 * math.pi * cutoff), 1 / self.rate
        return 1 / (1 + tau / period)

    def __call__(self, x: float) -> float:
        if self.last is None:
            self.last, self.last_speed = x, 0.0
            return x
        a = self.weight(self.speed_cutoff)
        self.last_speed = a * ((x - self.last) * self.rate) + (1 - a) * self.last_speed
        a = self.weight(self.cutoff + self.beta * abs(self.last_speed))
        self.last = a * x + (1 - a) * self.last
        return self.last


@given(st.integers(0, 2**31), st.floats(5, 120), st.floats(0.1, 5), st.floats(0, 4), st.floats(0.0, 0.5))
@settings(max_examples=30, deadline=None)
def test_one_euro_is_the_papers(seed: int, fps: float, cutoff: float, beta: float, missing: float) -> None:
    rng = np.random.default_rng(seed)
    joints = np.cumsum(rng.normal(0, 1, (25, 3, 2)), axis=0)
    visible = rng.random((25, 3)) >= missing
    got = one_euro(np.where(visible[..., None], joints, np.nan), visible, fps, cutoff, beta, speed_cutoff=0.7)
    for v in range(3):
        for c in range(2):
            slow = SlowOneEuro(fps, cutoff, beta, 0.7)
            for t in range(25):
                if not visible[t, v]:
                    slow = SlowOneEuro(fps, cutoff, beta, 0.7)
                    assert got[t, v, c] == 0
                else:
                    assert got[t, v, c] == pytest.approx(slow(joints[t, v, c]), rel=1e-5, abs=1e-5)


def test_one_euro_stills_and_follows() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(300) / 30
    true = np.where(t < 5, 0.0, 2.0 * (t - 5))[:, None, None]  # rest, then two body sizes a second
    seen = np.ones((300, 1), dtype=bool)
    noisy = true + rng.normal(0, 0.01, true.shape)
    quiet = one_euro(noisy, seen, 30, cutoff=1.0, beta=3.0)
    assert quiet[60:140].std() < 0.5 * noisy[60:140].std()
    late = (true - quiet)[250:].mean() / 2.0  # seconds
    assert 0 < late < 0.05
    assert np.allclose(one_euro(np.full_like(true, 3.5), seen, 30), 3.5)


@given(st.integers(0, 2**31), st.integers(0, 6), st.floats(0, 1))
def test_gaps_up_to_a_length_are_filled_by_straight_lines(seed: int, most: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    joints, visible = rng.normal(size=(18, 2, 3)).astype(np.float32), rng.random((18, 2)) >= missing
    filled, full = fill_gaps(np.where(visible[..., None], joints, np.nan), visible, most)
    for v in range(2):
        at = np.flatnonzero(visible[:, v])
        for t in range(18):
            if visible[t, v]:
                assert full[t, v]
                assert (filled[t, v] == joints[t, v]).all()
                continue
            before, after = at[at < t], at[at > t]
            short = len(before) > 0 and len(after) > 0 and after[0] - before[-1] - 1 <= most
            assert full[t, v] == short
            if short:
                a, b = before[-1], after[0]
                line = [np.interp(t, [a, b], [joints[a, v, c], joints[b, v, c]]) for c in range(3)]
                assert filled[t, v] == pytest.approx(line, abs=1e-5)
