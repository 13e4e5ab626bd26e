"""CSV or Parquet as `orvpe.data.formats.table` reads: a row a joint, frame and person; empty where missing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from orvpe.data.writers.base import Writer
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.runtime.files import whole_file

_TEXT = ("label", "subject", "camera", "split")


def write(clips: Iterable[Clip], out: Path) -> None:
    writer: Any = None
    schema: pa.Schema | None = None
    names: set[str] = set()
    with whole_file(out) as temporary:
        try:
            for clip in clips:
                if clip.name in names:
                    raise InputError(f"clip {clip.name!r} is there twice; clips in a table need different names")
                names.add(clip.name)
                table = _table(clip)
                if writer is None:
                    schema = table.schema
                    kind = pa.csv.CSVWriter if out.suffix.lower() == ".csv" else pa.parquet.ParquetWriter
                    writer = kind(str(temporary), schema)
                if table.schema != schema:
                    raise InputError(f"clip {clip.name!r}: 2D and 3D clips, expected one kind a table")
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise InputError("no clip to write")


def _table(clip: Clip) -> pa.Table:
    m, t, v = (a.ravel() for a in np.indices(clip.visible.shape))
    rows = len(m)
    hidden = ~clip.visible.ravel()
    columns: dict[str, pa.Array] = {"clip": _constant(clip.name, rows)}
    for key in _TEXT:
        columns[key] = _constant(getattr(clip, key), rows)
    columns["fps"] = pa.array(np.full(rows, clip.fps or 0.0), mask=np.full(rows, clip.fps is None))
    for axis, key in enumerate(("image_width", "image_height")):
        size = clip.image_size[axis] if clip.image_size else 0
        columns[key] = pa.array(np.full(rows, size, dtype=np.int64), mask=np.full(rows, not clip.image_size))
    columns["person"], columns["frame"] = pa.array(m), pa.array(t)
    columns["joint"] = pa.array(np.array(clip.layout.joints)[v])
    flat = clip.joints.reshape(rows, -1)
    for axis, key in enumerate("xyz"[: clip.dims]):
        columns[key] = pa.array(flat[:, axis], mask=hidden)
    return pa.table(columns)


def _constant(text: str | None, rows: int) -> pa.Array:
    return pa.array([text] * rows, type=pa.string())


WRITER = Writer("table", "CSV or Parquet: a row a joint, frame and person", (".csv", ".parquet"), write)
