"""What a frozen embedding is worth on people it has not seen: nearest neighbour, probe, retrieval, left against right.

Anything with features, a similarity and vectors can be tested: an encoder, or raw joints.  Test clips are corrupted,
the gallery (the training clips) is whole.

Shapes: Q test clips, G gallery clips, D numbers a vector.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from orvpe.data.protocols.task import Task
from orvpe.evaluation.features import extract, fixed_views
from orvpe.evaluation.linear import logistic_of_versions
from orvpe.evaluation.raw import RawClips, distances, extract_raw, raw_vectors
from orvpe.models.encoders.tokens import Tokens
from orvpe.models.model import Model
from orvpe.views.occlusion import SEVERAL, SUBGRAPHS
from orvpe.views.resident import ResidentStore

CORRUPTIONS = (*SUBGRAPHS, "joints:0.5", "frames:0.5", "block:0.4")
_APART = 2.5  # times as far as the other wrist moves that of the arm which acts
_FAR = 0.5  # metres or body heights that it moves at least
_FEWEST = 20  # one-armed clips in gallery and test each, for a number on left and right


class Embedding(Protocol):
    """Features of clips and how to compare them."""

    def features(
        self,
        data: ResidentStore,
        indices: np.ndarray,
        occlusion: str = "none",
        seed: int = 0,
        version: int = 0,
        mirrored: bool = False,
    ) -> Any:
        """Of the clips at ``indices``, corrupted as `orvpe.evaluation.features.extract` does, or mirrored."""

    def similarity(self, queries: Any, gallery: Any) -> np.ndarray:
        """(Q, G), higher is nearer."""

    def vectors(self, features: Any) -> np.ndarray:
        """(N, D) for a linear classifier."""


class ModelEmbedding:
    """An encoder's pooled feature, compared by its cosine."""

    def __init__(self, model: Model, batch_size: int = 64) -> None:
        self.model, self.batch_size = model.for_inference(), batch_size

    def features(
        self,
        data: ResidentStore,
        indices: np.ndarray,
        occlusion: str = "none",
        seed: int = 0,
        version: int = 0,
        mirrored: bool = False,
    ) -> torch.Tensor:
        return extract(
            self.model, data, indices, occlusion, seed, self.batch_size, version=version, mirrored=mirrored
        ).float()

    def similarity(self, queries: torch.Tensor, gallery: torch.Tensor) -> np.ndarray:
        return (F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T).cpu().numpy()

    def vectors(self, features: torch.Tensor) -> np.ndarray:
        return features.cpu().numpy()


class TokenEmbedding:
    """A structured embedding, compared over what the query shows; its pooled feature is what the probe reads."""

    def __init__(self, model: Model, batch_size: int = 64) -> None:
        self.model, self.batch_size = model.for_inference(), batch_size

    @torch.no_grad()
    def features(
        self,
        data: ResidentStore,
        indices: np.ndarray,
        occlusion: str = "none",
        seed: int = 0,
        version: int = 0,
        mirrored: bool = False,
    ) -> tuple[Tokens, torch.Tensor]:
        tokens, vectors = [], []
        for view in fixed_views(self.model, data, indices, occlusion, seed, self.batch_size, version, mirrored):
            tokens.append(self.model.tokens(view))
            vectors.append(self.model.features(view))
        return Tokens(*(torch.cat(field) for field in zip(*tokens, strict=True))), torch.cat(vectors)

    @torch.no_grad()
    def similarity(self, queries: tuple[Tokens, torch.Tensor], gallery: tuple[Tokens, torch.Tensor]) -> np.ndarray:
        return self.model.similarity(queries[0], gallery[0]).cpu().numpy()

    def vectors(self, features: tuple[Tokens, torch.Tensor]) -> np.ndarray:
        return features[1].float().cpu().numpy()


class RawEmbedding:
    """The joints themselves (`orvpe.evaluation.raw`)."""

    def features(
        self,
        data: ResidentStore,
        indices: np.ndarray,
        occlusion: str = "none",
        seed: int = 0,
        version: int = 0,
        mirrored: bool = False,
    ) -> RawClips:
        return extract_raw(data, indices, occlusion, seed, version=version, mirrored=mirrored)

    def similarity(self, queries: RawClips, gallery: RawClips) -> np.ndarray:
        return -distances(queries, gallery)

    def vectors(self, features: RawClips) -> np.ndarray:
        return raw_vectors(features)


def acting_arm(data: ResidentStore, indices: np.ndarray) -> np.ndarray:
    """(N,) +1 where the left arm acts, -1 where the right one does, 0 for both or neither.

    An arm acts when its wrist moves two and a half times as far as the other, each relative to its shoulder.
    """
    clips = extract_raw(data, indices)
    path = []
    for side in ("left", "right"):
        wrist, shoulder = (data.store.layout.index(f"{side}_{joint}") for joint in ("wrist", "shoulder"))
        seen = clips.visible[..., wrist] & clips.visible[..., shoulder]  # (N, F)
        steps = np.linalg.norm(np.diff(clips.joints[..., wrist, :] - clips.joints[..., shoulder, :], axis=1), axis=-1)
        path.append((steps * (seen[:, 1:] & seen[:, :-1])).sum(axis=1))
    left, right = path
    return (((left > _APART * right) & (left > _FAR)).astype(int)) - ((right > _APART * left) & (right > _FAR))


