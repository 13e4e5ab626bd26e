"""The model's answers for a clip, whole and with joints hidden."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from orvpe.data.generated import ACTIONS, generate
from orvpe.data.protocols import titles_for
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError
from orvpe.models.card import BY_DIMS
from orvpe.models.embed import check_fits, embed_batch, fit_clip
from orvpe.models.model import Model, load, note_unfinished
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified
from orvpe.views.batch import Batch, collate
from orvpe.views.view import input_dims
from orvpe.web.hiding import Rectangle, hidden
from orvpe.web.index import MAX_SAMPLES, Index, build_index, choose_samples, fit_classifier, spread

GENERATED = ("jumping_jack", "wave", "kick")  # samples when there is no store
_GENERATED_CLIPS = 300


@dataclass(frozen=True, eq=False)
class Vectors:
    """A clip's feature (D,), its embedding (128,) if the model has a projection, and its visible joints.

    Args:
        feature: float32.
        embedding: float32 of unit length, or None.
        visible: (M, T, V) bool.
    """

    feature: np.ndarray
    embedding: np.ndarray | None
    visible: np.ndarray


@dataclass(eq=False)
class Shown:
    """A clip in the model's layout, as a batch of one, with its vectors cached."""

    clip: Clip
    batch: Batch
    title: str
    whole: Vectors | None = field(default=None)

    @property
    def size(self) -> int:
        """Approximate size in bytes."""
        return self.clip.joints.nbytes * 3


