"""Work that is done in parts, each kept when it is done, so that the same command goes on after an interruption.

The parts lie in a folder next to the result, with a manifest that says of what inputs and options they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orvpe.data.store import Store, StoreWriter
from orvpe.errors import InputError
from orvpe.poses.skeleton import Layout
from orvpe.runtime.files import write_atomic


def claim(parts: Path, fingerprint: str, by: str) -> None:
    """Make the folder of parts, and drop the parts of another run in it.

    Args:
        parts: the folder.
        fingerprint: says of what inputs and options the parts are.
        by: the command, for the message.

    Raises:
        InputError: a folder (or file) that no such run made stands there.
    """
    manifest = parts / "manifest.txt"
    if parts.exists():
        if not parts.is_dir() or (any(parts.iterdir()) and not manifest.exists()):
            raise InputError(f"{parts}: in the way, and not made by {by}; remove it or choose another --out")
        if manifest.exists() and manifest.read_text(encoding="utf-8") == fingerprint:
            return
        shutil.rmtree(parts)
    parts.mkdir()
    write_atomic(manifest, fingerprint)


def merge(target: Path, stores: Sequence[Path], layout: Layout, dims: int, meta: dict[str, Any]) -> None:
    """Part stores, in order, as one store.

    Args:
        target: the store to write.
        stores: the parts.
        layout, dims: of all of them, with the derived joints of all.
        meta: what the store is to remember.
    """
    with StoreWriter(target, layout, dims, meta) as writer:
        for store in stores:
            writer.add_store(Store.open(store))
