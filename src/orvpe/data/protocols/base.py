"""What a protocol is: which clips train, which test, and the number that counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

Info = Mapping[str, np.ndarray]
"""Of N clips: ``name``, ``label``, ``subject``, ``camera``, ``split``, each (N,) text, '' where unknown."""


@dataclass(frozen=True)
class Protocol:
    """A data set's split and metric.

    Args:
        name: as `get_protocol` takes it.
        about: one line for people.
        split: (info) -> (N,) text, "train", "val", "test", or "" for a clip the protocol does not use.
        metric: "top1", or "mean_class" for the mean of the classes' accuracies.
        classes: the labels, in the order of the scores; None for those of the training clips, sorted.
        titles: label -> what to call it in tables and figures, where the label is a code.
    """

    name: str
    about: str
    split: Callable[[Info], np.ndarray]
    metric: str = "top1"
    classes: tuple[str, ...] | None = None
    titles: Mapping[str, str] = field(default_factory=dict)


def parts(train: np.ndarray, test: np.ndarray, val: np.ndarray | None = None) -> np.ndarray:
    """(N,) bool masks -> (N,) text; a clip in none of them is ''."""
    val = np.zeros_like(train) if val is None else val
    return np.select([train, val, test], ["train", "val", "test"], default="")


def numbers(column: np.ndarray, pattern: str = r"(\d+)$") -> np.ndarray:
    """(N,) int64: the number in each text, by default the one at its end ('P012' -> 12); -1 where none is."""
    texts, back = np.unique(column, return_inverse=True)
    found = [re.search(pattern, str(text)) for text in texts]
    return np.array([int(m[1]) if m else -1 for m in found], dtype=np.int64)[back]


def is_one_of(column: np.ndarray, wanted: Collection[int] | Collection[str]) -> np.ndarray:
    """(N,) bool."""
    return np.isin(column, np.array(list(wanted)))
