"""A part of a store as a store of its own: for pre-training on the training clips alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from orvpe.datasets import get_protocol
from orvpe.errors import InputError
from orvpe.formats.source import not_a_source
from orvpe.skeleton import unknown
from orvpe.store import Store, StoreWriter

PARTS = ("train", "val", "test")


def select(store: str, out: str, protocol: str, part: str = "train", overwrite: bool = False) -> Store:
    """Write the clips of one part of a protocol into a store of their own.

    Args:
        store: a store made by `orvpe ingest`.
        out: the store to write, by convention ending in .orvpe.
        protocol: which clips train and test, e.g. nucla-cv, penn-official, subject:3,5 or random:0.2.
        part: train, val or test.
        overwrite: replace an existing store.

    Returns:
        The new store.

    Raises:
        InputError: no such store, protocol or part; a part without a clip; a damaged clip in it; the store to write
            exists, or is the one that is read.
    """
    if part not in PARTS:
        raise InputError(unknown("part", part, PARTS))
    not_a_source(out, [store])
    if Path(out).exists() and not overwrite:
        raise InputError(f"{out}: exists already; give --overwrite to replace it")
    opened = Store.open(store)
    info = {
        "name": opened.names, "label": opened.labels, "subject": opened.subjects,
        "camera": opened.cameras, "split": opened.splits,
    }  # fmt: skip
    chosen = np.flatnonzero(np.asarray(get_protocol(protocol).split(info)) == part)
    if not len(chosen):
        raise InputError(f"protocol {protocol!r} finds no {part} clip among the {len(opened)} of {store}")
    meta = {k: v for k, v in opened.meta.items() if k != "clips"}
    with StoreWriter(out, opened.layout, opened.dims, {**meta, "selected": f"{part} of {protocol}"}) as writer:
        writer.add_store(opened, chosen)
    print(f"{len(chosen):,} of {len(opened):,} clips ({part} of {protocol}) -> {out}")
    return Store.open(out)