def frozen_test(
    embedding: Embedding,
    data: ResidentStore,
    task: Task,
    occlusions: tuple[str, ...] = CORRUPTIONS,
    copies: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Test an embedding on a task whose training and test people differ.

    Args:
        embedding: what to test.
        data: where the clips are.
        task: its training clips are the gallery, whole; its test clips are the queries.
        occlusions: of the queries, in addition to none.
        copies: occluded copies of each gallery clip that the probe is fitted on too.
        seed: of the corruptions.

    Returns:
        Per cent by occlusion: ``nn`` (class of the nearest gallery clip), ``probe`` (logistic regression), ``recall``
        (nearest whole test clip is the query's own) and, as a number, ``cosine`` (mean similarity to the own whole
        clip); ``sides`` (one-armed clips and their mirror images: is the acting arm right, by ``nn`` and ``probe``,
        and the similarity of a clip to its mirror image), absent where there are too few; ``clips``.
    """
    target, truth = task.target[task.train], task.target[task.test]
    gallery, whole = embedding.features(data, task.train), embedding.features(data, task.test)
    more = [embedding.features(data, task.train, SEVERAL, seed, version) for version in range(1, copies + 1)]
    predict = _logistic([embedding.vectors(f) for f in (gallery, *more)], target, len(task.classes))
    found: dict[str, Any] = {"nn": {}, "probe": {}, "recall": {}, "cosine": {}}
    for occlusion in ("none", *occlusions):
        hidden = whole if occlusion == "none" else embedding.features(data, task.test, occlusion, seed)
        nearest = embedding.similarity(hidden, gallery).argmax(axis=1)
        found["nn"][occlusion] = 100 * float((target[nearest] == truth).mean())
        found["probe"][occlusion] = 100 * float((predict(embedding.vectors(hidden)) == truth).mean())
        own = embedding.similarity(hidden, whole)  # (Q, Q)
        found["recall"][occlusion] = 100 * float((own.argmax(axis=1) == np.arange(len(own))).mean())
        alike = np.diag(own)
        found["cosine"][occlusion] = float(alike[np.isfinite(alike)].mean()) if np.isfinite(alike).any() else None
    sides = _sides(embedding, data, task)
    return found | ({"sides": sides} if sides else {}) | {"clips": {"gallery": len(target), "test": len(truth)}}


def _logistic(copies: list[np.ndarray], target: np.ndarray, classes: int) -> Any:
    """Vectors -> predicted classes, by logistic regression on all copies (each (N, D)) of the clips."""
    head = logistic_of_versions(torch.from_numpy(np.stack(copies)), torch.from_numpy(target), classes)

    @torch.no_grad()
    def predict(vectors: np.ndarray) -> np.ndarray:
        return head(torch.from_numpy(vectors)).argmax(dim=1).numpy()

    return predict


def _sides(embedding: Embedding, data: ResidentStore, task: Task) -> dict[str, float] | None:
    """Whether the acting arm is right, of one-armed test clips and their mirror images: chance is 50 %."""
    arm = {part: acting_arm(data, chosen) for part, chosen in (("train", task.train), ("test", task.test))}
    train, test = task.train[arm["train"] != 0], task.test[arm["test"] != 0]
    if min(len(train), len(test)) < _FEWEST:
        return None
    known, truth = arm["train"][arm["train"] != 0], arm["test"][arm["test"] != 0]
    gallery = [embedding.features(data, train, mirrored=m) for m in (False, True)]
    queries = [embedding.features(data, test, mirrored=m) for m in (False, True)]
    both = np.concatenate([known, -known])
    predict = _logistic([np.concatenate([embedding.vectors(f) for f in gallery])], (both > 0).astype(np.int64), 2)
    by_nn, by_probe = [], []
    for query, sign in zip(queries, (1, -1), strict=True):
        nearest = np.concatenate([embedding.similarity(query, f) for f in gallery], axis=1).argmax(axis=1)
        by_nn.append(both[nearest] == sign * truth)
        by_probe.append(np.where(predict(embedding.vectors(query)) > 0, 1, -1) == sign * truth)
    alike = np.diag(embedding.similarity(queries[0], queries[1]))
    alike = alike[np.isfinite(alike)]
    return {
        "clips": len(test), "nn": 100 * float(np.mean(by_nn)), "probe": 100 * float(np.mean(by_probe)),
        "cosine": float(alike.mean()) if len(alike) else float("nan"),
    }  # fmt: skip
