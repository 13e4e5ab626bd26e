"""Which way is up: measured on bodies, and turning clips so that y is up."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout, unified_sources

# Rows give the new x, y, z in the old ones: proper rotations (determinant 1), so that left stays left.
_TURNS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
}
AXES = tuple(_TURNS)
UP = ("auto", *AXES)
"""What ``--up`` takes; "auto" looks which way the bodies point."""

FRAMES = 16  # looked at in a clip
_AGREE = 0.5  # cosine of spine and legs: a body that is bent points nowhere
_ALONG = 0.8  # cosine with an axis: within 37 degrees
_MOST, _FEW = 0.5, 0.05  # shares of the frames


def turn_up(clip: Clip, up: str) -> Clip:
    """The clip with y up, where ``up`` (one of `AXES`) is the axis that pointed up.

    A 2D clip is one of an image, whose y points down: "-y" and "auto" leave it, "y" turns it over.

    Raises:
        InputError: a 2D clip, and ``up`` is another axis.
    """
    if clip.dims == 2:
        if up in ("auto", "-y"):
            return clip
        if up == "y":
            return _turned_over(clip)
        raise InputError(f"clip {clip.name!r}: up is {up!r}, but it is 2D; only 3D clips are turned")
    if up in ("auto", "y"):
        return clip
    joints = np.where(clip.visible[..., None], clip.joints, 0.0)
    return clip.with_(joints=joints @ np.array(_TURNS[up], dtype=np.float32).T)


def _turned_over(clip: Clip) -> Clip:
    """A 2D clip whose y pointed up, as an image's points down: mirrored about the middle of the image or the clip."""
    y = clip.joints[..., 1]
    seen = y[clip.visible]
    total = np.float32(clip.image_size[1]) if clip.image_size else seen.min() + seen.max()
    joints = clip.joints.copy()
    joints[..., 1] = np.where(clip.visible, total - y, 0.0)
    return clip.with_(joints=joints)


_ENDS = (("neck", "mid_hip"), *((f"{s}_hip", f"{s}_ankle") for s in ("left", "right")))


@lru_cache(maxsize=256)
def _ends(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Spine and legs as sums of joints: (3, V) weights that give upper minus lower end, and (3,) joints that takes.

    A segment that the layout does not have takes a joint more than there are.
    """
    sources = unified_sources(layout)
    weights = np.zeros((len(_ENDS), len(layout)), dtype=np.float32)
    for segment, pair in enumerate(_ENDS):
        for end, sign in zip(pair, (1.0, -1.0), strict=True):
            for joint in sources.get(end, ()):
                weights[segment, layout.index(joint)] += sign / len(sources[end])
        if not all(sources.get(end) for end in pair):
            weights[segment] = 0.0
    needed = (weights != 0).sum(axis=1)
    needed[needed == 0] = len(layout) + 1
    return weights, needed


def sampled(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """At most `FRAMES` frames of the person who is seen most: (t, V, C) joints and (t, V) visible."""
    person = int(clip.visible.sum(axis=(1, 2)).argmax()) if clip.people > 1 else 0
    step = -(-clip.frames // FRAMES)
    return clip.joints[person, ::step], clip.visible[person, ::step]


def directions(clip: Clip, joints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Where spine and legs point, from below to above.

    Args:
        clip: says the layout.
        joints, visible: of `sampled`.

    Returns:
        (t, C) float32 unit vectors; NaN where neither is seen, zero where they disagree (a body that is bent).
    """
    weights, needed = _ends(clip.layout)
    along = np.matmul(weights, joints)  # (t, 3, C)
    seen = visible @ (weights != 0).T.astype(np.float32) >= needed  # (t, 3)
    length = np.sqrt(np.einsum("tsc,tsc->ts", along, along))
    seen &= length > 0
    along *= (seen / np.where(seen, length, 1.0))[..., None]
    known, total = seen.sum(axis=1), along.sum(axis=1)
    length = np.sqrt(np.einsum("tc,tc->t", total, total))
    agree = length > _AGREE * known  # of unit vectors that agree the sum is nearly as long as there are
    unit = total * (agree / np.where(agree, length, 1.0))[:, None]
    unit[known == 0] = np.nan
    return unit


def votes(unit: np.ndarray) -> np.ndarray:
    """Frames in which bodies point along each of x, -x, y, -y, z, -z, and along none: (7,) int64 of (t, 3)."""
    unit = unit[~np.isnan(unit[:, 0])]
    if not len(unit):
        return np.zeros(7, dtype=np.int64)
    axis = np.abs(unit).argmax(axis=1)
    value = unit[np.arange(len(unit)), axis]
    vote = np.where(np.abs(value) > _ALONG, 2 * axis + (value < 0), 6)
    return np.bincount(vote, minlength=7)


ORDER = ("x", "-x", "y", "-y", "z", "-z")


def pointing(counts: np.ndarray, usual: str = "y") -> tuple[str, float, bool]:
    """The axis along which most bodies point, the share of the frames in which they do, and whether that is sure.

    It is sure where they do in more than half of the frames, and along the ``usual`` axis in hardly any: people who lie
    or exercise on the floor stand at times.
    """
    total, up = int(counts.sum()), ORDER.index(usual)
    if not total:
        return usual, 0.0, False
    best = int(counts[:6].argmax())
    if counts[best] == counts[up]:
        best = up
    share = counts[best] / total
    sure = share > _MOST and (best == up or counts[up] <= _FEW * total)
    return ORDER[best], float(share), bool(sure)
