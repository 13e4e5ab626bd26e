"""Accuracy: top-1, top-5, mean over classes, confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orvpe.errors import InputError


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in per cent.

    Args:
        top1, top5: clips whose class is the best, or among the five best scores (all classes when there are fewer).
        mean_class: mean over classes that occur of the share of their clips that are right.
        confusion: (classes, classes) int64, rows are the truth.
    """

    top1: float
    top5: float
    mean_class: float
    confusion: np.ndarray

    @property
    def per_class(self) -> np.ndarray:
        """(classes,) per cent right; NaN for a class without clips."""
        count = self.confusion.sum(axis=1)
        return 100 * np.divide(np.diag(self.confusion), count, out=np.full(len(count), np.nan), where=count > 0)

    def of(self, metric: str) -> float:
        """One of the numbers by name: top1, top5 or mean_class."""
        return {"top1": self.top1, "top5": self.top5, "mean_class": self.mean_class}[metric]


def accuracy(scores: np.ndarray, target: np.ndarray) -> Accuracy:
    """Accuracy of scores (N, classes) for true classes (N,).

    Raises:
        InputError: no clip, shapes that disagree, a score that is NaN, a class out of range.
    """
    scores, target = np.asarray(scores), np.asarray(target)
    if scores.ndim != 2 or len(scores) != len(target) or len(scores) == 0:
        raise InputError(f"scores have shape {scores.shape} for {len(target)} labels, expected (labels, classes)")
    n, classes = scores.shape
    if np.isnan(scores).any():
        raise InputError(f"scores of clip {int(np.isnan(scores).any(axis=1).argmax())} are NaN, expected numbers")
    if target.min() < 0 or target.max() >= classes:
        raise InputError(f"labels range from {target.min()} to {target.max()}, expected 0 to {classes - 1}")
    best = scores.argmax(axis=1)
    own = scores[np.arange(n), target][:, None]
    # ties count against the clip unless its class comes first, as argmax decides them
    ahead = (scores > own).sum(axis=1) + ((scores == own) & (np.arange(classes) < target[:, None])).sum(axis=1)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (target, best), 1)
    count = confusion.sum(axis=1)
    right = np.diag(confusion)[count > 0] / count[count > 0]
    return Accuracy(
        100 * float((ahead == 0).mean()),
        100 * float((ahead < 5).mean()),
        100 * float(right.mean()),
        confusion,
    )
