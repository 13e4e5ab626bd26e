"""Score files: class scores of each test clip, kept to fuse streams and models."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orvpe.errors import InputError
from orvpe.runtime.files import write_atomic


@dataclass(frozen=True)
class Scores:
    """Class scores of clips.

    Args:
        names: (N,) clip names.
        classes: (K,) labels.
        scores: (N, K) any real numbers; `fuse` turns them into probabilities.
        labels: (N,) true labels, "" where unknown.
    """

    names: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write as .npz (without pickles) or .csv, by the suffix."""
        path = Path(path)
        if path.suffix.lower() == ".csv":
            text = io.StringIO()
            table = csv.writer(text, lineterminator="\n")
            table.writerow(["name", "label", *self.classes])
            for name, label, row in zip(self.names, self.labels, self.scores, strict=True):
                table.writerow([name, label, *(f"{v:.6g}" for v in row)])
            write_atomic(path, text.getvalue())
            return
        data = io.BytesIO()
        # as text of fixed width: an object array would be pickled, and could not be loaded again
        names, classes, labels = (np.asarray(v, dtype=str) for v in (self.names, self.classes, self.labels))
        np.savez_compressed(data, names=names, classes=classes, scores=self.scores, labels=labels)
        write_atomic(path, data.getvalue())


def load_scores(path: str | Path) -> Scores:
    """Read a score file: .npz with names, classes, scores (and labels), or .csv with a ``name``
    column, an optional ``label`` column and one column a class.

    Raises:
        InputError: missing, damaged, or without the columns.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"score file {path}: no such file")
    if path.is_dir():
        raise InputError(f"score file {path}: a folder; the scores of a run are {path / 'scores.npz'}")
    if path.suffix.lower() == ".csv":
        return _from_csv(path)
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = {"names", "classes", "scores"} - set(data.files)
            if missing:
                raise InputError(f"score file {path}: no {sorted(missing)[0]!r}; expected names, classes and scores")
            names, classes = data["names"].astype(str).reshape(-1), data["classes"].astype(str).reshape(-1)
            if np.iscomplexobj(data["scores"]):
                raise InputError(f"score file {path}: scores are complex numbers, expected real ones")
            scores = data["scores"].astype(np.float64)
            labels = data["labels"].astype(str) if "labels" in data.files else np.full(len(names), "")
    except InputError:
        raise
    # a lone .npy is an array, which has no `with`; an empty or cut file ends early
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if path.suffix.lower() != ".npz":
            raise InputError(f"score file {path}: expected an .npz or a .csv") from None
        raise InputError(f"score file {path}: not a readable npz ({' '.join(str(error).split())})") from None
    return _checked(path, names, classes, scores, labels)


def _from_csv(path: Path) -> Scores:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte-order mark first
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"score file {path}: not a readable CSV ({error})") from None
    if len(rows) < 2 or "name" not in rows[0]:
        raise InputError(f"score file {path}: expected a header with a 'name' column and at least one row")
    head = rows[0]
    if twice := [h for h in ("name", "label") if head.count(h) > 1]:
        raise InputError(f"score file {path}: two columns {twice[0]!r}, expected one")
    class_columns = [i for i, h in enumerate(head) if h not in ("name", "label")]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(head):
            raise InputError(f"score file {path}: line {number} has {len(row)} columns, the header {len(head)}")
    try:
        scores = np.array([[float(row[i]) for i in class_columns] for row in rows[1:]])
    except ValueError as error:
        raise InputError(f"score file {path}: a score is not a number ({error})") from None
    names = np.array([row[head.index("name")] for row in rows[1:]])
    labels = np.array([row[head.index("label")] if "label" in head else "" for row in rows[1:]])
    return _checked(path, names, np.array([head[i] for i in class_columns]), scores, labels)


def _checked(path: Path, names: np.ndarray, classes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> Scores:
    if scores.shape != (len(names), len(classes)):
        raise InputError(f"score file {path}: scores have shape {scores.shape}, expected {(len(names), len(classes))}")
    if not scores.size:
        raise InputError(
            f"score file {path}: {len(names)} clips and {len(classes)} classes, expected at least 1 of each"
        )
    if labels.shape != names.shape:
        raise InputError(f"score file {path}: labels have shape {labels.shape}, expected {names.shape}")
    if len(np.unique(classes)) != len(classes):
        raise InputError(f"score file {path}: a class occurs twice")
    if not np.isfinite(scores).all():
        raise InputError(
            f"score file {path}: a score of clip {str(names[~np.isfinite(scores).all(axis=1)][0])!r} is not finite"
        )
    found, count = np.unique(names, return_counts=True)
    if len(found) != len(names):
        raise InputError(
            f"score file {path}: clip {str(found[count > 1][0])!r} occurs twice, so files cannot be matched"
        )
    return Scores(names, classes, scores, labels)


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Class probabilities: softmax, unless the rows are probabilities already."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        return scores
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def fuse_scores(parts: list[Scores], weights: list[float] | None = None) -> Scores:
    """Weighted sum of class probabilities (two-stream and late fusion, sections IV-D and IV-F).

    Args:
        parts: of the same clips and classes, in any order of either.
        weights: one a part; equal when None.

    Raises:
        InputError: clips or classes that differ, or weights that do not match.
    """
    if len(parts) < 2:
        raise InputError(f"fusion needs at least 2 score files, got {len(parts)}")
    weights = weights or [1.0] * len(parts)
    if len(weights) != len(parts) or not all(0 <= w < np.inf for w in weights) or not 0 < sum(weights) < np.inf:
        raise InputError(f"weights are {weights}, expected {len(parts)} numbers of at least 0 that are not all 0")
    first = parts[0]
    total = np.zeros_like(first.scores)
    for number, (part, weight) in enumerate(zip(parts, weights, strict=True), start=1):
        for what, a, b in (("clip", first.names, part.names), ("class", first.classes, part.classes)):
            differ = set(a.tolist()) ^ set(b.tolist())
            if differ:
                one = min(differ)
                having, lacking = (1, number) if one in a else (number, 1)
                raise InputError(
                    f"score files disagree: {what} {one!r} is not in all of them: in file {having}, not in file "
                    f"{lacking} ({len(differ):,} differ)"
                )
        row = {n: i for i, n in enumerate(part.names)}
        column = {c: i for i, c in enumerate(part.classes)}
        order = probabilities(part.scores)[[row[n] for n in first.names]][:, [column[c] for c in first.classes]]
        total += weight * order
    _same_labels(parts)
    labels = next((p.labels for p in parts if (p.labels != "").all()), first.labels)
    if labels is not first.labels:
        source = next(p for p in parts if p.labels is labels)
        found = dict(zip(source.names, source.labels, strict=True))
        labels = np.array([found[n] for n in first.names])
    return Scores(first.names, first.classes, total / sum(weights), labels)


def _same_labels(parts: list[Scores]) -> None:
    """Raise InputError if two files give one clip different labels."""
    known: dict[str, str] = {}
    for part in parts:
        for name, label in zip(part.names.tolist(), part.labels.tolist(), strict=True):
            if label and known.setdefault(name, label) != label:
                raise InputError(f"score files disagree: clip {name!r} is {known[name]!r} in one, {label!r} in another")