class Answers:
    """A model with the clips that its answers refer to.

    Args:
        model: any; it is copied for inference.
        name: what to call it.
        index: clips to compare with, or None.
        head: a classifier of its features and the classes' labels, or None.
        samples: clips to begin with.
    """

    def __init__(
        self,
        model: Model,
        name: str,
        index: Index | None = None,
        head: tuple[nn.Linear, list[str]] | None = None,
        samples: list[Shown] | None = None,
    ) -> None:
        self.model, self.name, self.index, self.samples = model, name, index, samples or []
        self.head: nn.Linear | None = head[0] if head is not None else None
        self.classes: list[str] = head[1] if head is not None else []
        titles = titles_for(self.classes)
        self.titles = [titles.get(c, c) for c in self.classes]

    def show(self, clip: Clip, title: str = "") -> Shown:
        """Prepare a clip.

        Raises:
            InputError: of another dimension or layout than the model reads.
        """
        ready = fit(self.model, clip)
        return Shown(ready, collate([ready]), title or clip.name or "clip")

    def vectors(self, shown: Shown, part: str | None = None, rectangle: Rectangle | None = None) -> Vectors:
        """Vectors of a clip, after hiding a part of the body and the joints inside a rectangle."""
        if part is None and rectangle is None:
            shown.whole = shown.whole or self._vectors(shown.batch)
            return shown.whole
        return self._vectors(hidden(shown.batch, part, rectangle))

    def _vectors(self, batch: Batch) -> Vectors:
        feature, embedding, _ = embed_batch(self.model, batch)
        return Vectors(feature[0], embedding[0] if embedding is not None else None, batch.visible[0].numpy())

    def probabilities(self, vectors: Vectors) -> np.ndarray:
        """Class probabilities (classes,).

        Raises:
            InputError: there is no classifier.
        """
        if self.head is None:
            raise InputError(
                "no classifier: serve a fine-tuned model (-w RUN), or give labelled clips to fit one (--store STORE)"
            )
        with torch.no_grad():
            return torch.softmax(self.head(torch.from_numpy(vectors.feature)), dim=0).numpy()

    def searched(self) -> Index:
        """The index, or an error if there is none.

        Raises:
            InputError: there is none.
        """
        if self.index is None:
            raise InputError("no index: start orvpe serve with --store STORE")
        return self.index

    def side(self, vectors: Vectors, nearest: int) -> dict[str, Any]:
        """All answers for one version of a clip; None for those that this server cannot compute."""
        return {
            "probabilities": self.probabilities(vectors).tolist() if self.head is not None else None,
            "nearest": self.index.nearest(vectors.feature, nearest) if self.index is not None else None,
            "point": self.index.point(vectors.feature) if self.index is not None else None,
        }

    def similarity(self, a: Vectors, b: Vectors) -> float:
        """Cosine of two features after subtracting the index's mean feature."""
        centre = self.index.centre if self.index is not None else np.float32(0)
        return 1.0 if np.array_equal(a.feature, b.feature) else cosine(a.feature - centre, b.feature - centre)

    def compare(self, shown: Shown, part: str | None, rectangle: Rectangle | None, nearest: int = 5) -> dict[str, Any]:
        """Answers for the whole clip and for the clip with joints hidden."""
        begun = time.perf_counter()
        full, occluded = self.vectors(shown), self.vectors(shown, part, rectangle)
        seen = int(full.visible.sum())
        return {
            "hidden": 1 - int(occluded.visible.sum()) / max(seen, 1),
            "visible": base64.b64encode(np.packbits(occluded.visible).tobytes()).decode(),
            "cosine": cosine(full.feature, occluded.feature),
            "similarity": self.similarity(full, occluded),
            "closer": self.index.closer(full.feature, occluded.feature) if self.index is not None else None,
            "classes": self.titles,
            "full": self.side(full, nearest),
            "occluded": self.side(occluded, nearest),
            "milliseconds": 1000 * (time.perf_counter() - begun),
        }


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors; exactly 1 for equal ones."""
    if np.array_equal(a, b):
        return 1.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ y / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-12))


def fit(model: Model, clip: Clip) -> Clip:
    """Map a clip onto the model's layout.

    Raises:
        InputError: of another dimension or layout than the model reads.
    """
    if input_dims(model.view, clip.dims) != model.dims:
        units = {2: "2D (pixels)", 3: "3D (metres)"}
        raise InputError(
            f"clip {clip.name!r} is {units[clip.dims]}, but this model reads {units[model.dims]} joints; "
            f"start orvpe serve with a {clip.dims}D model (-w)"
        )
    return fit_clip(model, clip)


def open_answers(weights: str | None, store: str | None, samples: str | None = None) -> Answers:
    """Open a model and a store: its clips become index, samples and, if the model has no classifier, training data
    for one.

    Args:
        weights: the model; the shipped encoder for the clips' dimensions when None.
        store: clips, labelled or not; None takes generated ones.
        samples: store of clips to begin with, at most `MAX_SAMPLES` of them; some of ``store`` when None.

    Raises:
        InputError: a model or store that cannot be read, or that do not fit.
    """
    opened, given = (None if path is None else Store.open_whole(path) for path in (store, samples))
    if weights is None:
        weights = BY_DIMS[next((clips.dims for clips in (opened, given) if clips is not None), 3)]
    model = load(weights).for_inference()
    note_unfinished(model, weights)
    answers = Answers(model, Path(weights).name)
    if model.head is not None and model.classes:
        answers = Answers(model, answers.name, head=(model.head, list(model.classes)))
    if store is not None and opened is not None:
        answers = _with_index(answers, opened, weights, choose_samples(opened.labels), Path(store).stem)
    elif model.layout.joints == unified.joints:  # generated clips are on that one only
        with TemporaryDirectory(prefix="orvpe-serve-") as folder:
            made = write_store(Path(folder) / "generated.orvpe", generate(_GENERATED_CLIPS, dims=model.dims))
            where = np.array([_GENERATED_CLIPS // 2 + list(ACTIONS).index(name) for name in GENERATED])
            answers = _with_index(answers, made, weights, where, "generated clips")
    if given is not None:
        check_fits(model, given, weights)
        chosen = [given.clip(int(i)) for i in spread(len(given), MAX_SAMPLES)]
        answers.samples = [answers.show(clip, clip.label or clip.name) for clip in chosen]
    return answers


def _with_index(answers: Answers, store: Store, weights: str, chosen: np.ndarray, source: str) -> Answers:
    """Build index and classifier without the sample clips, so that answers about these are not memorised."""
    index = build_index(answers.model, store, weights, leave_out=chosen, source=source)
    head = (answers.head, answers.classes) if answers.head is not None else fit_classifier(answers.model, store, index)
    found = Answers(answers.model, answers.name, index, head)
    for i in chosen:
        title = index.title(str(store.labels[i])) or str(store.names[i])
        found.samples.append(found.show(store.clip(int(i)), title.replace("_", " ")))
    return found
