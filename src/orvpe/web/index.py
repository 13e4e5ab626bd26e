"""The clips that answers refer to: features of a store in memory, nearest neighbours, a classifier, a 2D map.

Built again at each start, for stores that are searched exactly in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from orvpe.data.protocols import titles_for
from orvpe.data.store import Store
from orvpe.evaluation.features import extract
from orvpe.evaluation.linear import logistic_of_versions
from orvpe.models.embed import check_fits
from orvpe.models.model import Model
from orvpe.training.occluded_copies import VERSIONS, with_versions
from orvpe.views.resident import ResidentStore

MAX_INDEXED = 5000  # of a larger store, evenly spread
MAX_SAMPLES = 6
_VIEWS = 1500  # occluded clips that a classifier is fitted to, or one of each: seconds, which the server takes to start
_IN_A_CLASS = 4  # clips that a class needs for one of them to be a sample


@dataclass(frozen=True, eq=False)
class Index:
    """Features of clips with their names, labels and other text.

    Args:
        where: (N,) int64 position of each clip in its store.
        centre: (D,) float32, the mean feature.  It is taken off every feature: what all clips share separates none.
        features: (N, D) float32 unit vectors of what is left.
        names, labels, subjects, cameras: (N,) text, '' where unknown.
        mean: (D,) of the unit vectors.
        axes: (D, 2) their two principal directions.
        scale: what the largest coordinate on the map is divided by.
        titles: label -> what it means, where a known data set says it.
        source: where the clips are from, for people.
    """

    where: np.ndarray
    centre: np.ndarray
    features: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    cameras: np.ndarray
    mean: np.ndarray
    axes: np.ndarray
    scale: float
    titles: dict[str, str]
    source: str

    def __len__(self) -> int:
        return len(self.names)

    def nearest(self, feature: np.ndarray, count: int) -> list[dict[str, Any]]:
        """The clips most similar to a feature (D,), best first, with their cosine similarity."""
        similarity = self.similarity(feature)
        return [
            {
                "name": str(self.names[i]),
                "label": self.title(str(self.labels[i])),
                "subject": str(self.subjects[i]) or None,
                "camera": str(self.cameras[i]) or None,
                "similarity": float(similarity[i]),
            }
            for i in np.argsort(-similarity, kind="stable")[:count]
        ]

    def similarity(self, feature: np.ndarray) -> np.ndarray:
        """(N,) cosine similarity of a feature (D,) to every clip."""
        return self.features @ self.unit(feature)

    def unit(self, feature: np.ndarray) -> np.ndarray:
        """Centre and normalise a feature (..., D) like those of the index."""
        return _unit(feature - self.centre)

    def closer(self, a: np.ndarray, b: np.ndarray) -> float:
        """Share of the clips that are less similar to feature ``a`` than feature ``b`` is."""
        return float((self.similarity(a) < self.unit(a) @ self.unit(b)).mean())

    def point(self, feature: np.ndarray) -> tuple[float, float]:
        """Position of a feature (D,) on the map, where the index's clips span -1 to 1."""
        x, y = (self.unit(feature) - self.mean) @ self.axes / self.scale
        return float(x), float(y)

    def points(self) -> np.ndarray:
        """(N, 2) of all clips."""
        return (self.features - self.mean) @ self.axes / self.scale

    def title(self, label: str) -> str | None:
        return self.titles.get(label, label) or None


def _unit(features: np.ndarray) -> np.ndarray:
    """Normalise along the last axis; zero vectors stay zero."""
    return features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)


def principal_axes(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (D,), first two principal directions (D, 2) and largest coordinate along them, of features (N, D)."""
    mean = features.mean(axis=0)
    _, _, directions = np.linalg.svd(features - mean, full_matrices=False)
    axes = np.zeros((features.shape[1], 2), features.dtype)
    axes[:, : min(2, len(directions))] = directions[:2].T
    scale = float(np.abs((features - mean) @ axes).max())
    return mean, axes, scale if scale > 1e-9 else 1.0


def spread(count: int, most: int) -> np.ndarray:
    """At most ``most`` evenly spaced positions out of ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def choose_samples(labels: np.ndarray, most: int = MAX_SAMPLES) -> np.ndarray:
    """Choose clips to show: one for each of some classes of (N,) labels; evenly spread without labels."""
    known = [label for label in np.unique(labels) if label]
    if not known:
        return spread(len(labels), most)
    classes = [np.flatnonzero(labels == label) for label in known]
    large = [c for c in classes if len(c) >= _IN_A_CLASS]
    return np.array([large[i][len(large[i]) // 2] for i in spread(len(large), most)] if large else [], np.int64)


def build_index(model: Model, store: Store, weights: str, leave_out: np.ndarray, source: str) -> Index:
    """Build the index of a store.

    Args:
        model: for inference.
        store: its clips.
        weights: what to call the model in a message.
        leave_out: positions of clips that are to be strangers to it.
        source: where the clips are from, for people.

    Raises:
        InputError: clips that the model does not read.
    """
    check_fits(model, store, weights)
    chosen = np.setdiff1d(spread(len(store), MAX_INDEXED), leave_out)
    if not len(chosen):
        chosen = np.arange(len(store))
    raw = extract(model, ResidentStore(store, "cpu"), chosen).float().cpu().numpy()
    centre = raw.mean(axis=0)
    features = _unit(raw - centre)
    text = {name: getattr(store, name)[chosen] for name in ("names", "labels", "subjects", "cameras")}
    mean, axes, scale = principal_axes(features)
    return Index(
        chosen, centre, features, **text, mean=mean, axes=axes, scale=scale,
        titles=titles_for(store.labels.tolist()), source=source,
    )  # fmt: skip


def fit_classifier(model: Model, store: Store, index: Index) -> tuple[nn.Linear, list[str]] | None:
    """Logistic regression on the index's clips, whole and occluded; None for fewer than two classes.

    Args:
        model: for inference.
        store: that of the index.
        index: of labelled clips, or of some.
    """
    labelled = np.flatnonzero(index.labels != "")
    classes, target = np.unique(index.labels[labelled], return_inverse=True)
    if len(classes) < 2:
        return None
    versions = max(1, min(VERSIONS, _VIEWS // len(labelled)))
    features = with_versions(model, ResidentStore(store, "cpu"), index.where[labelled], versions)
    head = logistic_of_versions(features, torch.from_numpy(target), len(classes))
    return head.float().requires_grad_(False), [str(c) for c in classes]
