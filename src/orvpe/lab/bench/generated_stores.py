"""Stores of generated clips as large as wanted: some hundred distinct bodies, again and again under new names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orvpe.data.generated import generate
from orvpe.data.store import Store, StoreWriter
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified

DISTINCT = 200
PAIRS_EVERY = 5  # in 26 of NTU-120's 120 classes two people act


def clips(count: int, seed: int = 0, pairs: bool = True) -> Iterator[Clip]:
    """``count`` clips of 40 to 120 frames, 80 on average (NTU-120 has about as many), a fifth of them of two people."""
    ones = list(generate(min(count, DISTINCT), seed))
    twos = list(generate(min(count, DISTINCT), seed + 1, people=2)) if pairs else ones
    for i in range(count):
        clip = (twos if i % PAIRS_EVERY == 0 else ones)[i % len(ones)]
        yield clip.with_(name=f"clip_{i:07d}")


def write(path: Path, count: int, seed: int = 0, pairs: bool = True) -> Store:
    """A store of them."""
    with StoreWriter(path, unified, 3, {"generated": True, "sources": [], "options": {"count": count}}) as writer:
        for clip in clips(count, seed, pairs):
            writer.add(clip)
    return Store.open(path)
