"""The graph of the joints (section III-A, eq. 1)."""

from __future__ import annotations

import numpy as np

from orvpe.errors import InputError, unknown
from orvpe.poses.skeleton.layout import Layout


def graph_subsets(layout: Layout, norm: str = "column") -> np.ndarray:
    """(3, V, V) float32: the backbone's subsets self, inward (child to parent) and outward.

    Eq. 1 of the paper has exponents -1/2 and +1/2 and a non-diagonal degree matrix; the backbone normalises the
    columns of each directed subset, A D^-1, and so do we (FACTS 1).  ``norm="symmetric"`` gives D^-1/2 A D^-1/2.
    With x (T, V) the product is x @ A: entry [i, j] carries joint i into joint j.

    Raises:
        InputError: unknown ``norm``.
    """
    v = len(layout)
    subsets = np.zeros((3, v, v), dtype=np.float64)
    subsets[0] = np.eye(v)
    for child, parent in layout.edges:
        subsets[1, child, parent] = 1.0
        subsets[2, parent, child] = 1.0
    for a in subsets:
        columns, rows = a.sum(axis=0), a.sum(axis=1)
        if norm == "column":
            a /= np.where(columns > 0, columns, 1.0)
        elif norm == "symmetric":
            a /= np.sqrt(np.where(rows > 0, rows, 1.0))[:, None] * np.sqrt(np.where(columns > 0, columns, 1.0))
        else:
            raise InputError(unknown("graph normalisation", norm, ("column", "symmetric")))
    return subsets.astype(np.float32)
