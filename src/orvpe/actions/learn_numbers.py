"""Statistics for few clips: warnings, parts that can be hidden, confidence interval, temperature."""

from __future__ import annotations

import math

import numpy as np
import torch

from orvpe.data.duplicates import example, original
from orvpe.data.store import Store
from orvpe.views.occlusion import SUBGRAPHS, part_mask

_FEW = 10  # recordings of a class below which a warning is due
_UNEVEN = 5  # times as many recordings in the largest class as in the smallest


def thin(classes: list[str], recordings: list[int]) -> list[str]:
    """Warnings about too few clips for training or testing."""
    found = []
    few = [f"{c} ({n})" for c, n in zip(classes, recordings, strict=True) if n < _FEW]
    if few:
        more = f" and {len(few) - 5} more classes" if len(few) > 5 else ""
        found.append(
            f"thin data: fewer than {_FEW} recordings of {', '.join(few[:5])}{more}; expect the numbers to change "
            "with other clips, people and cameras"
        )
    alone = [c for c, n in zip(classes, recordings, strict=True) if n == 1]
    if alone:
        found.append(f"one recording only of {', '.join(alone)}: learned, but not tested")
    if max(recordings) >= _UNEVEN * min(recordings):
        most, least = int(np.argmax(recordings)), int(np.argmin(recordings))
        found.append(
            f"uneven: {recordings[most]} recordings of {classes[most]}, {recordings[least]} of {classes[least]}; "
            "the model leans towards the larger"
        )
    return found


def twice(store: Store, groups: np.ndarray) -> list[str]:
    """A warning if recordings (``groups`` (N,), one number each) contain duplicates under two names."""
    everything = np.arange(len(store))
    same = original(store, everything, everything)
    apart = np.where((same >= 0) & (groups[same] != groups), same, -1)
    if (apart < 0).all():
        return []
    return [
        f"twice: {(apart >= 0).sum()} clips are in another recording too ({example(store, everything, apart)}); tested "
        "by a model that has seen them, they make the numbers too good; keep one of each"
    ]


def by_recording(right: np.ndarray, groups: np.ndarray, tested: np.ndarray) -> float:
    """Per cent ``right`` (N,) of those ``tested`` (N,), every recording counting once, however many clips it has."""
    return 100 * float(np.mean([right[tested & (groups == g)].mean() for g in np.unique(groups[tested])]))


def hideable(store: Store) -> list[str]:
    """Body parts (`orvpe.views.occlusion.SUBGRAPHS`) that can be hidden without hiding everything."""
    seen = np.zeros(len(store.layout.joints), bool)
    for clip in store:
        seen |= clip.visible.any(axis=(0, 1))
    kept = [part_mask((part,), store.layout, torch.device("cpu"))[0].numpy() for part in SUBGRAPHS]  # what stays (V,)
    return [part for part, stays in zip(SUBGRAPHS, kept, strict=True) if (seen & stays).any() and (seen & ~stays).any()]


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval in per cent of a share seen in n trials (E. B. Wilson 1927)."""
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def best_temperature(scores: np.ndarray, target: np.ndarray) -> float:
    """The temperature, 0.1 to 10, that minimises the cross-entropy of scores (N, K)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    own = scores[np.arange(len(target)), target]

    def loss(log_t: float) -> float:
        t = math.exp(log_t)
        return float(np.mean(logsumexp(scores / t, axis=1) - own / t))

    return math.exp(minimize_scalar(loss, bounds=(math.log(0.1), math.log(10)), method="bounded").x)
