"""Timing side by side: every candidate once a round, so that a machine that drifts does so for all of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Call = Callable[[], object]


def interleave(
    candidates: Mapping[str, Call],
    repeats: int,
    sync: Call = lambda: None,
    least_seconds: float = 0.2,
    warm_up: int = 1,
) -> dict[str, list[float]]:
    """Seconds a call of each candidate, A B C A B C ...

    Args:
        candidates: what to call, by name.
        repeats: rounds that count.
        sync: waits for the device; called before and after each measurement, inside the timed span.
        least_seconds: a candidate is called so many times a round that a round takes at least that long.
        warm_up: calls before the first round (caches, kernel choice, compilation); the last one sets the number.

    Returns:
        ``repeats`` numbers a candidate, in the order they were taken.
    """
    number = {}
    for name, call in candidates.items():
        for _ in range(max(1, warm_up)):
            seconds = timed(call, 1, sync)
        number[name] = max(1, math.ceil(least_seconds / max(seconds, 1e-9))) if least_seconds else 1
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, call in candidates.items():
            found[name].append(timed(call, number[name], sync))
    return found


def timed(call: Call, number: int = 1, sync: Call = lambda: None) -> float:
    """Seconds a call, over ``number`` calls one after the other."""
    sync()
    began = time.perf_counter()
    for _ in range(number):
        call()
    sync()
    return (time.perf_counter() - began) / number


def median(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return statistics.median(values) if values else math.nan


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times quicker ours was in each round; a round's two are neighbours in time, so drift cancels."""
    return [b / a for a, b in zip(ours, theirs, strict=True)]


def speedup(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds of theirs / ours: above 1 where ours is quicker."""
    return median(ratios(ours, theirs))


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / median, to tell a quiet machine from a busy one."""
    return (max(values) - min(values)) / median(values)
