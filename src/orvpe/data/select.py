"""A part of a store as a store of its own: the training clips for pre-training, or custom classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from orvpe.data.formats.source import not_a_source
from orvpe.data.protocols import get_protocol
from orvpe.data.relabel import read_classes, relabel
from orvpe.data.store import Store, StoreWriter
from orvpe.errors import InputError, unknown
from orvpe.runtime.lock import alone_in

PARTS = ("train", "val", "test")


@alone_in("out")
def select(
    store: str,
    out: str,
    protocol: str = "all",
    part: str = "train",
    classes: str | None = None,
    most: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Store:
    """Write the clips of one part of a protocol into a store of their own.

    Args:
        store: a store made by `orvpe ingest`.
        out: the store to write, by convention ending in .orvpe.
        protocol: which clips train and test, e.g. nucla-cv, penn-official, subject:3,5 or random:0.2; all of them
            train when not given.
        part: train, val or test.
        classes: YAML file with the labels, or patterns of labels, of each class; clips of no class are left out.
        most: take at most that many clips of a label of the store, drawn at random.
        seed: of that draw.
        overwrite: replace an existing store.

    Returns:
        The new store.

    Raises:
        InputError: no such store, protocol or part; a part without a clip; a damaged clip in it; classes that do not
            fit its labels; fewer than one clip of a label; the store to write exists, or is the one that is read.
    """
    if part not in PARTS:
        raise InputError(unknown("part", part, PARTS))
    if most is not None and most < 1:
        raise InputError(f"most is {most}, expected at least 1")
    if seed < 0:
        raise InputError(f"seed is {seed}, expected at least 0")
    not_a_source(out, [store, *([classes] if classes is not None else [])])
    if Path(out).exists() and not overwrite:
        raise InputError(f"{out}: exists already; give --overwrite to replace it")
    opened = Store.open(store)
    info = {
        "name": opened.names, "label": opened.labels, "subject": opened.subjects,
        "camera": opened.cameras, "split": opened.splits,
    }  # fmt: skip
    wanted = np.asarray(get_protocol(protocol).split(info)) == part
    labels = relabel(opened.labels, read_classes(classes), classes) if classes is not None else None
    if not wanted.any():
        raise InputError(f"protocol {protocol!r} finds no {part} clip among the {len(opened)} of {store}")
    if labels is not None:
        if not (wanted & (labels != "")).any():
            raise InputError(f"{classes}: none of the {wanted.sum():,} {part} clips of {protocol!r} is of a class")
        wanted &= labels != ""
    chosen = np.flatnonzero(wanted)
    if most is not None:
        chosen = at_most(opened.labels, chosen, most, np.random.default_rng(seed))
    about = f"{part} of {protocol}" + (f", classes of {Path(classes).name}" if classes is not None else "")
    about += f", at most {most} of a label" if most is not None else ""
    meta = {k: v for k, v in opened.meta.items() if k != "clips"}
    with StoreWriter(out, opened.layout, opened.dims, {**meta, "selected": about}) as writer:
        writer.add_store(opened, chosen, labels)
    if labels is not None:
        for name, count in zip(*np.unique(labels[chosen], return_counts=True), strict=True):
            print(f"  {count:>7,}  {name}")
    print(f"{len(chosen):,} of {len(opened):,} clips ({about}) -> {out}")
    return Store.open(out)


def at_most(labels: np.ndarray, chosen: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """Of the chosen positions (n,), n at least 1, in labels (N,) at most ``most`` of each label, ascending."""
    kept = [generator.permutation(chosen[labels[chosen] == label])[:most] for label in np.unique(labels[chosen])]
    return np.sort(np.concatenate(kept))
