"""Interpolate short gaps and smooth jitter; both are optional, and long gaps stay."""

from __future__ import annotations

import math

import numpy as np


def fill_gaps(joints: np.ndarray, visible: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate linearly over gaps of at most ``most`` frames.

    Longer gaps, and what lies before the first or after the last sighting, stay missing.

    Args:
        joints: (T, V, C); what is under a hidden joint is not read.
        visible: (T, V) bool.
        most: frames; 0 fills nothing.

    Returns:
        joints (T, V, C), visible (T, V); new arrays.
    """
    joints, visible = np.array(joints, dtype=np.float32), np.array(visible)
    frames = np.arange(len(visible))[:, None]
    last = np.maximum.accumulate(np.where(visible, frames, -1))  # (T, V) frame of the last sighting, -1 for none
    later = np.where(visible, frames, len(visible))[::-1]
    following = np.minimum.accumulate(later)[::-1]  # (T, V) frame of the next one, T for none
    fill = ~visible & (last >= 0) & (following < len(visible)) & (following - last - 1 <= most)
    t, v = np.nonzero(fill)
    before, after = last[t, v], following[t, v]
    share = ((t - before) / (after - before)).astype(np.float32)[:, None]
    joints[t, v] = (1 - share) * joints[before, v] + share * joints[after, v]
    visible[t, v] = True
    return joints, visible


def one_euro(
    joints: np.ndarray,
    visible: np.ndarray,
    fps: float,
    cutoff: float = 1.0,
    beta: float = 0.0,
    speed_cutoff: float = 1.0,
) -> np.ndarray:
    """The one-euro filter of every coordinate: quiet when slow, prompt when fast.

    A low-pass filter y = a x + (1 - a) y_before with a = 1 / (1 + fps / (2 pi f)), whose cut-off frequency f grows
    with the speed, itself filtered: f = cutoff + beta |speed| (Casiez, Roussel and Vogel, "1 Euro filter", CHI 2012).
    A joint that was hidden starts again.

    Args:
        joints: (T, V, C); what is under a hidden joint is not read.
        visible: (T, V) bool.
        fps: frames per second.
        cutoff: Hz at rest; lower is quieter and later.
        beta: Hz for each unit of a coordinate a second; higher is prompter.
        speed_cutoff: Hz, of the speed.

    Returns:
        (T, V, C) float32; hidden joints are 0.
    """
    out = np.zeros(joints.shape, dtype=np.float32)
    value = np.zeros(joints.shape[1:])  # (V, C)
    speed = np.zeros(joints.shape[1:])
    known = np.zeros(visible.shape[1], dtype=bool)
    fixed = _weight(speed_cutoff, fps)
    for t in range(len(joints)):
        seen = visible[t]
        x = np.where(seen[:, None], joints[t], 0.0).astype(np.float64)
        going = (seen & known)[:, None]
        # the paper differences the input against the last output
        speed = np.where(going, fixed * (x - value) * fps + (1 - fixed) * speed, 0.0)
        a = _weight(cutoff + beta * np.abs(speed), fps)
        value = np.where(going, a * x + (1 - a) * value, x)
        known = seen
        out[t] = value
    return out


def _weight(cutoff: float | np.ndarray, fps: float) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + fps / (2 * math.pi * cutoff)))
