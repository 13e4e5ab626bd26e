"""Clips that hold the same poses under another name: a test clip that was seen in training tests nothing.

N-UCLA as it is distributed has 95 of them: what it calls camera 3 of two actions is camera 2 again.
"""

from __future__ import annotations

import hashlib

import numpy as np

from orvpe.data.store import Store


def original(store: Store, among: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Which of the clips ``among`` has the same poses, bit for bit, joints missing alike.

    Args:
        store: any store.
        among: (N,) indices of clips, of the training say.
        clips: (M,) indices of clips, of the test say.

    Returns:
        (M,) int64 index of the first such clip of ``among`` for each of ``clips``, itself not counted; -1 without one.
    """
    first: dict[bytes, int] = {}
    second: dict[bytes, int] = {}  # for a clip that is the first itself
    for index in among.tolist():
        key = _poses(store, index)
        if first.setdefault(key, index) != index:
            second.setdefault(key, index)
    found = np.full(len(clips), -1, dtype=np.int64)
    for place, index in enumerate(clips.tolist()):
        key = _poses(store, index)
        same = first.get(key, -1)
        found[place] = second.get(key, -1) if same == index else same
    return found


def _poses(store: Store, index: int) -> bytes:
    """Tells clips apart by their length, people, and coordinates to a step of the store's grid."""
    values = store.quantised(index)
    step = store.step[index]
    return hashlib.blake2b(f"{values.shape} {step}".encode() + values.tobytes(), digest_size=16).digest()


def pairs(store: Store, clips: np.ndarray, same: np.ndarray) -> list[tuple[str, str]]:
    """Names of those of ``clips`` that have an original, and its name; ``same`` as `original` gives it."""
    return [(str(store.names[clips[i]]), str(store.names[same[i]])) for i in np.flatnonzero(same >= 0).tolist()]


def example(store: Store, clips: np.ndarray, same: np.ndarray) -> str:
    """'a02_s01_e00_v03 is a02_s01_e00_v02': the first of the `pairs`."""
    return " is ".join(pairs(store, clips, same)[0])
