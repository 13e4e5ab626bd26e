"""A classification task: a store, a protocol, and which clip is which class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orvpe.data.protocols import get_protocol
from orvpe.data.store import Store
from orvpe.errors import InputError, unknown
from orvpe.runtime.draws import seeded


@dataclass(frozen=True)
class Task:
    """Who learns and who is tested.

    Args:
        protocol: its name.
        metric: "top1" or "mean_class", the number that counts.
        classes: labels, in the order of scores.
        target: (N,) int64 class of each clip, -1 where the protocol does not use it.
        train, val, test: indices into the store; val may be empty.
    """

    protocol: str
    metric: str
    classes: list[str]
    target: np.ndarray
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def make_task(store: Store, protocol: str, classes: list[str] | None = None) -> Task:
    """Split a store by a protocol.

    Args:
        store: labelled clips.
        protocol: as `orvpe.data.protocols.get_protocol` takes it.
        classes: the order of an existing model's classes; None takes the protocol's, or the training labels, sorted.

    Raises:
        InputError: unknown protocol; no test clip (protocol "all" needs none), or no training clip unless ``classes``
            are given; a test label that is never trained.
    """
    chosen = get_protocol(protocol)
    info = {
        "name": store.names, "label": store.labels, "subject": store.subjects,
        "camera": store.cameras, "split": store.splits,
    }  # fmt: skip
    part = np.asarray(chosen.split(info))
    part = np.where(store.labels == "", "", part)
    if chosen.classes is not None:
        part = np.where(np.isin(store.labels, chosen.classes), part, "")
    wanted = ("test",) if classes is not None else ("train",) if chosen.name == "all" else ("train", "test")
    for name in wanted:
        if not (part == name).any():
            raise InputError(
                f"protocol {protocol!r} finds no labelled {name} clip among the {len(store)} of this store; "
                f"its labels are {_some(store.labels)}, its cameras {_some(store.cameras)}, "
                f"its subjects {_some(store.subjects)}, its splits {_some(store.splits)}"
            )
    if classes is None:
        present = {str(label) for label in np.unique(store.labels[part == "train"])}
        classes = [c for c in chosen.classes if c in present] if chosen.classes is not None else sorted(present)
    else:
        part = np.where((part != "test") & ~np.isin(store.labels, classes), "", part)  # what is only tested counts
    lookup = {label: i for i, label in enumerate(classes)}
    target = np.array([lookup.get(str(label), -1) for label in store.labels], dtype=np.int64)
    lost = (part != "") & (target < 0)
    if lost.any():
        label = str(store.labels[lost][0])
        raise InputError(unknown("label", label, classes, f"protocol {protocol!r}: a clip that is never trained"))
    target = np.where(part == "", -1, target)
    return Task(
        protocol,
        chosen.metric,
        classes,
        target,
        *(np.flatnonzero(part == p) for p in ("train", "val", "test")),
    )


def clip_seconds(store: Store, indices: np.ndarray) -> float | None:
    """Median length in seconds of the clips at ``indices``; None where their frame rates are unknown."""
    fps, frames = store.fps[indices], store.frames[indices]
    known = fps > 0
    return round(float(np.median(frames[known] / fps[known])), 3) if known.any() else None


def few_labels(task: Task, share: float, seed: int) -> np.ndarray:
    """Training indices with only ``share`` of each class's labels, at least one, drawn from ``seed``.

    Raises:
        InputError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"labels is {share}, expected a share in (0, 1]")
    if share == 1:
        return task.train
    import torch

    kept = []
    for c in range(len(task.classes)):
        own = task.train[task.target[task.train] == c]
        order = torch.randperm(len(own), generator=seeded("cpu", seed, "labels", c)).numpy()
        kept.append(own[order[: max(1, round(share * len(own)))]] if len(own) else own)
    return np.sort(np.concatenate(kept))


def _some(values: np.ndarray) -> str:
    found = [str(v) or "(none)" for v in np.unique(values)]
    return ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
