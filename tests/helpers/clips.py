"""Small clips and batches for the tests of the data path."""

from __future__ import annotations

import numpy as np
import torch

from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout, unified
from orvpe.runtime.draws import Draws, seeded
from orvpe.views.batch import Batch, collate


def clip(
    frames: int,
    people: int = 1,
    dims: int = 3,
    missing: float = 0.0,
    seed: int = 0,
    layout: Layout = unified,
    image_size: tuple[int, int] | None = None,
) -> Clip:
    """Random joints, metres or pixels, a share of them hidden."""
    rng = np.random.default_rng([seed, frames, people, dims])
    joints = (
        rng.normal(size=(people, frames, len(layout), dims))
        if dims == 3
        else 200 * rng.random((people, frames, len(layout), dims))
    )
    visible = rng.random(joints.shape[:3]) >= missing
    visible[0, 0, 0] = True
    return Clip(np.where(visible[..., None], joints, 0), visible, layout, image_size=image_size, name=f"c{seed}")


def batch(lengths: tuple[int, ...] = (7, 12, 3, 9), **info: object) -> Batch:
    """Clips of these lengths, each its own."""
    return collate([clip(n, seed=i, **info) for i, n in enumerate(lengths)])  # type: ignore[arg-type]


def drawn(n: int, *key: int | str) -> Draws:
    """Fresh draws for n clips; the same key gives the same."""
    return Draws(seeded("cpu", *key), n)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to the last bit; unlike ==, 0.0 differs from -0.0."""
    if a.dtype == torch.float32:
        a, b = a.contiguous().view(torch.int32), b.contiguous().view(torch.int32)
    return a.shape == b.shape and torch.equal(a, b)
