"""Coordinates as 16-bit integers, and back."""

from __future__ import annotations

import math

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.clip import Clip

MISSING = -32768
STEP = {2: 0.1, 3: 0.001}  # pixels, metres
_FEW_STEPS, _MANY_STEPS = 100, 5000

Grid = tuple[np.ndarray, float]  # origin, step


def grid(clip: Clip) -> Grid:
    """The grid that a clip's coordinates are rounded to.

    Returns:
        origin: (C,) float64, a multiple of step, so that coordinates that lie on the grid come back exactly.
        step: metres or pixels a unit.

    Raises:
        InputError: the clip spans more than 16 bits can hold at the largest step (131 m, 13,106 px).
    """
    seen = np.ascontiguousarray(
        (clip.joints.reshape(-1, clip.dims) if clip.visible.all() else clip.joints[clip.visible]).T
    )
    low, high = seen.min(axis=1).astype(np.float64), seen.max(axis=1).astype(np.float64)  # (C,)
    most = 2 * 32766  # units from -32767 to 32767, less one at either end because the origin is rounded too
    span = float((high - low).max())
    step = max(STEP[clip.dims], span / most)
    if 0 < span < _FEW_STEPS * step:
        # a tenth, a hundredth ... of the step, so that it seldom depends on one joint; float32 resolves no more
        finest = max(float(np.spacing(np.abs(seen).max())), 1e-12)
        step *= 10.0 ** -math.ceil(math.log10(_MANY_STEPS * step / max(span, finest)))
    if step > 2 * STEP[clip.dims]:
        unit = "m" if clip.dims == 3 else "px"
        raise InputError(
            f"clip {clip.name!r}: its coordinates span {span:.6g} {unit}, "
            f"expected at most {2 * STEP[clip.dims] * most:.6g} {unit}"
        )
    return np.rint((low + high) / 2 / step) * step, step


def quantise(clip: Clip, on: Grid | None = None) -> tuple[np.ndarray, np.ndarray, float]:
    """A clip's coordinates as integers.

    Args:
        clip: the clip.
        on: its `grid`, where that is known already.

    Returns:
        q: (M, T, V, C) int16, -32768 where missing.
        origin, step: as `grid`.

    Raises:
        InputError: as `grid`.
    """
    origin, step = on or grid(clip)
    q = np.empty(clip.joints.shape, dtype=np.int16)
    hidden = None if clip.visible.all() else ~clip.visible
    for c in range(clip.dims):  # numpy is slow where the last axis has two or three entries
        values = clip.joints[..., c].astype(np.float64)
        values -= origin[c]
        values /= step
        np.rint(values, out=values)
        if hidden is not None:
            values[hidden] = MISSING
        q[..., c] = values
    return q, origin, step


def dequantise(q: np.ndarray, origin: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `quantise`: joints (..., V, C) float32, zero where missing, and visible (..., V) bool."""
    visible = q[..., 0] != MISSING
    joints = (np.asarray(origin, np.float64) + q * np.float64(step)).astype(np.float32)
    joints[~visible] = 0.0
    return joints, visible
