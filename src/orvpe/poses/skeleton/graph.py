"""The graph of the joints (section III-A, eq. 1)."""

from __future__ import annotations

import numpy as np

from orvpe.poses.skeleton.layout import Layout


def graph_subsets(layout: Layout) -> np.ndarray:
    """(3, V, V) float32: the backbone's subsets self, inward (child to parent) and outward.

    The columns of each are normalised, A D^-1 (docs/concepts/method.md, 1).  With x (T, V) the product is x @ A: entry
    [i, j] carries joint i into joint j.
    """
    v = len(layout)
    subsets = np.zeros((3, v, v), dtype=np.float64)
    subsets[0] = np.eye(v)
    for child, parent in layout.edges:
        subsets[1, child, parent] = 1.0
        subsets[2, parent, child] = 1.0
    degrees = subsets.sum(axis=1, keepdims=True)  # (3, 1, V)
    return (subsets / np.where(degrees > 0, degrees, 1.0)).astype(np.float32)
